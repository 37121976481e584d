// SPDX-License-Identifier: Apache-2.0
// Gradients of pooling and of the gradients of pooling.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kIndices = 2;  // mask: output 1 of a pooling, input 1 of its gradient

/// Sizes after [N, C].
Shape spatial(const Value& x) { return Shape(x.shape().begin() + 2, x.shape().end()); }

// dx = g summed into the position that won each window
Values max_pool_gradient(const GradContext& c) {
  if (!c.grad(0)) return Values(1);
  return {make(Op::max_pool_backward_, {c.grad(0), c.out(1)}, {spatial(c.in(0))})};
}

/// [N, C, ...] -> [N, C, positions].
Value flat_plane(const Value& x) {
  return make_reshape(x, {x.shape()[0], x.shape()[1], spatial(x).numel()});
}

// d(diff_dst) = g gathered from the positions that won
Values max_pool_backward_gradient(const GradContext& c) {
  const Value& indices = c.in(1);
  const Value picked = make(Op::gather_, {flat_plane(c.grad()), flat_plane(indices)}, {int64_t{2}});
  return {make_reshape(picked, c.in(0).shape()), {}};
}

// dx = avg_pool_backward(g)
Values avg_pool_gradient(const GradContext& c) {
  Attrs attrs = c.node->attrs();
  attrs.insert(attrs.begin(), spatial(c.in(0)));
  return {make(Op::avg_pool_backward_, {c.grad()}, std::move(attrs))};
}

// d(diff_dst) = avg_pool(g)
Values avg_pool_backward_gradient(const GradContext& c) {
  Attrs attrs(c.node->attrs().begin() + 1, c.node->attrs().end());
  return {make(Op::avg_pool_, {c.grad()}, std::move(attrs))};
}

// dx = adaptive_avg_pool_backward(g)
Values adaptive_avg_pool_gradient(const GradContext& c) {
  return {make(Op::adaptive_avg_pool_backward_, {c.grad()}, {spatial(c.in(0))})};
}

// d(diff_dst) = adaptive_avg_pool(g)
Values adaptive_avg_pool_backward_gradient(const GradContext& c) {
  return {make(Op::adaptive_avg_pool_, {c.grad()}, {spatial(c.in(0))})};
}

}  // namespace

void add_pool_rules(GradTable& table) {
  add_rule(table, Op::max_pool_, max_pool_gradient, 0, kIndices);
  add_rule(table, Op::adaptive_max_pool_, max_pool_gradient, 0, kIndices);
  add_rule(table, Op::max_pool_backward_, max_pool_backward_gradient, kIndices);
  add_rule(table, Op::avg_pool_, avg_pool_gradient);
  add_rule(table, Op::avg_pool_backward_, avg_pool_backward_gradient);
  add_rule(table, Op::adaptive_avg_pool_, adaptive_avg_pool_gradient);
  add_rule(table, Op::adaptive_avg_pool_backward_, adaptive_avg_pool_backward_gradient);
}

}  // namespace ds
