// SPDX-License-Identifier: Apache-2.0
// Products of many small matrices by our own kernel.
#pragma once

#include <memory>

#include "ds/backends/cpu/kernels/small_matmul.h"
#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// lhs [..., M, K] x rhs [..., K, N] -> dst [..., M, N] in f32, one matrix after the other, none of
/// them divided among threads: for heads of attention, blocks, graphs.
class BatchMatmulPlan {
 public:
  /// Null when there is no batch of different rhs, a matrix of rhs does not fit in a near cache, or
  /// its elements follow each other neither in rows nor in columns. `lhs` and `rhs` have the rank
  /// of `dims`, that of the result, and its batch dimensions.
  static std::unique_ptr<BatchMatmulPlan> make(const View& lhs, const View& rhs, const Shape& dims);

  size_t scratchpad_bytes() const;
  /// dst is row-major. The result does not depend on the number of threads.
  void execute(const float* lhs, const float* rhs, float* dst, void* scratchpad) const;

 private:
  SmallMatmul matrix_;
  Shape batch_, lhs_strides_, rhs_strides_;
  int64_t parts_ = 1;  // that threads take
};

}  // namespace ds::cpu
