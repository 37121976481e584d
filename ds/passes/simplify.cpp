// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/simplify.h"

#include <optional>
#include <unordered_map>
#include <utility>

#include "ds/base/location.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

/// How often each node of the graph is read, as an output of the graph too.
using Uses = std::unordered_map<const Node*, int>;

/// A node about to be rebuilt on new inputs.
struct Site {
  const Node& node;
  const Values& in;
  Interner& interner;
  const Uses& uses;
  /// Whether `value` of the graph before rebuilding is read once.
  bool read_once(const Value& value) const { return uses.at(value.node.get()) == 1; }
  Op op() const { return node.op(); }
  const Type& type() const { return node.type(); }
};

/// Returns the replacement of output 0, or nothing.
using Rule = Value (*)(const Site&);

std::optional<double> number_of(const Value& value) {
  const Value& v = value.node->op() == Op::expand_ ? value.node->input(0) : value;
  if (v.node->op() != Op::constant_) return {};
  return v.node->attr_float("value");
}

bool is_number(const Value& value, double number) { return number_of(value) == number; }

Value same_type(const Site& s, const Value& value) {
  return value.type() == s.type() ? value : Value{};
}

/// x * 1 = x and x / 1 = x.
Value drop_one(const Site& s) {
  if (s.op() == Op::mul_ && is_number(s.in[1], 1.0)) return same_type(s, s.in[0]);
  if (s.op() == Op::mul_ && is_number(s.in[0], 1.0)) return same_type(s, s.in[1]);
  if (s.op() == Op::div_ && is_number(s.in[1], 1.0)) return same_type(s, s.in[0]);
  return {};
}

/// -(-x) = x.
Value drop_double_neg(const Site& s) {
  return s.op() == Op::neg_ && s.in[0].node->op() == Op::neg_ ? s.in[0].node->input(0) : Value{};
}

bool keeps_order(const Shape& dims) {
  for (int i = 0; i < dims.rank(); ++i)
    if (dims[i] != i) return false;
  return true;
}

/// A movement or conversion that changes nothing.
Value drop_identity(const Site& s) {
  if (s.op() == Op::permute_) return keeps_order(s.node.attr_ints("dims")) ? s.in[0] : Value{};
  if (s.op() == Op::slice_) {
    for (int64_t step : s.node.attr_ints("steps"))
      if (step != 1) return {};
    return same_type(s, s.in[0]);
  }
  if (s.op() == Op::reshape_ || s.op() == Op::expand_ || s.op() == Op::cast_)
    return same_type(s, s.in[0]);
  return {};
}

/// reshape(reshape(x)) and expand(expand(x)) need the outer one only; permute(permute(x)) one
/// order, or none.
Value merge_movement(const Site& s) {
  const Node& inner = *s.in[0].node;
  if (inner.op() != s.op()) return {};
  if (s.op() == Op::reshape_ || s.op() == Op::expand_)
    return s.interner.make(s.op(), {inner.input(0)}, {s.type().shape});
  if (s.op() != Op::permute_) return {};
  const Shape &outer_dims = s.node.attr_ints("dims"), &inner_dims = inner.attr_ints("dims");
  Shape dims;
  for (int64_t dim : outer_dims) dims.push_back(inner_dims[static_cast<int>(dim)]);
  if (keeps_order(dims)) return inner.input(0);
  return s.interner.make(Op::permute_, {inner.input(0)}, {dims});
}

/// dims that swap the last two of `rank` dimensions.
Shape swapped_dims(int rank) {
  Shape dims;
  for (int i = 0; i < rank; ++i) dims.push_back(i);
  std::swap(dims[rank - 2], dims[rank - 1]);
  return dims;
}

Value transposed(const Site& s, const Value& x) {
  const Shape dims = swapped_dims(x.shape().rank());
  const Node& node = *x.node;
  if (node.op() == Op::permute_ && node.attr_ints("dims") == dims) return node.input(0);
  return s.interner.make(Op::permute_, {x}, {dims});
}

/// (a b)^T = b^T a^T, also of a product that is converted first. The gradient of a linear layer's
/// weights is such a transpose; as a product it lies as the weights do, and the update reads all
/// its operands in order.
Value transpose_product(const Site& s) {
  if (s.op() != Op::permute_ || s.node.attr_ints("dims") != swapped_dims(s.type().shape.rank()))
    return {};
  Value before = s.node.input(0), now = s.in[0];
  // A product that others read would be computed twice.
  if (!s.read_once(before)) return {};
  const bool converted = now.node->op() == Op::cast_ && before.node->op() == Op::cast_;
  if (converted) {
    before = before.node->input(0);
    now = now.node->input(0);
    if (!s.read_once(before)) return {};
  }
  if (now.node->op() != Op::matmul_ || before.node->op() != Op::matmul_) return {};
  const Value product = s.interner.make(
      Op::matmul_, {transposed(s, now.node->input(1)), transposed(s, now.node->input(0))});
  return converted ? s.interner.make(Op::cast_, {product}, {s.type().dtype}) : product;
}

/// Sums over dimensions of size 1 move nothing. (mean, amax and the like too, but they are rare.)
Value unit_reduction(const Site& s) {
  if (s.op() != Op::sum_) return {};
  for (int64_t dim : s.node.attr_ints("dims"))
    if (s.in[0].shape()[static_cast<int>(dim)] != 1) return {};
  return s.in[0].shape() == s.type().shape
             ? s.in[0]
             : s.interner.make(Op::reshape_, {s.in[0]}, {s.type().shape});
}

/// An elementwise op broadcasts by itself: its inputs need no expand as long as one of them, or all
/// together, still span the result.
Value drop_expand(const Site& s) {
  if (!s.node.info().has(kFusable) || s.in.size() < 2) return {};
  Values inputs = s.in;
  bool changed = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].node->op() != Op::expand_) continue;
    Values trial = inputs;
    trial[i] = inputs[i].node->input(0);
    Shape span;
    for (const Value& v : trial) span = broadcast_shapes(span, v.shape(), "simplify");
    if (span != s.type().shape) continue;
    inputs = std::move(trial);
    changed = true;
  }
  return changed ? s.interner.make(s.op(), std::move(inputs), s.node.attrs()) : Value{};
}

/// An expanded constant is computed on one element: f(expand(c)) = expand(f(c)).
Value sink_expand(const Site& s) {
  if (!s.node.info().has(kFusable) || s.in.size() != 1 || s.in[0].node->op() != Op::expand_)
    return {};
  const Value& source = s.in[0].node->input(0);
  const Value small = s.interner.make(s.op(), {source}, s.node.attrs());
  return s.interner.make(Op::expand_, {small}, {s.type().shape});
}

/// cast of a constant is a constant, where the number survives both dtypes exactly.
Value cast_constant(const Site& s) {
  if (s.op() != Op::cast_ || s.in[0].node->op() != Op::constant_) return {};
  const DType to = s.type().dtype;
  const double value = s.in[0].node->attr_float("value");
  const bool exact = to == DType::f64 ||
                     (to == DType::f32 && static_cast<double>(static_cast<float>(value)) == value);
  if (!exact || s.in[0].dtype() == DType::f16 || s.in[0].dtype() == DType::bf16) return {};
  return s.interner.make(Op::constant_, {}, {value, to});
}

/// y is x cut off by `op` at a number that `limit` lies within.
bool is_cut_wider(const Value& y, const Value& x, Op op, double limit) {
  if (y.node->op() != op) return false;
  const Value &a = y.node->input(0), &b = y.node->input(1);
  const std::optional<double> other = number_of(a == x ? b : a);
  if (!other || !(a == x || b == x)) return false;
  return op == Op::minimum_ ? *other >= limit : *other <= limit;
}

/// where(x < c, c, x) = maximum(x, c), where(x > c, c, x) = minimum(x, c), NaN included; also when
/// the last x is cut off at the other end already. That is how a clamp with its gradient is made.
Value where_is_limit(const Site& s) {
  if (s.op() != Op::where_) return {};
  const Node& mask = *s.in[0].node;
  const bool low = mask.op() == Op::lt_ || mask.op() == Op::le_;
  if (!low && mask.op() != Op::gt_ && mask.op() != Op::ge_) return {};
  const std::optional<double> limit = number_of(s.in[1]), compared = number_of(mask.input(1));
  if (!limit || !compared || *limit != *compared) return {};
  const Value &x = mask.input(0), &y = s.in[2];
  if (!(y.type() == s.type()) || s.in[1].dtype() != y.dtype()) return {};
  if (!(y == x) && !is_cut_wider(y, x, low ? Op::minimum_ : Op::maximum_, *limit)) return {};
  return s.interner.make(low ? Op::maximum_ : Op::minimum_, {y, s.in[1]});
}

constexpr Rule kRules[] = {drop_one,       drop_double_neg, drop_identity,     merge_movement,
                           unit_reduction, drop_expand,     transpose_product, sink_expand,
                           cast_constant,  where_is_limit};

Uses count_uses(const Graph& graph) {
  Uses uses;
  for (const NodePtr& node : graph.topological())
    for (const Value& input : node->inputs()) ++uses[input.node.get()];
  for (const Value& output : graph.outputs) ++uses[output.node.get()];
  return uses;
}

}  // namespace

Graph simplify(const Graph& graph, Interner& interner) {
  const Uses uses = count_uses(graph);
  return rewrite_graph(graph, interner, [&](const Node& node, const Values& inputs) -> Values {
    if (inputs.empty() || node.outputs() != 1) return {};
    const LocationScope place(node.location());
    for (const Rule rule : kRules)
      if (Value replaced = rule({node, inputs, interner, uses})) return {replaced};
    return {};
  });
}

}  // namespace ds
