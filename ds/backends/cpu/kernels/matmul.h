// SPDX-License-Identifier: Apache-2.0
// Product of two f32 matrices on one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ds::cpu {

/// lhs [m, k] x rhs [k, n] -> dst [m, n]. Strides count elements; one of lhs's is 1, and the
/// columns of rhs and dst follow each other. No size is 0.
struct MatmulBlock {
  int64_t m, n, k;
  const float* lhs;
  int64_t lhs_row, lhs_col;
  const float* rhs;
  int64_t rhs_row;
  float* dst;
  int64_t dst_row;
};

/// Floats of scratch memory that it works in.
size_t matmul_space();

void matmul(const MatmulBlock& block, float* space);

}  // namespace ds::cpu
