// SPDX-License-Identifier: Apache-2.0
// Gradients of recurrent layers: back through time in one operation, the weight's as one product
// over all steps. What is differentiated twice is written out step by step.
#include <algorithm>

#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"
#include "ds/ir/recurrent.h"

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

/// Sequences as [T, N, width], and rows that take a step; packed ones are unpacked for it.
struct Steps : RecurrentForm {
  Value places;  // of packed sequences: [T, N] in the rows, beyond the last where there is none
  Value valid;   // [T, N, 1] bool
  int64_t rows = 0;

  explicit Steps(const Node& node) : RecurrentForm(recurrent_form(node)) {
    if (!packed) return;
    rows = node.input(0).shape()[0];
    const Value& counts = node.input(sizes);
    const Value starts =
        make_reshape(make(Op::cumsum_, {counts}, {int64_t{0}}) - counts, {steps, 1});
    const Value column = make(Op::iota_, {}, {batch, DType::i64});
    valid = make(Op::lt_, {column, make_reshape(counts, {steps, 1})});
    places = make(Op::where_, {valid, starts + column,
                               make_full({steps, batch}, static_cast<double>(rows), DType::i64)});
    valid = make_reshape(valid, {steps, batch, 1});
  }
  int64_t time(int64_t i) const { return reverse ? steps - 1 - i : i; }

  /// Zeros where there is no row.
  Value unpacked(const Value& x) const {
    if (!packed || !x) return x;
    const int64_t width = x.shape()[1];
    const Value padded = joined({x, make_full({1, width}, 0, x.dtype())}, 0);
    return make(Op::index_select_, {padded, places}, {int64_t{0}});
  }
  Value packed_again(const Value& x) const {
    if (!packed || !x) return x;
    const int64_t width = x.shape()[2];
    const Value spread =
        make(Op::index_add_,
             {make_full({rows + 1, width}, 0, x.dtype()), make_reshape(places, {steps * batch}),
              make_reshape(x, {steps * batch, width})},
             {int64_t{0}});
    return part(spread, 0, 0, rows);
  }
  /// `next` in the rows that take step t, elsewhere what was there before.
  Value kept(int64_t t, const Value& next, const Value& before) const {
    return packed ? make(Op::where_, {at_time(valid, t), next, before}) : next;
  }
};

Values compose_recurrent(const GradContext& c) {
  const Steps s(*c.node);
  const int64_t hidden = s.hidden;
  const Value gates = s.unpacked(c.in(0));
  const Value weight = make_transpose(make_cast(c.in(2), gates.dtype()));
  Value h = c.in(1), cell = s.c0 >= 0 ? c.in(s.c0) : Value();
  Values hs(static_cast<size_t>(s.steps)), cells = hs, activated = hs;
  for (int64_t i = 0; i < s.steps; ++i) {
    const int64_t t = s.time(i);
    const auto at = static_cast<size_t>(t);
    const Value x = at_time(gates, t), y = make(Op::matmul_, {h, weight});
    const auto gate = [&](const Value& of, int64_t k) { return part(of, 1, k * hidden, hidden); };
    Value next;
    if (s.kind == CellKind::lstm) {
      const Value z = x + y, in = sigmoid(gate(z, 0)), keep = sigmoid(gate(z, 1));
      const Value g = tanh(gate(z, 2)), out = sigmoid(gate(z, 3));
      cell = s.kept(t, keep * cell + in * g, cell);
      next = out * tanh(cell);
      if (s.projected)
        next =
            make(Op::matmul_, {next, make_transpose(make_cast(c.in(s.projection), gates.dtype()))});
      cells[at] = cell;
      activated[at] = joined({in, keep, g, out}, 1);
    } else if (s.kind == CellKind::gru) {
      const Value reset = sigmoid(gate(x, 0) + gate(y, 0)),
                  update = sigmoid(gate(x, 1) + gate(y, 1));
      cells[at] = gate(y, 2) + c.in(s.bias);
      const Value n = tanh(gate(x, 2) + reset * cells[at]);
      next = n + update * (h - n);
      activated[at] = joined({reset, update, n}, 1);
    } else {
      next = s.kind == CellKind::rnn_relu ? make(Op::relu_, {x + y}) : tanh(x + y);
    }
    h = s.kept(t, next, h);
    hs[at] = h;
  }
  Values outputs{s.packed_again(stacked(hs)), {}, {}};
  if (!cells[0]) return outputs;
  outputs[1] = s.packed_again(stacked(cells));
  outputs[2] = s.packed_again(stacked(activated));
  return outputs;
}

Values compose_recurrent_backward(const GradContext& c) {
  const Steps s(*c.node);
  const int64_t hidden = s.hidden;
  const Value diff_h = s.unpacked(c.in(0)), hs = s.unpacked(c.in(1)), &h0 = c.in(2);
  const bool lstm = s.kind == CellKind::lstm, gru = s.kind == CellKind::gru;
  const Value gates = lstm || gru ? s.unpacked(c.in(3)) : Value();
  const Value cells = lstm || gru ? s.unpacked(c.in(4)) : Value();
  const Value diff_c = s.diff_c >= 0 ? s.unpacked(c.in(s.diff_c)) : Value();
  const Value weight = make_cast(c.in(s.weight), diff_h.dtype());
  Value dh = make_full(h0.shape(), 0, diff_h.dtype());
  Value dc = make_full({s.batch, hidden}, 0, diff_h.dtype());
  Values diffs(static_cast<size_t>(s.steps)), befores = diffs, states = diffs;
  for (int64_t i = s.steps - 1; i >= 0; --i) {
    const int64_t t = s.time(i);
    const auto at = static_cast<size_t>(t);
    // A row that begins with this step comes from the initial state.
    const auto before_of = [&](const Value& sequence, const Value& first) {
      return i > 0 ? s.kept(s.time(i - 1), at_time(sequence, s.time(i - 1)), first) : first;
    };
    const Value before = before_of(hs, h0);
    Value grad = dh + at_time(diff_h, t), next;
    befores[at] = before;
    if (lstm) {
      if (s.projected) {
        states[at] = grad;
        grad = make(Op::matmul_, {grad, make_cast(c.in(s.projection), diff_h.dtype())});
      }
      const Value z = at_time(gates, t), in = part(z, 1, 0, hidden);
      const Value keep = part(z, 1, hidden, hidden), g = part(z, 1, 2 * hidden, hidden);
      const Value out = part(z, 1, 3 * hidden, hidden), tanh_c = tanh(at_time(cells, t));
      Value cell = dc + grad * out * (1.0 - tanh_c * tanh_c);
      if (diff_c) cell = cell + at_time(diff_c, t);
      diffs[at] = joined(
          {cell * g * in * (1.0 - in), cell * before_of(cells, c.in(s.c0)) * keep * (1.0 - keep),
           cell * in * (1.0 - g * g), grad * tanh_c * out * (1.0 - out)},
          1);
      dc = s.kept(t, cell * keep, dc);
      next = make(Op::matmul_, {diffs[at], weight});
    } else if (gru) {
      const Value z = at_time(gates, t), reset = part(z, 1, 0, hidden);
      const Value update = part(z, 1, hidden, hidden), n = part(z, 1, 2 * hidden, hidden);
      const Value dn = grad * (1.0 - update) * (1.0 - n * n);
      const Value dr = dn * at_time(cells, t) * reset * (1.0 - reset);
      const Value du = grad * (before - n) * update * (1.0 - update);
      states[at] = dn * reset;
      diffs[at] = joined({dr, du, dn}, 1);
      next = grad * update + make(Op::matmul_, {joined({dr, du, states[at]}, 1), weight});
    } else {
      const Value y = at_time(hs, t);
      diffs[at] = s.kind == CellKind::rnn_tanh
                      ? grad * (1.0 - y * y)
                      : make(Op::where_, {make(Op::gt_, {y, make_constant(0, y.dtype())}), grad,
                                          make_constant(0, y.dtype())});
      next = make(Op::matmul_, {diffs[at], weight});
    }
    dh = s.kept(t, next, dh);
  }
  return {s.packed_again(stacked(diffs)), dh, lstm ? dc : Value(), s.packed_again(stacked(befores)),
          states[0] ? s.packed_again(stacked(states)) : Value()};
}

/// [rows, width] whatever the dimensions of time and batch.
Value rows_of(const Value& x) {
  const int64_t width = x.shape().back();
  return make_reshape(x, {x.shape().numel() / std::max<int64_t>(width, 1), width});
}

/// left^T right, in the dtype of the weight that it is the gradient of.
Value weight_gradient(const Value& left, const Value& right, DType dtype) {
  return make(Op::matmul_, {make_transpose(make_cast(left, dtype)), make_cast(right, dtype)});
}

Values recurrent_gradient(const GradContext& c) {
  const RecurrentForm form = recurrent_form(*c.node);
  const bool lstm = form.kind == CellKind::lstm, gru = form.kind == CellKind::gru;
  // Only recurrent_backward reads the gates, and the cell of what is not an lstm, so their gradient
  // is part of a second derivative.
  if (c.grad(2) || (c.grad(1) && !lstm))
    return differentiate_by_decomposition(c, compose_recurrent);
  const Value &weight = c.in(form.weight), h = c.out(0);
  Values inputs{c.grad(0) ? c.grad(0) : make_full(h.shape(), 0, h.dtype()),
                h,
                c.in(1),
                c.out(2),
                c.out(1),
                weight};
  for (const int i : {form.c0, form.projection, form.sizes})
    if (i >= 0) inputs.push_back(c.in(i));
  if (c.grad(1)) inputs.push_back(c.grad(1));
  const NodePtr node = make_node(Op::recurrent_backward_, std::move(inputs), c.node->attrs());
  Values grads(c.node->inputs().size());
  grads[0] = {node, 0};
  grads[1] = {node, 1};
  if (lstm) grads[static_cast<size_t>(form.c0)] = {node, 2};
  if (c.needs(form.weight)) {
    // One product, also of a gru's gates: those of the steps of a cell are joined into one.
    Value diff = rows_of({node, 0});
    if (gru) diff = joined({part(diff, 1, 0, 2 * form.hidden), rows_of({node, 4})}, 1);
    grads[static_cast<size_t>(form.weight)] =
        weight_gradient(diff, rows_of({node, 3}), weight.dtype());
  }
  if (gru && c.needs(form.bias))
    grads[static_cast<size_t>(form.bias)] = make_sum(rows_of({node, 4}), {0}, false);
  if (form.projected && c.needs(form.projection)) {
    const Value out = part(rows_of(c.out(2)), 1, 3 * form.hidden, form.hidden);
    grads[static_cast<size_t>(form.projection)] = weight_gradient(
        rows_of({node, 4}), out * tanh(rows_of(c.out(1))), c.in(form.projection).dtype());
  }
  return grads;
}

Values recurrent_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, compose_recurrent_backward);
}

}  // namespace

void add_recurrent_rules(GradTable& table) {
  add_rule(table, Op::recurrent_, recurrent_gradient, 63, 7);
  add_rule(table, Op::recurrent_backward_, recurrent_backward_gradient, 1023);
}

}  // namespace ds
