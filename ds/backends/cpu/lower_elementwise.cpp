// SPDX-License-Identifier: Apache-2.0
// Elementwise ops, alone or fused: tile programs in f32. What these cannot do exactly is computed
// in its own type, lower_typed.cpp.
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "ds/backends/cpu/lowering.h"
#include "ds/backends/cpu/tiles.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// The tile kernel of an op, nothing when it has none.
std::optional<TileOp> tile_op(Op op) {
  // clang-format off
  switch (op) {
#define DS_CASE(name) \
  case Op::name##_: return TileOp::name;
    DS_CASE(neg) DS_CASE(abs) DS_CASE(sign) DS_CASE(exp) DS_CASE(exp2) DS_CASE(expm1) DS_CASE(log)
    DS_CASE(log2) DS_CASE(log10) DS_CASE(log1p) DS_CASE(sqrt) DS_CASE(rsqrt) DS_CASE(reciprocal)
    DS_CASE(square) DS_CASE(sin) DS_CASE(cos) DS_CASE(tan) DS_CASE(asin) DS_CASE(acos) DS_CASE(atan)
    DS_CASE(sinh) DS_CASE(cosh) DS_CASE(tanh) DS_CASE(asinh) DS_CASE(acosh) DS_CASE(atanh)
    DS_CASE(erf) DS_CASE(erfc) DS_CASE(erfinv) DS_CASE(lgamma) DS_CASE(digamma) DS_CASE(trigamma)
    DS_CASE(sigmoid) DS_CASE(relu) DS_CASE(gelu) DS_CASE(gelu_tanh) DS_CASE(silu) DS_CASE(softplus)
    DS_CASE(gelu_slope) DS_CASE(gelu_tanh_slope) DS_CASE(silu_slope)
    DS_CASE(floor) DS_CASE(ceil) DS_CASE(round) DS_CASE(trunc) DS_CASE(isnan) DS_CASE(isinf)
    DS_CASE(isfinite) DS_CASE(logical_not) DS_CASE(add) DS_CASE(sub) DS_CASE(mul) DS_CASE(div)
    DS_CASE(pow) DS_CASE(maximum) DS_CASE(minimum) DS_CASE(fmod) DS_CASE(remainder)
    DS_CASE(floor_divide) DS_CASE(trunc_divide) DS_CASE(atan2) DS_CASE(copysign) DS_CASE(eq)
    DS_CASE(ne) DS_CASE(lt) DS_CASE(le) DS_CASE(gt) DS_CASE(ge) DS_CASE(logical_and)
    DS_CASE(logical_or) DS_CASE(logical_xor) DS_CASE(where) DS_CASE(clamp)
    default: return std::nullopt;
#undef DS_CASE
  }
  // clang-format on
}

bool is_tile_cast(DType from, DType to, bool inside) {
  if (inside) return (exact_in_f32(from) || is_integer(from)) && (to == DType::f32 || is_half(to));
  if (exact_in_f32(from)) return true;
  // Wide numbers round to floats; narrowing and wrapping is not for f32.
  return is_floating(to) && to != DType::f64;
}

/// An op runs on f32 tiles with the exact result of its dtypes. `inside`: its result feeds another
/// op of the tile.
bool tileable(const Node& node, bool inside) {
  const DType out = node.type().dtype;
  if (node.op() == Op::cast_) return is_tile_cast(node.input(0).dtype(), out, inside);
  if (node.op() == Op::dropout_) return out == DType::f32 || is_half(out);
  if (!tile_op(node.op())) return false;
  for (const Value& input : node.inputs())
    if (!exact_in_f32(input.dtype())) return false;
  if (node.op() == Op::where_ && out != DType::f64) return exact_in_f32(out);
  if (out == DType::f32 || is_half(out)) return true;
  if (out != DType::bool_) return false;
  const OpClass kind = node.info().op_class;
  return kind == OpClass::test || kind == OpClass::compare || node.op() == Op::add_ ||
         node.op() == Op::mul_ || node.op() == Op::maximum_ || node.op() == Op::minimum_;
}

/// Appends the op of a node to a tile program; `in` are the values of its inputs.
int append(Lowering& l, Tiles& tiles, const Node& node, const std::vector<int>& in,
           bool stored_only) {
  const DType out = node.type().dtype;
  TileProgram& program = tiles.program;
  int value = -1;
  if (node.op() == Op::cast_) {
    value = in[0];
    if (out == DType::bool_ && node.input(0).dtype() != DType::bool_)
      value = program.apply(TileOp::to_bool, value);
  } else if (node.op() == Op::dropout_) {
    const View state = l.row_major(node, l.view(node.input(1)));
    value = tiles.dropout(in[0], state, node.attr_float("p"), node.attr_int("call"));
  } else {
    TileOp op = *tile_op(node.op());
    if (out == DType::bool_ && op == TileOp::add) op = TileOp::logical_or;
    if (out == DType::bool_ && op == TileOp::mul) op = TileOp::logical_and;
    value = program.apply(op, in[0], in.size() > 1 ? in[1] : -1, in.size() > 2 ? in[2] : -1);
  }
  // A store rounds by itself; what goes on in the chain is rounded as if it had been stored.
  if (is_half(out) && !stored_only)
    value = program.apply(out == DType::f16 ? TileOp::round_f16 : TileOp::round_bf16, value);
  return value;
}

/// Inputs that are read element by element: not the rng state.
int elementwise_inputs(const Node& node) {
  return node.op() == Op::dropout_ ? 1 : static_cast<int>(node.inputs().size());
}

/// Strides for an output of `dims`: those of the largest input that is dense and not row-major,
/// so that channels-last goes on; else row-major.
Shape output_strides(const Shape& dims, const std::vector<View>& inputs) {
  for (const View& view : inputs)
    if (view.dims == dims && is_dense(view) && !view.row_major())
      return strides_like(dims, view.strides);
  return contiguous_strides(dims);
}

/// A constant as a value of the dtype.
float rounded(double value, DType dtype) {
  const auto number = static_cast<float>(value);
  if (dtype == DType::f16) return static_cast<float>(f16(number));
  if (dtype == DType::bf16) return static_cast<float>(bf16(number));
  return dtype == DType::bool_ ? value != 0 : number;
}

std::unordered_map<const Node*, int> count_uses(const std::vector<NodePtr>& nodes) {
  std::unordered_map<const Node*, int> uses;
  for (const NodePtr& node : nodes)
    for (const Value& input : node->inputs()) ++uses[input.node.get()];
  return uses;
}

std::string kernel_name(const Graph& body) {
  std::string name = "cpu:tiles";
  int ops = 0;
  for (const NodePtr& node : body.topological()) {
    if (node->op() == Op::input_ || node->op() == Op::constant_) continue;
    if (++ops <= 6) name += str(ops == 1 ? " " : "+", op_name(node->op()));
  }
  return ops > 6 ? name + "+..." : name;
}

}  // namespace

bool lower_elementwise(Lowering& l, const Node& node, std::string& why) {
  const bool as_tile = tileable(node, /*inside=*/false);
  if (as_tile && node.op() == Op::cast_ && l.keep_cast(node)) return true;
  // Logic on bytes needs no detour through f32.
  const bool bytes = node.input(0).dtype() == DType::bool_ && node.op() != Op::where_;
  if ((bytes || !as_tile) && lower_typed(l, node, why)) return true;
  if (!as_tile) return false;
  const Shape& dims = node.type().shape;
  std::vector<View> inputs;
  for (int i = 0; i < elementwise_inputs(node); ++i)
    inputs.push_back(expand_view(l.view(node.input(i)), dims));
  const View out = l.temp(node.type().dtype, dims, output_strides(dims, inputs));
  Tiles tiles;
  tiles.dims = dims;
  std::vector<int> values;
  for (const View& view : inputs) values.push_back(tiles.source(view));
  tiles.target(append(l, tiles, node, values, /*stored_only=*/true), out);
  emit_tiles(l, node, str("cpu:tiles ", op_name(node.op())), std::move(tiles));
  l.define(node, 0, out);
  return true;
}

Tiles fused_tiles(Lowering& l, const Node& node, std::vector<View> outputs) {
  const Graph& body = *node.body();
  const std::vector<NodePtr> nodes = body.topological();
  const Shape& dims = node.type(0).shape;
  const std::unordered_map<const Node*, int> uses = count_uses(nodes);
  for (size_t i = 0; i < body.inputs.size(); ++i)
    l.define(*body.inputs[i], 0, l.view(node.input(static_cast<int>(i))));
  std::unordered_set<const Node*> elementwise;
  for (const NodePtr& inner : nodes)
    for (int i = 0; i < elementwise_inputs(*inner); ++i)
      elementwise.insert(inner->input(i).node.get());
  for (const Value& output : body.outputs) elementwise.insert(output.node.get());
  std::vector<std::pair<const Node*, View>> read;
  std::vector<View> inputs;
  for (size_t i = 0; i < body.inputs.size(); ++i) {
    if (!elementwise.count(body.inputs[i].get())) continue;
    inputs.push_back(expand_view(l.view(node.input(static_cast<int>(i))), dims));
    read.emplace_back(body.inputs[i].get(), inputs.back());
  }
  if (outputs.empty()) {
    const Shape strides = output_strides(dims, inputs);
    for (int i = 0; i < node.outputs(); ++i)
      outputs.push_back(l.temp(node.type(i).dtype, dims, strides));
  }
  Tiles tiles;
  tiles.dims = dims;
  std::unordered_map<const Node*, int> values;
  for (const auto& [input, view] : read) values[input] = tiles.source(view);
  for (const NodePtr& inner : nodes) {
    if (inner->op() == Op::input_) continue;
    if (inner->op() == Op::expand_) {  // every value already spans dims
      values[inner.get()] = values.at(inner->input(0).node.get());
      continue;
    }
    if (inner->op() == Op::constant_) {
      values[inner.get()] =
          tiles.program.constant(rounded(inner->attr_float("value"), inner->type().dtype));
      continue;
    }
    std::vector<int> in;
    for (int i = 0; i < elementwise_inputs(*inner); ++i)
      in.push_back(values.at(inner->input(i).node.get()));
    values[inner.get()] = append(l, tiles, *inner, in, uses.count(inner.get()) == 0);
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    tiles.target(values.at(body.outputs[i].node.get()), outputs[i]);
  return tiles;
}

bool lower_fused(Lowering& l, const Node& node, std::string&) {
  const Graph& body = *node.body();
  const std::vector<NodePtr> nodes = body.topological();
  const Shape& dims = node.type(0).shape;
  const std::unordered_map<const Node*, int> uses = count_uses(nodes);
  bool as_tiles = true;
  for (const NodePtr& inner : nodes) {
    const Op op = inner->op();
    if (op == Op::input_ || op == Op::constant_ || op == Op::expand_) continue;
    as_tiles = as_tiles && tileable(*inner, uses.count(inner.get()) > 0);
  }
  for (int i = 0; i < node.outputs(); ++i) as_tiles = as_tiles && node.type(i).shape == dims;
  if (!as_tiles) {
    for (size_t i = 0; i < body.inputs.size(); ++i)
      l.define(*body.inputs[i], 0, l.view(node.input(static_cast<int>(i))));
    for (const NodePtr& inner : nodes)
      if (inner->op() != Op::input_) l.lower(*inner);
    for (int i = 0; i < node.outputs(); ++i)
      l.define(node, i, l.view(body.outputs[static_cast<size_t>(i)]));
    return true;
  }
  const std::vector<View> kept = l.kept_outputs(node);
  Tiles tiles = fused_tiles(l, node, kept);
  for (int i = 0; i < node.outputs(); ++i) l.define(node, i, tiles.targets[static_cast<size_t>(i)]);
  l.make_copies(emit_tiles(l, node, kernel_name(body), std::move(tiles)), kept);
  return true;
}

}  // namespace ds::cpu
