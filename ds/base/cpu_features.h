// SPDX-License-Identifier: Apache-2.0
// What the processor can compute in.
#pragma once

#include <string>

namespace ds {

struct CpuFeatures {
  std::string model;  // as the processor names itself
  bool avx2 = false;
  bool avx512 = false;
  bool bf16 = false;  // dot products of bf16: AVX512_BF16 or AMX-BF16
  bool fp16 = false;  // arithmetic in f16: AVX512_FP16
  bool amx = false;
};

/// Features of this machine, read once.
const CpuFeatures& cpu_features();

}  // namespace ds
