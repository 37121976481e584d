// SPDX-License-Identifier: Apache-2.0
// Attention. Heads are read where they lie, so the usual permute of a [B, T, H, D] projection costs
// nothing, and results nest as what they belong to, so neither does the permute back.
#include "ds/backends/cpu/kernels/attention.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/str.h"
#include "ds/ir/attention.h"

namespace ds::cpu {
namespace {

/// The view itself when its last dimension is contiguous, else a copy.
View heads(Lowering& l, const Node& node, const Value& value) {
  const View& view = l.view(value);
  return view.dims[3] == 1 || view.strides[3] == 1 ? view : l.row_major(node, view);
}

HeadStrides head_strides(const View& view) {
  return {view.strides[0], view.strides[1], view.strides[2]};
}

/// A temporary [B, H, T, D] whose first three dimensions nest as those of `like`.
View heads_like(Lowering& l, const Type& type, const View& like) {
  Shape strides = Shape::filled(4, 1);
  int64_t stride = type.shape[3];
  const std::vector<int> order = nesting({type.shape[0], type.shape[1], type.shape[2]},
                                         {like.strides[0], like.strides[1], like.strides[2]});
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    strides[*it] = stride;
    stride *= type.shape[*it];
  }
  return l.temp(type.dtype, type.shape, strides);
}

/// Refuses what the kernels do not take; `q` is the place of q among the inputs.
bool is_supported(const Node& node, int q, std::string& why) {
  for (int i = q; i < q + 3; ++i) {
    const Type& type = node.input(i).type();
    if (type.dtype != DType::f32 && !is_half(type.dtype)) {
      why = str("no kernel for ", type, "; attention computes in f32");
      return false;
    }
    if (type.shape.numel() == 0) {
      why = str("nothing to compute for ", type);
      return false;
    }
  }
  return true;
}

/// The three operands and the optional mask of a node.
struct Operands {
  View q, k, v;
  std::optional<View> mask, rng;
  int64_t call;
  AttentionShape shape;

  /// q is input `first` of the node; the first `fixed` inputs are always there.
  Operands(Lowering& l, const Node& node, int first, int fixed)
      : q(heads(l, node, node.input(first))),
        k(heads(l, node, node.input(first + 1))),
        v(heads(l, node, node.input(first + 2))) {
    shape = {q.dtype,
             q.dims[0],
             q.dims[1],
             k.dims[1],
             q.dims[2],
             k.dims[2],
             q.dims[3],
             v.dims[3],
             node.attr_bool("causal"),
             static_cast<float>(node.attr_float("scale")),
             node.attr_float("dropout"),
             head_strides(q),
             head_strides(k),
             head_strides(v)};
    const AttentionExtras extras(static_cast<int>(node.inputs().size()), fixed,
                                 node.attr_float("dropout"));
    call = node.attr_int("call");
    if (extras.rng >= 0) rng = l.row_major(node, l.view(node.input(extras.rng)));
    if (extras.mask < 0) return;
    mask = expand_view(l.view(node.input(extras.mask)),
                       {shape.batch, shape.heads, shape.queries, shape.keys});
    shape.mask_dtype = mask->dtype;
    for (int i = 0; i < 4; ++i) shape.mask[i] = mask->strides[i];
  }

  std::vector<View> reads() const {
    std::vector<View> views{q, k, v};
    if (mask) views.push_back(*mask);
    if (rng) views.push_back(*rng);
    return views;
  }
  /// Of the two products of the forward pass, causality not counted.
  double flops() const {
    return 2.0 * static_cast<double>(shape.batch * shape.heads * shape.queries) *
           static_cast<double>(shape.keys * (shape.dim + shape.v_dim));
  }
  AttentionInputs inputs(const Frame& frame) const {
    AttentionInputs in{frame.at(q), frame.at(k), frame.at(v), mask ? frame.at(*mask) : nullptr, {}};
    if (rng) in.stream.emplace(frame.at<int64_t>(*rng), call);
    return in;
  }
};

}  // namespace

bool lower_attention(Lowering& l, const Node& node, std::string& why) {
  if (!is_supported(node, 0, why)) return false;
  const Operands x(l, node, 0, 3);
  const View out = heads_like(l, node.type(0), x.q);
  const View logsumexp = l.temp(DType::f32, node.type(1).shape);
  Step& step = l.emit(node, "cpu:attention", x.reads(), {out, logsumexp}, [=](const Frame& frame) {
    attention(x.shape, x.inputs(frame), frame.at(out), head_strides(out),
              frame.at<float>(logsumexp));
  });
  step.info.flops = x.flops();
  l.define(node, 0, out);
  l.define(node, 1, logsumexp);
  return true;
}

bool lower_attention_backward(Lowering& l, const Node& node, std::string& why) {
  if (!is_supported(node, 1, why)) return false;
  const Operands x(l, node, 1, 6);
  const View diff_out = heads(l, node, node.input(0)), out = heads(l, node, node.input(4));
  const View logsumexp = l.row_major(node, l.view(node.input(5)));
  const View diff_q = heads_like(l, node.type(0), x.q), diff_k = heads_like(l, node.type(1), x.k),
             diff_v = heads_like(l, node.type(2), x.v);
  std::vector<View> reads = x.reads();
  reads.insert(reads.end(), {diff_out, out, logsumexp});
  Step& step = l.emit(
      node, "cpu:attention_backward", reads, {diff_q, diff_k, diff_v}, [=](const Frame& frame) {
        attention_backward(
            x.shape, x.inputs(frame),
            {frame.at(diff_out), frame.at(out), head_strides(diff_out), head_strides(out),
             frame.at<float>(logsumexp), frame.at(diff_q), frame.at(diff_k), frame.at(diff_v),
             head_strides(diff_q), head_strides(diff_k), head_strides(diff_v)});
      });
  step.info.flops = 2.5 * x.flops();  // five products
  l.define(node, 0, diff_q);
  l.define(node, 1, diff_k);
  l.define(node, 2, diff_v);
  return true;
}

}  // namespace ds::cpu
