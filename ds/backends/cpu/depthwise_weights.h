// SPDX-License-Identifier: Apache-2.0
// The weights' gradient of a depthwise channels-last convolution, for processors where oneDNN's
// kernel for it is slow (docs/design/2026-11-26-depthwise-weights.md).
#pragma once

#include <memory>

#include "ds/backends/cpu/dnnl/conv.h"

namespace ds::cpu {

/// diff_weights [C, 1, kh, kw] = sum over pixels of diff_dst [C] times the pixel's window of src.
/// Vectors hold channels; the taps of a row of the kernel are summed together over a row of
/// diff_dst, and rows are divided among the threads, each with sums of its own.
class DepthwiseWeightsPlan {
 public:
  /// Null when the convolution is not depthwise with one filter a channel, not of f32 or
  /// bf16, not channels-last, has three spatial dimensions or less than four taps in a row.
  static std::unique_ptr<DepthwiseWeightsPlan> make(const ConvSpec& spec);

  size_t scratchpad_bytes() const;
  /// diff_weights is row-major, in f32 whatever is read.
  void execute(const void* src, const void* diff_dst, float* diff_weights, void* scratchpad) const;

 private:
  int64_t sum_elements() const { return kernel_[0] * kernel_[1] * channels_; }
  /// Adds rows [begin, end) of all images to sums [kh, kw, C].
  void accumulate(const void* src, const void* diff_dst, int64_t begin, int64_t end,
                  float* sums) const;

  DType dtype_;
  int64_t batch_, channels_;
  int64_t src_[2], dst_[2], kernel_[2], stride_[2], padding_[2], dilation_[2];
  int64_t parts_ = 1;  // of the rows
};

}  // namespace ds::cpu
