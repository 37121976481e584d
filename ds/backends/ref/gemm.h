// SPDX-License-Identifier: Apache-2.0
// Matrix product in wide numbers over operands of any dtype and strides: the inner loop of matmul,
// convolution and attention.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::ref {

/// Element (i, j) is data[offset + i * row + j * col].
struct Matrix {
  const void* data;
  DType dtype;
  int64_t offset;
  int64_t row;
  int64_t col;
};

/// c[m,n] += a[m,k] b[k,n]; c is dense. W is double, or int64_t with wrap-around.
template <class W>
void gemm(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, W* c);

}  // namespace ds::ref
