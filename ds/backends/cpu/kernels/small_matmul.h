// SPDX-License-Identifier: Apache-2.0
// Product of two f32 matrices that fit in a near cache, on one thread: nothing is packed where the
// operands can be read as they lie.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ds::cpu {

/// lhs [m, k] x rhs [k, n] -> dst [m, n], whose rows follow each other. Strides count elements; one
/// of rhs's is 1. No size is 0.
struct SmallMatmul {
  int64_t m, n, k;
  int64_t lhs_row, lhs_col;
  int64_t rhs_row, rhs_col;
};

/// Floats of scratch memory that it works in.
size_t small_matmul_space(const SmallMatmul& product);

void small_matmul(const SmallMatmul& product, const float* lhs, const float* rhs, float* dst,
                  float* space);

}  // namespace ds::cpu
