// SPDX-License-Identifier: Apache-2.0
// The weights' gradient of a dense convolution by GEMM over unfolded windows (im2col), for
// processors where oneDNN's channels-last kernel is slower (docs/design/2026-11-24-conv-layout.md).
#pragma once

#include <memory>
#include <string>

#include "ds/backends/cpu/dnnl/conv.h"

namespace ds::cpu {

class MatmulPlan;

/// diff_weights [OC, K] = diff_dst^T [OC, pixels] x windows [pixels, K], some thousand pixels at a
/// time, with K = taps * IC in the order of memory; then K is brought into the order of weights.
class ConvWeightsPlan {
 public:
  /// Null when the convolution has groups, another dtype than f32 or is not channels-last.
  static std::unique_ptr<ConvWeightsPlan> make(const ConvSpec& spec);
  ~ConvWeightsPlan();

  size_t scratchpad_bytes() const;
  /// diff_weights is row-major.
  void execute(const float* src, const float* diff_dst, float* diff_weights,
               void* scratchpad) const;

 private:
  ConvWeightsPlan();
  void unfold(const float* src, int64_t first, int64_t count, float* windows) const;
  void unfold_pixel(const float* src, int64_t pixel, float* window) const;

  // Sizes with three spatial dimensions, missing ones 1.
  int64_t batch_ = 1, ic_ = 1, oc_ = 1, taps_ = 1;
  int64_t src_[3], dst_[3], kernel_[3], stride_[3], padding_[3], dilation_[3];
  int64_t pixels_ = 0, chunk_ = 0;
  std::unique_ptr<MatmulPlan> first_, next_, last_;  // the first chunk, further ones, a partial one
};

}  // namespace ds::cpu
