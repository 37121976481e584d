// SPDX-License-Identifier: Apache-2.0
// Gradients of attention, written as in FlashAttention (Dao et al. 2022, algorithm 4): the
// probabilities come back from the scores and the saved logsumexp.
#include <limits>

#include "ds/grad/rule_families.h"
#include "ds/ir/attention.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

struct AttentionInputs {
  Value diff_out, q, k, v, out, logsumexp, mask;  // mask may be null
  Value diff_logsumexp;                           // may be null
  Value rng;                                      // null without dropout
  bool causal;
  double scale, dropout;
  int64_t call;

  /// Of a node whose q is at the place `q` of the inputs, the first `fixed` of which are always
  /// there.
  AttentionInputs(const GradContext& c, int q_at, int fixed)
      : q(c.in(q_at)),
        k(c.in(q_at + 1)),
        v(c.in(q_at + 2)),
        causal(c.node->attr_bool("causal")),
        scale(c.node->attr_float("scale")),
        dropout(c.node->attr_float("dropout")),
        call(c.node->attr_int("call")) {
    const AttentionExtras extras(static_cast<int>(c.node->inputs().size()), fixed, dropout);
    if (extras.mask >= 0) mask = c.in(extras.mask);
    if (extras.rng >= 0) rng = c.in(extras.rng);
  }
};

Value matmul(const Value& a, const Value& b) { return make(Op::matmul_, {a, b}); }

/// [B, Hk, T, D] -> [B, H, T, D]: every head of k and v serves H / Hk neighbouring heads of q.
Value repeat_heads(const Value& x, int64_t heads) {
  const Shape& s = x.shape();
  if (s[1] == heads) return x;
  const int64_t group = heads / s[1];
  const Value split = make_reshape(x, {s[0], s[1], 1, s[2], s[3]});
  const Value wide = make_expand(split, {s[0], s[1], group, s[2], s[3]});
  return make_reshape(wide, {s[0], heads, s[2], s[3]});
}

/// The transpose of repeat_heads: sums the heads of a group.
Value sum_heads(const Value& x, int64_t kv_heads) {
  const Shape& s = x.shape();
  if (s[1] == kv_heads) return x;
  const Value split = make_reshape(x, {s[0], kv_heads, s[1] / kv_heads, s[2], s[3]});
  return make_sum(split, {2}, false);
}

/// Which keys a query sees, or null for all: key j is visible to query i when j <= i.
Value visible_keys(const AttentionInputs& in) {
  Value visible;
  if (in.mask && in.mask.dtype() == DType::bool_) visible = in.mask;
  if (!in.causal) return visible;
  const int64_t tq = in.q.shape()[2];
  const int64_t tk = in.k.shape()[2];
  const Value query = make_reshape(make(Op::iota_, {}, {tq, DType::i64}), {tq, 1});
  const Value key = make(Op::iota_, {}, {tk, DType::i64});
  const Value past = make(Op::le_, {key, query});
  return visible ? make(Op::logical_and_, {visible, past}) : past;
}

/// exp(score - logsumexp), 0 where a key is hidden.
Value probabilities(const AttentionInputs& in, const Value& q, const Value& k) {
  const DType dtype = q.dtype();
  const Value hidden = make_constant(-std::numeric_limits<double>::infinity(), dtype);
  Value score = matmul(q, make_transpose(k)) * in.scale;
  if (in.mask && in.mask.dtype() != DType::bool_) score = score + make_cast(in.mask, dtype);
  // A row that sees no key has a logsumexp of -inf, and all its probabilities are 0.
  const Value empty = make(Op::eq_, {in.logsumexp, hidden});
  const Value total = make(Op::where_, {empty, make_constant(0.0, dtype), in.logsumexp});
  Shape column = in.logsumexp.shape();
  column.push_back(1);
  Value exponent = score - make_reshape(total, column);
  if (const Value visible = visible_keys(in))
    exponent = make(Op::where_, {visible, exponent, hidden});
  return make(Op::exp_, {exponent});
}

/// diff_q, diff_k, diff_v and the gradient of the scores, in the dtype of the logsumexp.
/// With P the probabilities: dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(dO O) + dlogsumexp),
/// dQ = scale dS K, dK = scale dS^T Q; with dropout P and dP as they stand before their V and
/// behind their V^T are multiplied by what dropout keeps.
Values compose_attention_backward(const AttentionInputs& in) {
  const DType dtype = in.logsumexp.dtype();
  const int64_t heads = in.q.shape()[1];
  const int64_t kv_heads = in.k.shape()[1];
  const Value q = make_cast(in.q, dtype);
  const Value k = repeat_heads(make_cast(in.k, dtype), heads);
  const Value v = repeat_heads(make_cast(in.v, dtype), heads);
  const Value diff_out = make_cast(in.diff_out, dtype);
  const Value p = probabilities(in, q, k);
  Value row = make_sum(diff_out * make_cast(in.out, dtype), {3}, true);
  if (in.diff_logsumexp) row = row - make_reshape(in.diff_logsumexp, row.shape());
  const auto kept = [&](const Value& weights) {
    return in.rng ? make(Op::dropout_, {weights, in.rng}, {in.dropout, in.call}) : weights;
  };
  const Value diff_score = p * (kept(matmul(diff_out, make_transpose(v))) - row);
  const Value diff_q = matmul(diff_score, k) * in.scale;
  const Value diff_k = sum_heads(matmul(make_transpose(diff_score), q), kv_heads) * in.scale;
  const Value diff_v = sum_heads(matmul(make_transpose(kept(p)), diff_out), kv_heads);
  return {diff_q, diff_k, diff_v, diff_score};
}

// out alone: attention_backward; an additive mask: dS summed to its shape
Values attention_gradient(const GradContext& c) {
  AttentionInputs in(c, 0, 3);
  in.out = c.out(0);
  in.logsumexp = c.out(1);
  const bool wants_mask = in.mask && c.needs(3);
  Values grads(c.node->inputs().size());
  if (!c.grad(1)) {
    Values inputs{c.grad(0), in.q, in.k, in.v, in.out, in.logsumexp};
    const Values& all = c.node->inputs();
    inputs.insert(inputs.end(), all.begin() + 3, all.end());
    const NodePtr backward = make_node(Op::attention_backward_, std::move(inputs), c.node->attrs());
    for (int i = 0; i < 3; ++i) grads[static_cast<size_t>(i)] = {backward, i};
    if (!wants_mask) return grads;
  }
  in.diff_out = c.grad(0) ? c.grad(0) : make_full(in.out.shape(), 0.0, in.out.dtype());
  in.diff_logsumexp = c.grad(1);
  const Values composed = compose_attention_backward(in);
  for (int i = 0; i < 3 && c.grad(1); ++i)
    grads[static_cast<size_t>(i)] = make_cast(composed[static_cast<size_t>(i)], c.in(i).dtype());
  if (wants_mask) grads[3] = make_cast(make_sum_to(composed[3], in.mask.shape()), in.mask.dtype());
  return grads;
}

Values attention_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, [](const GradContext& c) {
    AttentionInputs in(c, 1, 6);
    in.diff_out = c.in(0);
    in.out = c.in(4);
    in.logsumexp = c.in(5);
    Values outputs = compose_attention_backward(in);
    outputs.pop_back();
    for (size_t i = 0; i < outputs.size(); ++i)
      outputs[i] = make_cast(outputs[i], c.node->type(static_cast<int>(i)).dtype);
    return outputs;
  });
}

}  // namespace

void add_attention_rules(GradTable& table) {
  add_rule(table, Op::attention_, attention_gradient, 31, 3);
  add_rule(table, Op::attention_backward_, attention_backward_gradient, 255);
}

}  // namespace ds
