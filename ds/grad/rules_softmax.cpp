// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax, log_softmax and the cross entropy of logits.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kY = 1;

Value exp(const Value& x) { return make(Op::exp_, {x}); }
Value sum_along(const GradContext& c, const Value& x) {
  return make_sum(x, {c.node->attr_int("dim")}, true);
}
bool is_scalar(const GradContext& c) { return c.in(0).shape().rank() == 0; }
Value zeros_like(const Value& x) { return make_full(x.shape(), 0.0, x.dtype()); }

// dx = softmax_backward(g, y)
Values softmax_gradient(const GradContext& c) {
  return {make(Op::softmax_backward_, {c.grad(), c.out()}, c.node->attrs())};
}

// b(d, y) = y (d - sum(d y)): dd = b(g, y), dy = g (d - sum(d y)) - d sum(g y)
Values softmax_backward_gradient(const GradContext& c) {
  if (is_scalar(c)) return {zeros_like(c.in(0)), zeros_like(c.in(1))};
  const Value& g = c.grad();
  const Value& diff_dst = c.in(0);
  const Value& dst = c.in(1);
  Values grads(2);
  if (c.needs(0)) grads[0] = make(Op::softmax_backward_, {g, dst}, c.node->attrs());
  if (c.needs(1))
    grads[1] = g * (diff_dst - sum_along(c, diff_dst * dst)) - diff_dst * sum_along(c, g * dst);
  return grads;
}

// dx = log_softmax_backward(g, y)
Values log_softmax_gradient(const GradContext& c) {
  return {make(Op::log_softmax_backward_, {c.grad(), c.out()}, c.node->attrs())};
}

// b(d, y) = d - exp(y) sum(d): dd = g - sum(g exp(y)), dy = -g exp(y) sum(d)
Values log_softmax_backward_gradient(const GradContext& c) {
  if (is_scalar(c)) return {zeros_like(c.in(0)), zeros_like(c.in(1))};
  const Value weighted = c.grad() * exp(c.in(1));
  Values grads(2);
  if (c.needs(0)) grads[0] = c.grad() - sum_along(c, weighted);
  if (c.needs(1)) grads[1] = -(weighted * sum_along(c, c.in(0)));
  return grads;
}

/// [N] -> [N, 1].
Value column(const Value& x) { return make_reshape(x, {x.shape()[0], 1}); }

// loss: softmax_cross_entropy_backward; logsumexp: dx += g exp(x - logsumexp)
Values cross_entropy_gradient(const GradContext& c) {
  const Value& logits = c.in(0);
  Values grads(2);
  if (c.grad(0))
    grads[0] = make(Op::softmax_cross_entropy_backward_, {c.grad(0), logits, c.in(1), c.out(1)},
                    c.node->attrs());
  if (c.grad(1)) {
    const Value logsumexp = column(c.out(1));
    const Value softmax = exp(make_cast(logits, logsumexp.dtype()) - logsumexp);
    const Value term = make_cast(softmax * column(c.grad(1)), logits.dtype());
    grads[0] = grads[0] ? grads[0] + term : term;
  }
  return grads;
}

// dlogits = dloss (exp(logits - logsumexp) - (1 - s) onehot - s / C), 0 in ignored rows
Values cross_entropy_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, [](const GradContext& c) -> Values {
    const Value& logits = c.in(1);
    const Value labels = column(c.in(2));
    const DType dtype = c.in(3).dtype();
    const int64_t classes = logits.shape()[1];
    const double smoothing = c.node->attr_float("label_smoothing");
    const Value ignored =
        make(Op::constant_int_, {}, {c.node->attr_int("ignore_index"), DType::i64});
    const Value number = make(Op::iota_, {}, {classes, DType::i64});
    const Value onehot = make_cast(make(Op::eq_, {labels, number}), dtype);
    const Value wanted = onehot * (1.0 - smoothing) + smoothing / static_cast<double>(classes);
    const Value softmax = exp(make_cast(logits, dtype) - column(c.in(3)));
    const Value diff = column(make_cast(c.in(0), dtype)) * (softmax - wanted);
    const Value kept =
        make(Op::where_, {make(Op::eq_, {labels, ignored}), make_constant(0.0, dtype), diff});
    return {make_cast(kept, logits.dtype())};
  });
}

}  // namespace

void add_softmax_rules(GradTable& table) {
  add_rule(table, Op::softmax_, softmax_gradient, 0, kY);
  add_rule(table, Op::softmax_backward_, softmax_backward_gradient, 3);
  add_rule(table, Op::log_softmax_, log_softmax_gradient, 0, kY);
  add_rule(table, Op::log_softmax_backward_, log_softmax_backward_gradient, 3);
  add_rule(table, Op::softmax_cross_entropy_, cross_entropy_gradient, 3, 2);
  add_rule(table, Op::softmax_cross_entropy_backward_, cross_entropy_backward_gradient, 15);
}

}  // namespace ds
