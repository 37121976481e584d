// SPDX-License-Identifier: Apache-2.0
// Matrix expressions on the last two dimensions, for the rules of linear algebra.
#pragma once

#include "ds/ir/build.h"

namespace ds {

inline Value matmul(const Value& a, const Value& b) { return make(Op::matmul_, {a, b}); }

/// Bool [rows, columns]: `compare`(row, column).
inline Value index_mask(int64_t rows, int64_t columns, Op compare) {
  const Value row = make_reshape(make(Op::iota_, {}, {rows, DType::i64}), {rows, 1});
  return make(compare, {row, make(Op::iota_, {}, {columns, DType::i64})});
}

/// x where `compare`(row, column) holds, `other` elsewhere.
inline Value keep_where(const Value& x, Op compare, double other = 0.0) {
  const Shape& shape = x.shape();
  const int rank = shape.rank();
  return make(Op::where_, {index_mask(shape[rank - 2], shape[rank - 1], compare), x,
                           make_constant(other, x.dtype())});
}
inline Value lower_part(const Value& x) { return keep_where(x, Op::ge_); }
inline Value upper_part(const Value& x) { return keep_where(x, Op::le_); }

/// [..., n] -> [..., 1, n] and [..., n, 1].
inline Value as_row(const Value& x) {
  Shape shape = x.shape();
  shape.insert(shape.rank() - 1, 1);
  return make_reshape(x, shape);
}
inline Value as_column(const Value& x) {
  Shape shape = x.shape();
  shape.push_back(1);
  return make_reshape(x, shape);
}

/// Square matrices with the vectors [..., n] on the diagonal, zeros elsewhere.
inline Value diagonal_matrix(const Value& x) {
  const int64_t n = x.shape().back();
  Shape square = x.shape();
  square.push_back(n);
  return keep_where(make_expand(as_column(x), square), Op::eq_);
}

}  // namespace ds
