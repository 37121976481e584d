// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/expand_norm.h"

#include <algorithm>

#include "ds/base/location.h"

namespace ds {
namespace {

/// Makes hash-consed values the way one writes them.
struct Builder {
  Interner& interner;

  Value add(const Value& a, const Value& b) const { return interner.make(Op::add_, {a, b}); }
  Value sub(const Value& a, const Value& b) const { return interner.make(Op::sub_, {a, b}); }
  Value mul(const Value& a, const Value& b) const { return interner.make(Op::mul_, {a, b}); }
  Value scaled(const Value& a, double factor) const {
    return mul(a, interner.make(Op::constant_, {}, {factor, a.dtype()}));
  }
  Value cast(const Value& x, DType dtype) const {
    return x.dtype() == dtype ? x : interner.make(Op::cast_, {x}, {dtype});
  }
  /// [C] as [1, C, 1, ...] beside `x` [N, C, ...].
  Value along_channels(const Value& per_channel, const Value& x) const {
    Shape shape;
    for (int i = 0; i < x.shape().rank(); ++i) shape.push_back(i == 1 ? x.shape()[1] : 1);
    return interner.make(Op::reshape_, {cast(per_channel, DType::f32)}, {shape});
  }
  /// 1 / sqrt(var + eps), per channel.
  Value rstd(const Value& var, double eps) const {
    return interner.make(Op::rsqrt_,
                         {add(var, interner.make(Op::constant_, {}, {eps, var.dtype()}))});
  }
};

/// y = (x - mean) (gamma rstd) + beta.
Value normalized(const Builder& b, const NodePtr& norm) {
  const Value src = norm->input(0), gamma = b.cast(norm->input(1), DType::f32);
  const Value scale = b.mul(gamma, b.rstd({norm, 2}, norm->attr_float("eps")));
  const Value x = b.cast(src, DType::f32);
  const Value centred = b.sub(x, b.along_channels({norm, 1}, src));
  const Value y =
      b.add(b.mul(centred, b.along_channels(scale, src)), b.along_channels(norm->input(2), src));
  return b.cast(y, src.dtype());
}

/// [N, groups] as [N, C, 1, ...] beside `x` [N, C, ...].
Value along_groups(const Builder& b, const Value& stat, const Value& x) {
  const Shape& src = x.shape();
  const int64_t width = src[1] / stat.shape()[1];
  const Shape apart{src[0], stat.shape()[1], 1}, together{src[0], stat.shape()[1], width};
  Shape shape;
  for (int i = 0; i < src.rank(); ++i) shape.push_back(i < 2 ? src[i] : 1);
  const Value each = b.interner.make(Op::reshape_, {stat}, {apart});
  const Value repeated = b.interner.make(Op::expand_, {each}, {together});
  return b.interner.make(Op::reshape_, {repeated}, {shape});
}

/// As `normalized`, of groups.
Value normalized_groups(const Builder& b, const NodePtr& norm) {
  const Value src = norm->input(0);
  const Value rstd = along_groups(b, b.rstd({norm, 2}, norm->attr_float("eps")), src);
  const Value scale = b.mul(b.along_channels(norm->input(1), src), rstd);
  const Value centred = b.sub(b.cast(src, DType::f32), along_groups(b, {norm, 1}, src));
  return b.cast(b.add(b.mul(centred, scale), b.along_channels(norm->input(2), src)), src.dtype());
}

/// diff_src = gamma rstd (dy - diff_beta / n - (x - mean) rstd diff_gamma / n), as
/// (dy + x slope + shift) scale: no part of it can be computed before the sums, so that none joins
/// an earlier sweep, which would have to store it.
Value diff_src(const Builder& b, const NodePtr& norm) {
  const Value src = norm->input(1), gamma = b.cast(norm->input(2), DType::f32);
  const double n = static_cast<double>(src.shape().numel() / src.shape()[1]);
  const Value rstd = b.rstd(norm->input(4), norm->attr_float("eps"));
  const Value slope = b.scaled(b.mul(rstd, {norm, 1}), -1 / n);
  const Value shift = b.sub(b.scaled({norm, 2}, -1 / n), b.mul(norm->input(3), slope));
  const Value scale = b.mul(gamma, rstd);
  const Value dy = b.cast(norm->input(0), DType::f32), x = b.cast(src, DType::f32);
  const Value from_x = b.add(b.mul(x, b.along_channels(slope, src)), b.along_channels(shift, src));
  return b.cast(b.mul(b.add(dy, from_x), b.along_channels(scale, src)), src.dtype());
}

using Expand = Value (*)(const Builder&, const NodePtr&);

/// What computes output 0, or null.
Expand expansion(Op op) {
  switch (op) {
    case Op::batch_norm_: return normalized;
    case Op::batch_norm_backward_: return diff_src;
    case Op::group_norm_: return normalized_groups;
    default: return nullptr;
  }
}

bool expands(const Node& node, const TargetInfo& target) {
  if (!expansion(node.op())) return false;
  const Type& src = node.input(node.op() == Op::batch_norm_backward_ ? 1 : 0).type();
  return target.fusable_compute[static_cast<size_t>(DType::f32)] &&
         (src.dtype == DType::f32 || target.fusable_storage[static_cast<size_t>(src.dtype)]) &&
         dtype_size(src.dtype) <= 4 && src.shape.numel() > 0;
}

}  // namespace

Graph expand_norm(const Graph& graph, const TargetInfo& target, Interner& interner) {
  if (!target.fuses) return graph;
  const std::vector<NodePtr> order = graph.topological();
  if (std::none_of(order.begin(), order.end(),
                   [&](const NodePtr& node) { return expands(*node, target); }))
    return graph;
  return rewrite_graph(graph, interner, [&](const Node& node, const Values& inputs) -> Values {
    if (!expands(node, target)) return {};
    const LocationScope place(node.location());
    const NodePtr norm = interner.rebuild(node, inputs);
    return {expansion(node.op())(Builder{interner}, norm), {norm, 1}, {norm, 2}};
  });
}

}  // namespace ds
