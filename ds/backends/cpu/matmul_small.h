// SPDX-License-Identifier: Apache-2.0
// Products of small matrices, one or a batch, by our own kernel.
#pragma once

#include <memory>

#include "ds/backends/cpu/kernels/small_matmul.h"
#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// lhs [..., M, K] x rhs [..., K, N] -> dst [..., M, N] in f32, one matrix after the other, none of
/// them divided among threads: for narrow layers, heads of attention, blocks, graphs.
class SmallMatmulPlan {
 public:
  /// Null when a matrix of rhs does not fit in a near cache, or its elements follow each other
  /// neither in rows nor in columns. `lhs` and `rhs` have the rank of `dims`, that of the result,
  /// and its batch dimensions.
  static std::unique_ptr<SmallMatmulPlan> make(const View& lhs, const View& rhs, const Shape& dims);

  /// One matrix of rhs for all of lhs.
  bool single() const { return batch_.rank() == 0; }
  /// Products and sums of one matrix.
  int64_t size_of_one() const { return matrix_.m * matrix_.n * matrix_.k; }
  size_t scratchpad_bytes() const;
  /// dst is row-major. The result does not depend on the number of threads.
  void execute(const float* lhs, const float* rhs, float* dst, void* scratchpad) const;

 private:
  SmallMatmul matrix_;
  Shape batch_, lhs_strides_, rhs_strides_;
  int64_t parts_ = 1;  // that threads take
};

}  // namespace ds::cpu
