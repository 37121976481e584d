// SPDX-License-Identifier: Apache-2.0
// Types of recurrent ops.
#include "ds/ir/infer_checks.h"
#include "ds/ir/recurrent.h"

namespace ds {
namespace {

constexpr struct {
  const char* name;
  CellKind kind;
  int64_t gates;
} kKinds[] = {{"rnn_tanh", CellKind::rnn_tanh, 1},
              {"rnn_relu", CellKind::rnn_relu, 1},
              {"lstm", CellKind::lstm, 4},
              {"gru", CellKind::gru, 3}};

}  // namespace

CellKind cell_kind(std::string_view name) {
  for (const auto& row : kKinds)
    if (name == row.name) return row.kind;
  throw ValueError(
      str("recurrent: kind '", name, "' is unknown; use lstm, gru, rnn_tanh or rnn_relu"));
}
std::string cell_kind_name(CellKind kind) {
  for (const auto& row : kKinds)
    if (kind == row.kind) return row.name;
  return {};
}
int64_t gate_count(CellKind kind) {
  return kind == CellKind::lstm ? 4 : kind == CellKind::gru ? 3 : 1;
}

RecurrentForm recurrent_form(Op op, const Values& inputs, const Attrs& attrs) {
  const bool forward = op == Op::recurrent_;
  const InferContext c{op, inputs, attrs};
  RecurrentForm f{};
  f.kind = cell_kind(c.str_at(0));
  f.reverse = c.bool_at(1);
  check_rank(c, 0, 2, 3, forward ? "gates" : "diff_h");
  const int h0 = forward ? 1 : 2;
  f.weight = forward ? 2 : 5;
  check_rank(c, h0, 2, 2, "h0");
  check_rank(c, f.weight, 2, 2, "weight");
  const int64_t gates = gate_count(f.kind);
  DS_CHECK(c.shape(f.weight)[0] % gates == 0, ShapeError, c.name(), ": weight ", c.type(f.weight),
           " must have ", gates, " rows for each of the state's");
  f.hidden = c.shape(f.weight)[0] / gates;
  f.batch = c.shape(h0)[0];
  f.out = c.shape(h0)[1];
  f.packed = c.shape(0).rank() == 2;
  f.projected = f.kind == CellKind::lstm && f.out != f.hidden;
  int next = f.weight + 1;
  if (f.kind == CellKind::lstm) f.c0 = next++;
  if (f.kind == CellKind::gru && forward) f.bias = next++;
  if (f.projected) f.projection = next++;
  if (f.packed) f.sizes = next++;
  const int count = static_cast<int>(inputs.size());
  if (!forward && f.kind == CellKind::lstm && count > next) f.diff_c = next++;
  DS_CHECK(count == next, ShapeError, c.name(), ": ", count, " inputs for kind ", c.str_at(0),
           "; it takes ", next);
  if (f.packed) check_rank(c, f.sizes, 1, 1, "sizes");
  f.steps = f.packed ? c.shape(f.sizes)[0] : c.shape(0)[0];
  return f;
}

namespace {

/// A type as wide as wanted beside the dimensions of time and batch of input 0.
Type wide(const InferContext& c, int64_t width) {
  Shape shape = c.shape(0);
  shape.back() = width;
  return {c.dtype(0), shape};
}

/// The inputs that both ops have: floating ones of one dtype, but for weights in bf16.
void check_common(const InferContext& c, const RecurrentForm& f, int h0) {
  check_floating(c, 0);
  for (int i = 1; i < static_cast<int>(c.inputs.size()); ++i) {
    const bool weight = i == f.weight || i == f.projection;
    if (i == f.sizes)
      check_dtype(c, i, DType::i64);
    else if (!weight || c.dtype(i) != DType::bf16 || c.dtype(0) != DType::f32)
      check_same_dtype(c, 0, i);
  }
  check_shape(c, f.weight, {gate_count(f.kind) * f.hidden, f.out}, "weight");
  if (!f.packed) check_shape(c, h0, {c.shape(0)[1], f.out}, "h0");
  DS_CHECK(f.projected || f.out == f.hidden, ShapeError, c.name(), ": h0 ", c.type(h0),
           " must be as wide as the state of the weight ", c.type(f.weight));
  if (f.c0 >= 0) check_shape(c, f.c0, {f.batch, f.hidden}, "c0");
  if (f.bias >= 0) check_shape(c, f.bias, {f.hidden}, "bias");
  if (f.projection >= 0) check_shape(c, f.projection, {f.out, f.hidden}, "projection");
}

int64_t cell_width(const RecurrentForm& f) {
  return f.kind == CellKind::lstm || f.kind == CellKind::gru ? f.hidden : 0;
}
int64_t activated_width(const RecurrentForm& f) {
  return cell_width(f) == 0 ? 0 : gate_count(f.kind) * f.hidden;
}

}  // namespace

std::vector<Type> infer_recurrent(const InferContext& c) {
  const RecurrentForm f = recurrent_form(c.op, c.inputs, c.attrs);
  check_common(c, f, 1);
  check_shape(c, 0, wide(c, gate_count(f.kind) * f.hidden).shape, "gates");
  return {wide(c, f.out), wide(c, cell_width(f)), wide(c, activated_width(f))};
}

std::vector<Type> infer_recurrent_backward(const InferContext& c) {
  const RecurrentForm f = recurrent_form(c.op, c.inputs, c.attrs);
  check_common(c, f, 2);
  check_shape(c, 0, wide(c, f.out).shape, "diff_h");
  check_shape(c, 1, c.shape(0), "h");
  check_shape(c, 3, wide(c, activated_width(f)).shape, "activated");
  check_shape(c, 4, wide(c, cell_width(f)).shape, "c");
  if (f.diff_c >= 0) check_shape(c, f.diff_c, c.shape(4), "diff_c");
  const bool lstm = f.kind == CellKind::lstm;
  const int64_t state = f.projected ? f.out : f.kind == CellKind::gru ? f.hidden : 0;
  return {wide(c, gate_count(f.kind) * f.hidden),
          c.type(2),
          {c.dtype(0), {f.batch, lstm ? f.hidden : 0}},
          wide(c, f.out),
          wide(c, state)};
}

}  // namespace ds
