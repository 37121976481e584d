// SPDX-License-Identifier: Apache-2.0
// Gradients of qr, svd and eigh (Walter, Lehmann and Lamour 2012 for QR; Townsend 2016,
// "Differentiating the singular value decomposition"; Giles 2008 for eigh). They are defined
// where the factors are: full rank for qr, distinct values for svd and eigh.
#include "ds/grad/matrix.h"
#include "ds/grad/rule_families.h"

namespace ds {
namespace {

Value zeros_like(const Value& x) { return make_full(x.shape(), 0.0, x.dtype()); }
Value grad_or_zeros(const GradContext& c, int i) {
  return c.grad(i) ? c.grad(i) : zeros_like(c.out(i));
}
Value minus_transpose(const Value& x) { return x - make_transpose(x); }

Value columns(const Value& x, int64_t start, int64_t count) {
  Shape starts = Shape::filled(x.shape().rank(), 0);
  Shape sizes = x.shape();
  starts.back() = start;
  sizes.back() = count;
  return make(Op::slice_, {x}, {starts, sizes, Shape::filled(x.shape().rank(), 1)});
}

/// For A with at least as many rows as columns: with M = triu(gR R^T - Q^T gQ),
/// dA = (gQ + Q (M + M^T, its diagonal once)) R^-T.
Value tall_qr_gradient(const Value& q, const Value& r, const Value& diff_q, const Value& diff_r) {
  const Value m = matmul(diff_r, make_transpose(r)) - matmul(make_transpose(q), diff_q);
  const Value middle = upper_part(m) + make_transpose(keep_where(m, Op::lt_));
  const Value left = diff_q + matmul(q, middle);
  // X R^T = left is R X^T = left^T.
  const Value solved = make(Op::triangular_solve_, {r, make_transpose(left)}, {true, false, false});
  return make_transpose(solved);
}

// A wide A = [A1, A2] has A1 = Q R1 and R2 = Q^T A2: dA2 = Q gR2, and A2 gR2^T adds to gQ
Values qr_gradient(const GradContext& c) {
  const Shape& shape = c.in(0).shape();
  const int64_t rows = shape[shape.rank() - 2];
  const int64_t cols = shape.back();
  const Value q = c.out(0);
  const Value r = c.out(1);
  const Value diff_q = grad_or_zeros(c, 0);
  const Value diff_r = grad_or_zeros(c, 1);
  if (rows >= cols) return {tall_qr_gradient(q, r, diff_q, diff_r)};
  const Value diff_r2 = columns(diff_r, rows, cols - rows);
  const Value a2 = columns(c.in(0), rows, cols - rows);
  const Value diff_q1 = diff_q + matmul(a2, make_transpose(diff_r2));
  const Value diff_a1 = tall_qr_gradient(q, columns(r, 0, rows), diff_q1, columns(diff_r, 0, rows));
  return {make(Op::cat_, {diff_a1, matmul(q, diff_r2)}, {int64_t{shape.rank() - 1}})};
}

/// Differences x_j - x_i as [..., i, j], with 1 on the diagonal so that they divide.
Value differences(const Value& x) { return keep_where(as_row(x) - as_column(x), Op::ne_, 1.0); }

// With E_ij = s_j^2 - s_i^2 (1 on the diagonal) and skew(X) = X - X^T:
// dA = U ((skew(U^T gU) / E) S + S (skew(V^T gV) / E) + diag(gS)) V^T
//      + (I - U U^T) gU S^-1 V^T + U S^-1 gV^T (I - V V^T)
Values svd_gradient(const GradContext& c) {
  const Value u = c.out(0);
  const Value s = c.out(1);
  const Value vh = c.out(2);
  const Value v = make_transpose(vh);
  const Shape& shape = c.in(0).shape();
  const int64_t rows = shape[shape.rank() - 2];
  const int64_t cols = shape.back();
  const Value gaps = differences(make(Op::square_, {s}));
  Value middle = diagonal_matrix(grad_or_zeros(c, 1));
  if (c.grad(0)) {
    const Value skew = minus_transpose(matmul(make_transpose(u), c.grad(0)));
    middle = middle + skew / gaps * as_row(s);
  }
  if (c.grad(2)) {
    const Value skew = minus_transpose(matmul(vh, make_transpose(c.grad(2))));
    middle = middle + as_column(s) * (skew / gaps);
  }
  Value left = matmul(u, middle);
  if (c.grad(0) && rows > cols) {
    const Value scaled = c.grad(0) / as_row(s);
    left = left + scaled - matmul(u, matmul(make_transpose(u), scaled));
  }
  Value result = matmul(left, vh);
  if (c.grad(2) && cols > rows) {
    const Value scaled = c.grad(2) / as_column(s);
    result = result + matmul(u, scaled - matmul(matmul(scaled, v), vh));
  }
  return {result};
}

// With E_ij = l_j - l_i: dA = V (diag(gl) + (V^T gV) / E) V^T, off the diagonal of V^T gV
Values eigh_gradient(const GradContext& c) {
  const Value values = c.out(0);
  const Value vectors = c.out(1);
  const Value transposed = make_transpose(vectors);
  Value middle = diagonal_matrix(grad_or_zeros(c, 0));
  if (c.grad(1)) {
    const Value projected = matmul(transposed, c.grad(1)) / differences(values);
    middle = middle + keep_where(projected, Op::ne_);
  }
  return {matmul(vectors, matmul(middle, transposed))};
}

}  // namespace

void add_factorization_rules(GradTable& table) {
  add_rule(table, Op::qr_, qr_gradient, 1, 3);
  add_rule(table, Op::svd_, svd_gradient, 0, 7);
  add_rule(table, Op::eigh_, eigh_gradient, 0, 3);
}

}  // namespace ds
