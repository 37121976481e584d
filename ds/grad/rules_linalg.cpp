// SPDX-License-Identifier: Apache-2.0
// Gradients of solvers, inverse and determinant (Giles 2008, "An extended collection of matrix
// derivative results for forward and reverse mode automatic differentiation").
#include "ds/grad/matrix.h"
#include "ds/grad/rule_families.h"

namespace ds {
namespace {

Value triangular_solve(const Value& a, const Value& b, bool upper, bool transpose,
                       bool unitriangular) {
  return make(Op::triangular_solve_, {a, b}, {upper, transpose, unitriangular});
}

// op(A) X = B: dB = op(A)^-T g, dA = -dB X^T or its transpose, kept to A's triangle
Values triangular_solve_gradient(const GradContext& c) {
  const bool upper = c.node->attr_bool("upper");
  const bool transpose = c.node->attr_bool("transpose");
  const bool unitriangular = c.node->attr_bool("unitriangular");
  const Value diff_b = triangular_solve(c.in(0), c.grad(), upper, !transpose, unitriangular);
  Values grads(2);
  if (c.needs(0)) {
    const Value x = c.out();
    const Value full =
        transpose ? matmul(x, make_transpose(diff_b)) : matmul(diff_b, make_transpose(x));
    const Op strict = upper ? Op::lt_ : Op::gt_;
    const Op inclusive = upper ? Op::le_ : Op::ge_;
    grads[0] = keep_where(-full, unitriangular ? strict : inclusive);
  }
  if (c.needs(1)) grads[1] = diff_b;
  return grads;
}

// A X = B: dB = A^-T g, dA = -dB X^T
Values solve_gradient(const GradContext& c) {
  const Value diff_b = make(Op::solve_, {make_transpose(c.in(0)), c.grad()});
  Values grads(2);
  if (c.needs(0)) grads[0] = -matmul(diff_b, make_transpose(c.out()));
  if (c.needs(1)) grads[1] = diff_b;
  return grads;
}

// Y = A^-1: dA = -Y^T g Y^T
Values inverse_gradient(const GradContext& c) {
  const Value transposed = make_transpose(c.out());
  return {-matmul(transposed, matmul(c.grad(), transposed))};
}

// log|det A|: dA = g A^-T; the sign is constant
Values slogdet_gradient(const GradContext& c) {
  if (!c.grad(1)) return Values(1);
  const Value inverse = make(Op::inverse_, {c.in(0)});
  return {make_transpose(inverse) * as_column(as_column(c.grad(1)))};
}

// A = L L^T (Murray 2016, "Differentiation of the Cholesky decomposition"): with M = tril(L^T g),
// dA = L^-T (M + M^T, its diagonal once) L^-1 / 2
Values cholesky_gradient(const GradContext& c) {
  const bool upper = c.node->attr_bool("upper");
  const Value factor = upper ? make_transpose(c.out()) : c.out();
  const Value g = upper ? make_transpose(c.grad()) : c.grad();
  const Value product = matmul(make_transpose(factor), g);
  const Value middle = lower_part(product) + make_transpose(keep_where(product, Op::gt_));
  // The middle is symmetric, so X = L^-T middle and dA = (L^-T X^T)^T = L^-T X^T, symmetric too.
  const Value half = triangular_solve(factor, middle, false, true, false);
  return {triangular_solve(factor, make_transpose(half), false, true, false) * 0.5};
}

}  // namespace

void add_linalg_rules(GradTable& table) {
  add_rule(table, Op::cholesky_, cholesky_gradient, 0, 1);
  add_rule(table, Op::triangular_solve_, triangular_solve_gradient, 1, 1);
  add_rule(table, Op::solve_, solve_gradient, 1, 1);
  add_rule(table, Op::inverse_, inverse_gradient, 0, 1);
  add_rule(table, Op::slogdet_, slogdet_gradient, 1);
}

}  // namespace ds
