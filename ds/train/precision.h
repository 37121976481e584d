// SPDX-License-Identifier: Apache-2.0
// Which 16-bit type training computes in on this processor, if any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/base/cpu_features.h"
#include "ds/tensor/record.h"

namespace ds::train {

struct Precision {
  std::optional<Autocast> autocast;  // nothing: everything runs in FP32
  std::string text;                  // says it in a sentence
};

/// `layers` of "conv", "linear", "attention" run in 16 bits: BF16 where the processor computes in
/// it, else FP16 where it does, else they stay in FP32, as 16-bit numbers would only be converted
/// back and forth. `wanted` sets the type whatever the processor does. ValueError for another name,
/// DTypeError for a type of more bits.
Precision choose_precision(const std::vector<std::string>& layers,
                           std::optional<DType> wanted = std::nullopt,
                           const CpuFeatures& features = cpu_features());

}  // namespace ds::train
