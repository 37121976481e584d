// SPDX-License-Identifier: Apache-2.0
// Matrix products by our own kernel, for operands that oneDNN is slow with.
#pragma once

#include <memory>

#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// lhs [M, K] x rhs [K, N] -> dst [M, N] in f32.
///
/// oneDNN's AVX2 product reads the operands of a small product where they lie. Rows of an operand
/// that are a multiple of 4 KiB apart then fall into the same few sets of the cache: 25 to 35
/// GFLOP/s where this kernel, which packs operands, reaches 55 to 70. Elsewhere oneDNN is as fast
/// or faster (docs/design/2026-11-26-packed-matmul.md).
class PackedMatmulPlan {
 public:
  /// Null when the elements of rhs do not follow each other in rows, or those of lhs neither in
  /// rows nor in columns, or matrices of rhs differ. `lhs` and `rhs` have the rank of `dims`, that
  /// of the result, and its batch dimensions.
  static std::unique_ptr<PackedMatmulPlan> make(const View& lhs, const View& rhs,
                                                const Shape& dims);

  /// The operands are such that oneDNN's AVX2 product is slower.
  bool pays() const;
  size_t scratchpad_bytes() const;
  /// dst is row-major.
  void execute(const float* lhs, const float* rhs, float* dst, void* scratchpad) const;

 private:
  void choose_split();

  int64_t m_, n_, k_;
  int64_t lhs_row_, lhs_col_, rhs_row_;
  int64_t row_parts_ = 1, col_parts_ = 1;  // what threads divide among them
};

}  // namespace ds::cpu
