// SPDX-License-Identifier: Apache-2.0
#include "ds/train/precision.h"

#include "ds/base/error.h"

namespace ds::train {

Precision choose_precision(const std::vector<std::string>& layers, std::optional<DType> wanted,
                           const CpuFeatures& features) {
  DS_CHECK(!wanted || *wanted == DType::bf16 || *wanted == DType::f16, DTypeError,
           "MixedPrecisionTrainer: dtype ", *wanted, " must be bf16 or f16");
  Autocast autocast{DType::bf16, false, false, false};
  std::string names;
  for (const std::string& layer : layers) {
    DS_CHECK(layer == "conv" || layer == "linear" || layer == "attention", ValueError,
             "MixedPrecisionTrainer: fp16_layers has '", layer,
             "'; it may name conv, linear and attention");
    if (layer == "conv") autocast.convolution = true;
    if (layer == "linear") autocast.matmul = true;
    if (layer == "attention") autocast.attention = true;
    names += (names.empty() ? "" : ", ") + layer;
  }
  if (layers.empty()) return {std::nullopt, "FP32 everywhere: fp16_layers is empty"};
  const std::string rest = "; master weights, sums and loss in FP32";
  if (!wanted && !features.bf16 && !features.fp16)
    return {std::nullopt, "FP32 everywhere: this processor computes in neither BF16 nor FP16, so " +
                              names + " would gain nothing from 16 bits"};
  autocast.dtype = wanted.value_or(features.bf16 ? DType::bf16 : DType::f16);
  return {autocast, (autocast.dtype == DType::bf16 ? "BF16" : "FP16") + (" in " + names) + rest};
}

}  // namespace ds::train
