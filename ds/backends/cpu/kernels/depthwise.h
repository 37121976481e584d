// SPDX-License-Identifier: Apache-2.0
// The weights' gradient of a depthwise convolution over channels-last memory, one row of it.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::cpu {

/// A row of diff_dst [width, channels] and the row of src [src_width, channels] that one row of the
/// kernel reads for it: output w and tap j meet src at w * stride - padding + j * dilation.
struct DepthwiseRow {
  const void* src;
  const void* diff_dst;
  int64_t channels, width, src_width;
  int64_t taps, stride, padding, dilation;
  DType dtype;  // f32 or bf16
};

/// sums [taps, channels] += what the row adds to the gradient.
void add_depthwise_row(const DepthwiseRow& row, float* sums);

}  // namespace ds::cpu
