// SPDX-License-Identifier: Apache-2.0
// Gradients of the reductions.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kX = 1;
constexpr uint32_t kY = 1;

/// The shape of a reduction's result with the reduced dimensions kept as 1.
Shape kept_shape(const GradContext& c) {
  Shape shape = c.in(0).shape();
  for (int64_t dim : c.node->attr_ints("dims")) shape[static_cast<int>(dim)] = 1;
  return shape;
}

int64_t reduced_count(const GradContext& c) {
  int64_t count = 1;
  for (int64_t dim : c.node->attr_ints("dims")) count *= c.in(0).shape()[static_cast<int>(dim)];
  return count;
}

/// A value of the result's shape, broadcast over the reduced dimensions.
Value spread(const GradContext& c, const Value& value) {
  const Shape& dims = c.node->attr_ints("dims");
  // Leading dimensions come back by broadcasting alone.
  const bool leading = dims.empty() || dims.back() == dims.rank() - 1;
  return make_expand(leading ? value : make_reshape(value, kept_shape(c)), c.in(0).shape());
}

// dx = g
Values sum_gradient(const GradContext& c) { return {spread(c, c.grad())}; }

// dx = g / n
Values mean_gradient(const GradContext& c) {
  return {spread(c, c.grad() / static_cast<double>(reduced_count(c)))};
}

/// Products of all elements before each one along the last dimension of [rows, n].
Value exclusive_cumprod(const Value& x) {
  const int64_t rows = x.shape()[0];
  const int64_t n = x.shape()[1];
  const Value head = make(Op::slice_, {x}, {Shape{0, 0}, Shape{rows, n - 1}, Shape{1, 1}});
  const Value shifted = make(Op::pad_, {head}, {Shape{0, 1}, Shape{0, 0}, 1.0});
  return make(Op::cumprod_, {shifted}, {int64_t{1}});
}

// dx_i = g prod_{j != i} x_j: products of what is before and after, so zeros need no division
Values prod_gradient(const GradContext& c) {
  const Value& x = c.in(0);
  if (x.shape().numel() == 0) return {make_full(x.shape(), 0.0, x.dtype())};
  const Shape& dims = c.node->attr_ints("dims");
  Shape order;
  Shape is_reduced = Shape::filled(x.shape().rank(), 0);
  for (int64_t dim : dims) is_reduced[static_cast<int>(dim)] = 1;
  for (int pass = 0; pass < 2; ++pass)
    for (int i = 0; i < x.shape().rank(); ++i)
      if (is_reduced[i] == pass) order.push_back(i);
  Shape inverse = order;
  for (int i = 0; i < order.rank(); ++i) inverse[static_cast<int>(order[i])] = i;

  const int64_t n = reduced_count(c);
  const Value permuted = make_permute(x, order);
  const Value rows = make_reshape(permuted, {x.shape().numel() / n, n});
  const Value before = exclusive_cumprod(rows);
  const Value reversed = make(Op::flip_, {rows}, {Shape{1}});
  const Value after = make(Op::flip_, {exclusive_cumprod(reversed)}, {Shape{1}});
  const Value others = make_permute(make_reshape(before * after, permuted.shape()), inverse);
  return {spread(c, c.grad()) * others};
}

// dx = g / count where x equals the extremum, shared evenly among ties
Values extremum_gradient(const GradContext& c) {
  const Value& x = c.in(0);
  const Value hit = make_cast(make(Op::eq_, {x, spread(c, c.out())}), x.dtype());
  const Value count = make_sum(hit, c.node->attr_ints("dims"), true);
  const Value share = make_reshape(c.grad(), kept_shape(c)) / count;
  return {hit * share};
}

}  // namespace

void add_reduce_rules(GradTable& table) {
  add_rule(table, Op::sum_, sum_gradient);
  add_rule(table, Op::mean_, mean_gradient);
  add_rule(table, Op::prod_, prod_gradient, kX);
  add_rule(table, Op::amax_, extremum_gradient, kX, kY);
  add_rule(table, Op::amin_, extremum_gradient, kX, kY);
}

}  // namespace ds
