// SPDX-License-Identifier: Apache-2.0
// Matrix products of a few rows by our own kernel: a decoder's step, one token a text.
#pragma once

#include <memory>

#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// lhs [M, K] x rhs [K, N] -> dst [M, N] in f32, or in bf16 where rhs lies by columns, for M up to
/// four, or to 32 where rhs lies by columns: rhs is read once, so memory is the limit, which
/// oneDNN's AVX2 product does not reach (docs/design/2026-11-26-thin-matmul.md).
class ThinMatmulPlan {
 public:
  /// Null when there are more rows, or the elements of rhs do not follow each other in rows or in
  /// columns. `lhs` and `rhs` have the rank of `dims`, that of the result, and its batch
  /// dimensions.
  static std::unique_ptr<ThinMatmulPlan> make(const View& lhs, const View& rhs, const Shape& dims);

  size_t scratchpad_bytes() const;
  /// dst is row-major. The result does not depend on the number of threads.
  void execute(const void* lhs, const void* rhs, void* dst, void* scratchpad) const;

 private:
  void multiply(const float* lhs, const void* rhs, float* dst) const;
  void add_parts(const float* lhs, const float* rhs, float* dst, float* sums) const;

  DType dtype_;
  int64_t m_, n_, k_, rhs_stride_;
  bool by_columns_;
  int64_t parts_ = 1;  // of the rows of rhs, with sums of their own
};

}  // namespace ds::cpu
