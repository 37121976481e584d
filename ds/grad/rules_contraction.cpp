// SPDX-License-Identifier: Apache-2.0
// Gradients of matmul, convolution and the two gradients of convolution, which are each other's.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kBoth = 3;

/// All leading dimensions folded into the rows: [..., M, K] -> [... * M, K]. Not for empty x.
Value as_rows(const Value& x) {
  const int64_t columns = x.shape().back();
  return make_reshape(x, {x.shape().numel() / columns, columns});
}

// y = a b: da = g b^T, db = a^T g; a shared b takes one product over all batches, not a sum of many
Values matmul_gradient(const GradContext& c) {
  const Value& g = c.grad();
  const Value& a = c.in(0);
  const Value& b = c.in(1);
  Values grads(2);
  if (c.needs(0)) grads[0] = make_sum_to(make(Op::matmul_, {g, make_transpose(b)}), a.shape());
  if (!c.needs(1)) return grads;
  const bool folds = b.shape().rank() == 2 && a.shape().rank() > 2 && a.shape().numel() > 0 &&
                     g.shape().numel() > 0;
  if (folds)
    grads[1] = make(Op::matmul_, {make_transpose(as_rows(a)), as_rows(g)});
  else
    grads[1] = make_sum_to(make(Op::matmul_, {make_transpose(a), g}), b.shape());
  return grads;
}

/// Sizes after the first two dimensions.
Shape spatial(const Value& x) { return Shape(x.shape().begin() + 2, x.shape().end()); }

/// The attributes that the three ops share.
Attrs window_attrs(const Node& node) {
  return {node.attr_ints("stride"), node.attr_ints("padding"), node.attr_ints("padding_hi"),
          node.attr_ints("dilation"), node.attr_int("groups")};
}
Value convolution(const GradContext& c, const Value& src, const Value& weights) {
  return make(Op::convolution_, {src, weights}, window_attrs(*c.node));
}
Value diff_src(const GradContext& c, const Value& diff_dst, const Value& weights,
               const Shape& src_spatial) {
  Attrs attrs = window_attrs(*c.node);
  attrs.insert(attrs.begin(), src_spatial);
  return make(Op::conv_diff_src_, {diff_dst, weights}, std::move(attrs));
}
Value diff_weights(const GradContext& c, const Value& src, const Value& diff_dst,
                   const Shape& kernel) {
  Attrs attrs = window_attrs(*c.node);
  attrs.insert(attrs.begin(), kernel);
  return make(Op::conv_diff_weights_, {src, diff_dst}, std::move(attrs));
}

// y = conv(x, w): dx = conv_diff_src(g, w), dw = conv_diff_weights(x, g)
Values convolution_gradient(const GradContext& c) {
  const Value& src = c.in(0);
  const Value& weights = c.in(1);
  Values grads(2);
  if (c.needs(0)) grads[0] = diff_src(c, c.grad(), weights, spatial(src));
  if (c.needs(1)) grads[1] = diff_weights(c, src, c.grad(), spatial(weights));
  return grads;
}

// x = conv_diff_src(y, w): dy = conv(g, w), dw = conv_diff_weights(g, y)
Values conv_diff_src_gradient(const GradContext& c) {
  const Value& diff_dst = c.in(0);
  const Value& weights = c.in(1);
  Values grads(2);
  if (c.needs(0)) grads[0] = convolution(c, c.grad(), weights);
  if (c.needs(1)) grads[1] = diff_weights(c, c.grad(), diff_dst, spatial(weights));
  return grads;
}

// w = conv_diff_weights(x, y): dx = conv_diff_src(y, g), dy = conv(x, g)
Values conv_diff_weights_gradient(const GradContext& c) {
  const Value& src = c.in(0);
  const Value& diff_dst = c.in(1);
  Values grads(2);
  if (c.needs(0)) grads[0] = diff_src(c, diff_dst, c.grad(), spatial(src));
  if (c.needs(1)) grads[1] = convolution(c, src, c.grad());
  return grads;
}

}  // namespace

void add_contraction_rules(GradTable& table) {
  add_rule(table, Op::matmul_, matmul_gradient, kBoth);
  add_rule(table, Op::convolution_, convolution_gradient, kBoth);
  add_rule(table, Op::conv_diff_src_, conv_diff_src_gradient, kBoth);
  add_rule(table, Op::conv_diff_weights_, conv_diff_weights_gradient, kBoth);
}

}  // namespace ds
