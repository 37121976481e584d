// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/transformer_block.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "ds/base/error.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

nn::ModulePtr projection(int64_t in, int64_t out, bool transposed, bool bias = true) {
  if (transposed) return std::make_shared<Conv1D>(in, out);
  return std::make_shared<nn::Linear>(in, out, bias);
}

/// [T, S]: tokens at slots i64 [T] see those up to themselves, at most `window` of them.
Tensor causal_mask(const Tensor& slots, int64_t length, std::optional<int64_t> window) {
  const Tensor at = unsqueeze(slots, 1), other = arange(length, DType::i64, slots.device());
  const Tensor before = le(other, at);
  return window ? logical_and(before, gt(other, at - *window)) : before;
}

/// x [B, T, kv_heads, D] -> [B, heads, T, D]: heads that share one get a copy each.
Tensor every_head(const Tensor& x, int64_t heads) {
  const int64_t shared = x.size(2);
  const Tensor copies =
      expand(unsqueeze(x, 3), {x.size(0), x.size(1), shared, heads / shared, x.size(3)});
  return transpose(reshape(copies, {x.size(0), x.size(1), heads, x.size(3)}), 1, 2);
}

/// How much queries [B, T, heads, D] look at keys [B, S, kv_heads, D]: [B, heads, T, S].
Tensor look(const Tensor& q, const Tensor& k, const Attention& how,
            const std::optional<Tensor>& seen) {
  const double scale = how.scale.value_or(1.0 / std::sqrt(static_cast<double>(q.size(3))));
  Tensor scores =
      to_dtype(matmul(transpose(q, 1, 2), mT(every_head(k, q.size(2)))), DType::f32) * scale;
  if (how.cap) scores = soft_cap(scores, *how.cap);
  if (seen && seen->dtype() == DType::bool_)
    scores = where(*seen, scores, static_cast<double>(std::numeric_limits<float>::lowest()));
  else if (seen)
    scores = scores + *seen;
  return to_dtype(softmax(scores, -1), q.dtype());
}

}  // namespace

Conv1D::Conv1D(int64_t in, int64_t out) : in_features(in), out_features(out) {
  nn::init::normal_(register_parameter("weight", empty({in, out})), 0.0, 0.02);
  register_parameter("bias", clone(zeros({out})));
}

std::string Conv1D::extra_repr() const {
  return "nf=" + std::to_string(out_features) + ", nx=" + std::to_string(in_features);
}

Tensor Conv1D::forward(const Tensor& x) {
  return linear(x, t(parameter("weight")), parameter("bias"));
}

void add_at(nn::Module& root, const std::string& name, nn::ModulePtr module) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) {
    root.register_module(name, std::move(module));
    return;
  }
  const std::string head = name.substr(0, dot);
  if (!root.has_child(head)) root.add<Group>(head);
  add_at(*root.child(head), name.substr(dot + 1), std::move(module));
}

Tensor call_at(nn::Module& root, const std::string& name, const Tensor& x) {
  return (*root.get_submodule(name))(x);
}

Tensor activate(const std::string& name, const Tensor& x) {
  if (name == "gelu") return gelu(x);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return gelu(x, "tanh");
  if (name == "relu") return relu(x);
  if (name == "relu6") return relu6(x);
  if (name == "hardswish") return hardswish(x);
  if (name == "silu" || name == "swish") return silu(x);
  if (name == "tanh") return tanh(x);
  if (name == "quick_gelu") return x * sigmoid(x * 1.702);
  DS_CHECK(
      false, ValueError, "config: the activation '", name,
      "' is unknown; use gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, relu6, hardswish, "
      "silu, swish, tanh or quick_gelu");
}

Tensor positions_of(const Tensor& input, const KeyValueCache* cache,
                    const std::optional<Tensor>& given) {
  if (cache) return cache->positions();
  if (present(given)) return *given;
  return unsqueeze(arange(input.size(1), DType::i64, input.device()), 0);
}

std::optional<Tensor> attention_mask(const std::optional<Tensor>& mask) {
  if (!mask || !mask->defined()) return std::nullopt;
  const Tensor seen = mask->dtype() == DType::bool_ ? *mask : ne(*mask, 0);
  DS_CHECK(seen.dim() == 2 || seen.dim() == 3, ShapeError, "attention_mask ", mask->type(),
           " must be [batch, tokens] or [batch, tokens, tokens]");
  if (seen.dim() == 3) return unsqueeze(seen, 1);
  return reshape(seen, {seen.size(0), 1, 1, seen.size(1)});
}

void init_weights(nn::Module& root, double range) {
  root.apply([range](nn::Module& m) {
    if (auto* table = dynamic_cast<nn::Embedding*>(&m)) {
      nn::init::normal_(m.parameter("weight"), 0.0, range);
      if (table->padding_idx) {
        const GradMode no_grad(false);
        select(m.parameter("weight"), 0, *table->padding_idx)
            .assign(zeros({table->embedding_dim}, m.parameter("weight").dtype()).value());
      }
    } else if (dynamic_cast<nn::Linear*>(&m) || dynamic_cast<Conv1D*>(&m)) {
      nn::init::normal_(m.parameter("weight"), 0.0, range);
      if (const auto bias = m.optional_parameter("bias")) nn::init::zeros_(*bias);
    }
  });
}

const Tensor& given(const char* model, const char* name, const std::optional<Tensor>& input) {
  DS_CHECK(input && input->defined(), ValueError, model, ": give ", name);
  return *input;
}

Shape checked_length(const char* model, const Tensor& ids, int64_t limit) {
  DS_CHECK(ids.dim() >= 2, ShapeError, model, ": the input ", ids.type(),
           " must start with [batch, tokens]");
  const int64_t tokens = ids.size(1);
  DS_CHECK(tokens > 0, ValueError, model, ": the text has no tokens");
  DS_CHECK(tokens <= limit, ValueError, model, ": ", tokens, " tokens are more than the ", limit,
           " the model has positions for; truncate the text");
  return {ids.size(0), tokens};
}

Tensor next_token_loss(const Tensor& logits, const Tensor& labels) {
  // The labels move, not the logits: a part of those would be a copy of nearly all of them.
  constexpr int64_t kIgnored = -100;
  Shape one = labels.shape();
  one.back() = 1;
  const Tensor last = full(one, kIgnored, labels.dtype(), labels.device());
  const Tensor next = cat({narrow(labels, -1, 1, labels.size(-1) - 1), last}, -1);
  return cross_entropy(reshape(logits, {-1, logits.size(-1)}), reshape(next, {-1}));
}

Tensor soft_cap(const Tensor& x, double cap) { return tanh(x / cap) * cap; }

Tensor split_heads(const Tensor& x, int64_t heads) {
  return reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads});
}

Tensor Attention::operator()(const Tensor& q, Tensor k, Tensor v) const {
  std::optional<Tensor> seen = mask;
  bool in_order = causal;
  const int64_t batch = q.size(0), tokens = q.size(1), heads = q.size(2);
  if (place.cache) {
    std::tie(k, v) = place.cache->extend(place.layer, k, v);
    seen = place.cache->mask();
    in_order = false;
    if (window && k.size(1) > *window)
      seen = logical_and(*seen, causal_mask(place.cache->slots(), k.size(1), window));
  } else if (in_order && (seen || bias || (window && tokens > *window))) {
    const Tensor order = causal_mask(arange(tokens, DType::i64, q.device()), tokens, window);
    seen = seen ? logical_and(*seen, order) : order;
    in_order = false;
  }
  // Finite, so that a row that sees nothing has finite results.
  if (bias) seen = seen ? where(*seen, *bias, -1e9) : *bias;
  if (place.weights || cap) {
    const Tensor slots = arange(tokens, DType::i64, q.device());
    const Tensor weights = look(q, k, *this, in_order ? causal_mask(slots, tokens, window) : seen);
    if (place.weights) place.weights->push_back(weights);
    if (cap) {
      const Tensor out = matmul(ds::dropout(weights, dropout, dropout > 0), every_head(v, heads));
      return reshape(transpose(out, 1, 2), {batch, tokens, heads * v.size(3)});
    }
  }
  Tensor query = transpose(q, 1, 2);
  // The heads that share a key become queries of one head: a key is read once for all of them.
  const bool grouped = place.cache && tokens == 1;
  if (grouped) query = reshape(query, {batch, k.size(2), heads / k.size(2), q.size(3)});
  const Tensor out =
      scaled_dot_product_attention(query, transpose(k, 1, 2), transpose(v, 1, 2), seen, dropout,
                                   in_order, scale, k.size(2) != query.size(1));
  if (grouped) return reshape(out, {batch, 1, heads * v.size(3)});
  return reshape(transpose(out, 1, 2), {batch, tokens, heads * v.size(3)});
}

TransformerBlock::TransformerBlock(const BlockNames& names, const BlockOptions& options)
    : names_(names), options_(options) {
  const BlockOptions& o = options_;
  DS_CHECK(o.heads >= 1 && o.hidden_size >= 1 && o.hidden_size % o.heads == 0, ValueError,
           "config: ", o.heads, " attention heads do not divide the hidden size ", o.hidden_size);
  DS_CHECK(o.intermediate_size >= 1, ValueError, "config: the intermediate size ",
           o.intermediate_size, " must be positive");
  activate(o.activation, zeros({1}));
  const int64_t h = o.hidden_size;
  const auto norm = [&](const char* name) {
    add_at(*this, name, std::make_shared<nn::LayerNorm>(Shape{h}, o.eps));
  };
  if (o.pre_norm) norm(names.attention_norm);
  if (names.qkv) {
    add_at(*this, names.qkv, projection(h, 3 * h, o.transposed));
  } else {
    for (const char* name : {names.query, names.key, names.value})
      add_at(*this, name, projection(h, h, o.transposed, o.qkv_bias));
  }
  add_at(*this, names.out, projection(h, h, o.transposed));
  norm(o.pre_norm ? names.mlp_norm : names.attention_norm);
  add_at(*this, names.up, projection(h, o.intermediate_size, o.transposed));
  add_at(*this, names.down, projection(o.intermediate_size, h, o.transposed));
  if (!o.pre_norm) norm(names.mlp_norm);
  if (!o.layer_scale) return;
  for (const char* name : {names.attention_scale, names.mlp_scale})
    add_at(*this, name, std::make_shared<LayerScale>(h, *o.layer_scale));
}

Tensor TransformerBlock::attend(const Tensor& x, const std::optional<Tensor>& mask,
                                AttentionPlace place) {
  const BlockOptions& o = options_;
  std::vector<Tensor> parts;
  if (names_.qkv) {
    parts = chunk(call_at(*this, names_.qkv, x), 3, -1);
  } else {
    for (const char* name : {names_.query, names_.key, names_.value})
      parts.push_back(call_at(*this, name, x));
  }
  for (Tensor& part : parts) part = split_heads(part, o.heads);
  const Attention attention{mask, o.causal, is_training() ? o.attention_dropout : 0.0, o.scale,
                            place};
  const Tensor joined = attention(parts[0], parts[1], parts[2]);
  return dropout(call_at(*this, names_.out, joined), o.dropout, is_training());
}

Tensor TransformerBlock::feed_forward(const Tensor& x) {
  const Tensor inner = activate(options_.activation, call_at(*this, names_.up, x));
  const Tensor out = call_at(*this, names_.down, inner);
  return options_.mlp_dropout ? dropout(out, options_.dropout, is_training()) : out;
}

Tensor TransformerBlock::branch(const char* scale, const Tensor& y) {
  const Tensor scaled = options_.layer_scale ? call_at(*this, scale, y) : y;
  return drop_path(scaled, options_.drop_path, is_training());
}

Tensor TransformerBlock::forward(const Tensor& x, const std::optional<Tensor>& mask,
                                 AttentionPlace place) {
  const auto attended = [&](const Tensor& in) {
    return branch(names_.attention_scale, attend(in, mask, place));
  };
  const auto fed = [&](const Tensor& in) { return branch(names_.mlp_scale, feed_forward(in)); };
  if (options_.pre_norm) {
    const Tensor y = x + attended(call_at(*this, names_.attention_norm, x));
    return y + fed(call_at(*this, names_.mlp_norm, y));
  }
  const Tensor y = call_at(*this, names_.attention_norm, x + attended(x));
  return call_at(*this, names_.mlp_norm, y + fed(y));
}

}  // namespace ds::hub
