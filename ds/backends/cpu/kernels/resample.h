// SPDX-License-Identifier: Apache-2.0
// Interpolation along one dimension of f32 memory, and its gradient. Indices are checked before
// anything is written. Results do not depend on the number of threads.
#pragma once

#include "ds/backends/cpu/kernels/index.h"

namespace ds::cpu {

/// Element i of the output is the sum over t of weight[t, i] times element index[t, i].
struct Taps {
  Indices index;  // [taps, out]
  const float* weight;
  int64_t taps, out;
};

/// dst [outer, out, inner] from src [outer, size, inner].
void resample(const Taps& taps, int64_t outer, int64_t inner, const float* src, float* dst);
/// diff_src [outer, size, inner] from diff_dst [outer, out, inner].
void resample_backward(const Taps& taps, int64_t outer, int64_t inner, const float* diff_dst,
                       float* diff_src);

}  // namespace ds::cpu
