// SPDX-License-Identifier: Apache-2.0
// Gradients of recurrent layers: back through time in one operation, the weight's as one product
// over all steps. What is differentiated twice is written out step by step.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

Value sigmoid(const Value& x) { return make(Op::sigmoid_, {x}); }
Value tanh(const Value& x) { return make(Op::tanh_, {x}); }

/// [begin, begin + size) of a dimension.
Value part(const Value& x, int dim, int64_t begin, int64_t size) {
  Shape starts = Shape::filled(x.shape().rank(), 0), sizes = x.shape();
  starts[dim] = begin;
  sizes[dim] = size;
  return make(Op::slice_, {x}, {starts, sizes, Shape::filled(x.shape().rank(), 1)});
}
/// Row i of the first dimension, without it.
Value at_time(const Value& x, int64_t i) {
  return make_reshape(part(x, 0, i, 1), Shape(x.shape().begin() + 1, x.shape().end()));
}
Value joined(Values parts, int dim) { return make(Op::cat_, std::move(parts), {int64_t{dim}}); }
/// [...] at each time as [T, ...].
Value stacked(Values steps) {
  for (Value& step : steps) {
    Shape shape{1};
    for (const int64_t size : step.shape()) shape.push_back(size);
    step = make_reshape(step, shape);
  }
  return joined(std::move(steps), 0);
}

/// The states that the steps of h began with.
Value states_before(const Value& h, const Value& h0, bool reverse) {
  const int64_t steps = h.shape()[0];
  const Value first = stacked({h0});
  if (steps == 1) return first;
  return reverse ? joined({part(h, 0, 1, steps - 1), first}, 0)
                 : joined({first, part(h, 0, 0, steps - 1)}, 0);
}

Values compose_lstm(const GradContext& c) {
  const int64_t steps = c.in(0).shape()[0], hidden = c.in(1).shape()[1];
  const bool reverse = c.node->attr_bool("reverse");
  const Value weight = make_transpose(c.in(3));
  Value h = c.in(1), cell = c.in(2);
  Values hs(static_cast<size_t>(steps)), cells = hs, gates = hs;
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = reverse ? steps - 1 - i : i;
    const Value z = at_time(c.in(0), t) + make(Op::matmul_, {h, weight});
    const Value in = sigmoid(part(z, 1, 0, hidden)), keep = sigmoid(part(z, 1, hidden, hidden));
    const Value g = tanh(part(z, 1, 2 * hidden, hidden));
    const Value out = sigmoid(part(z, 1, 3 * hidden, hidden));
    cell = keep * cell + in * g;
    h = out * tanh(cell);
    hs[static_cast<size_t>(t)] = h;
    cells[static_cast<size_t>(t)] = cell;
    gates[static_cast<size_t>(t)] = joined({in, keep, g, out}, 1);
  }
  return {stacked(hs), stacked(cells), stacked(gates)};
}

Values compose_lstm_backward(const GradContext& c) {
  const Value &diff_h = c.in(0), &gates = c.in(1), &cells = c.in(2), &weight = c.in(4);
  const int64_t steps = diff_h.shape()[0], hidden = diff_h.shape()[2];
  const bool reverse = c.node->attr_bool("reverse");
  Value dh = make_full(c.in(3).shape(), 0, diff_h.dtype()), dc = dh;
  Values diffs(static_cast<size_t>(steps));
  for (int64_t i = steps - 1; i >= 0; --i) {
    const auto time = [&](int64_t step) { return reverse ? steps - 1 - step : step; };
    const int64_t t = time(i);
    const Value z = at_time(gates, t), before = i > 0 ? at_time(cells, time(i - 1)) : c.in(3);
    const Value in = part(z, 1, 0, hidden), keep = part(z, 1, hidden, hidden);
    const Value g = part(z, 1, 2 * hidden, hidden), out = part(z, 1, 3 * hidden, hidden);
    const Value tanh_c = tanh(at_time(cells, t)), grad = dh + at_time(diff_h, t);
    Value cell = dc + grad * out * (1.0 - tanh_c * tanh_c);
    if (c.node->inputs().size() > 5) cell = cell + at_time(c.in(5), t);
    const Value diff = joined({cell * g * in * (1.0 - in), cell * before * keep * (1.0 - keep),
                               cell * in * (1.0 - g * g), grad * tanh_c * out * (1.0 - out)},
                              1);
    dc = cell * keep;
    dh = make(Op::matmul_, {diff, weight});
    diffs[static_cast<size_t>(t)] = diff;
  }
  return {stacked(diffs), dh, dc};
}

Values lstm_gradient(const GradContext& c) {
  // Only lstm_backward reads the gates, so their gradient is part of a second derivative.
  if (c.grad(2)) return differentiate_by_decomposition(c, compose_lstm);
  const Value &gates = c.in(0), &h0 = c.in(1), &weight = c.in(3), h = c.out(0);
  const bool reverse = c.node->attr_bool("reverse");
  Values inputs{c.grad(0) ? c.grad(0) : make_full(h.shape(), 0, h.dtype()), c.out(2), c.out(1),
                c.in(2), weight};
  if (c.grad(1)) inputs.push_back(c.grad(1));
  const NodePtr node = make_node(Op::lstm_backward_, std::move(inputs), {reverse});
  Values grads{{node, 0}, {node, 1}, {node, 2}, {}};
  if (c.needs(3)) {
    const int64_t rows = gates.shape()[0] * gates.shape()[1];
    const Value diff = make_reshape(grads[0], {rows, gates.shape()[2]});
    const Value before = make_reshape(states_before(h, h0, reverse), {rows, weight.shape()[1]});
    grads[3] = make(Op::matmul_, {make_transpose(diff), before});
  }
  return grads;
}

Values lstm_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, compose_lstm_backward);
}

}  // namespace

void add_recurrent_rules(GradTable& table) {
  add_rule(table, Op::lstm_, lstm_gradient, 15, 7);
  add_rule(table, Op::lstm_backward_, lstm_backward_gradient, 63);
}

}  // namespace ds
