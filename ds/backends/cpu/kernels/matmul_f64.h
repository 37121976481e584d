// SPDX-License-Identifier: Apache-2.0
// Product of two f64 matrices on one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ds::cpu {

/// A matrix of f64; strides count elements and may be any.
struct MatrixF64 {
  const double* at;
  int64_t row, col;
};

/// lhs [m, k] x rhs [k, n] -> dst [m, n], whose columns follow each other. k may be 0.
void matmul_f64(int64_t m, int64_t n, int64_t k, MatrixF64 lhs, MatrixF64 rhs, double* dst,
                int64_t dst_row);

}  // namespace ds::cpu
