// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_attention.h"

#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::nn {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

/// Bool masks (true is left out) become masks to add.
Tensor additive(const Tensor& mask, DType dtype) {
  if (mask.dtype() != DType::bool_) return to_dtype(mask, dtype);
  const Tensor zero = zeros(mask.shape(), dtype, mask.device());
  return where(mask, kMinusInfinity, zero);
}

/// [N, T, E] -> [N, H, T, E/H].
Tensor split_heads(const Tensor& x, int64_t heads) {
  return transpose(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), 1, 2);
}

}  // namespace

MultiheadAttention::MultiheadAttention(AttentionOptions options) : options_(options) {
  const AttentionOptions& o = options_;
  DS_CHECK(o.num_heads >= 1 && o.embed_dim % o.num_heads == 0, ValueError,
           "MultiheadAttention: num_heads ", o.num_heads, " must divide embed_dim ", o.embed_dim);
  const int64_t e = o.embed_dim, kdim = o.kdim.value_or(e), vdim = o.vdim.value_or(e);
  const bool same = kdim == e && vdim == e;
  const auto weight = [&](const char* name, bool present, Shape shape) {
    const Tensor w = register_parameter(name, present ? empty(shape) : Tensor());
    if (present) init::xavier_uniform_(w);
  };
  weight("in_proj_weight", same, {3 * e, e});
  weight("q_proj_weight", !same, {e, e});
  weight("k_proj_weight", !same, {e, kdim});
  weight("v_proj_weight", !same, {e, vdim});
  register_parameter("in_proj_bias", o.bias ? clone(zeros({3 * e})) : Tensor());
  const auto out = add<OutputProjection>("out_proj", e, e, o.bias);
  if (o.bias) init::zeros_(out->parameter("bias"));
  for (const char* name : {"bias_k", "bias_v"}) {
    const Tensor b = register_parameter(name, o.add_bias_kv ? empty({1, 1, e}) : Tensor());
    if (o.add_bias_kv) init::xavier_normal_(b);
  }
}

Tensor MultiheadAttention::project(const Tensor& x, int part) const {
  const int64_t e = options_.embed_dim;
  const Tensor packed = parameter("in_proj_weight");
  static constexpr const char* kNames[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
  const Tensor w = packed.defined() ? narrow(packed, 0, part * e, e) : parameter(kNames[part]);
  std::optional<Tensor> b = optional_parameter("in_proj_bias");
  if (b) b = narrow(*b, 0, part * e, e);
  return linear(x, w, b);
}

Mask MultiheadAttention::merged_mask(const Mask& key_padding, const Mask& attn, int64_t batch,
                                     int64_t tq, int64_t tk, const Tensor& like) const {
  Mask mask;
  if (attn) {
    Tensor m = additive(*attn, like.dtype());
    if (m.dim() == 3) m = reshape(m, {batch, options_.num_heads, tq, m.size(2)});
    mask = m;
  }
  if (key_padding) {
    const Tensor p =
        reshape(additive(*key_padding, like.dtype()), {batch, 1, 1, key_padding->size(-1)});
    mask = mask ? *mask + p : p;
  }
  // Keys that were added at the end (bias_k, zeros) are always seen.
  if (mask && mask->size(-1) < tk) mask = pad(*mask, {0, tk - mask->size(-1)});
  return mask;
}

std::pair<Tensor, Tensor> MultiheadAttention::forward(const Tensor& query, const Tensor& key,
                                                      const Tensor& value,
                                                      const Mask& key_padding_mask,
                                                      bool need_weights, const Mask& attn_mask,
                                                      bool average_attn_weights, bool is_causal) {
  const AttentionOptions& o = options_;
  DS_CHECK(query.dim() == key.dim() && key.dim() == value.dim() &&
               (query.dim() == 2 || query.dim() == 3),
           ShapeError, "MultiheadAttention: query ", query.type(), ", key ", key.type(),
           " and value ", value.type(), " must all have 2 or 3 dimensions");
  const bool batched = query.dim() == 3;
  const int time = batched && o.batch_first ? 1 : 0, sample = batched ? 1 - time : 0;
  DS_CHECK(query.size(-1) == o.embed_dim && key.size(-1) == o.kdim.value_or(o.embed_dim) &&
               value.size(-1) == o.vdim.value_or(o.embed_dim),
           ShapeError, "MultiheadAttention: query ", query.type(), ", key ", key.type(),
           " and value ", value.type(), " must have the last sizes ", o.embed_dim, ", ",
           o.kdim.value_or(o.embed_dim), " and ", o.vdim.value_or(o.embed_dim));
  DS_CHECK(
      key.size(time) == value.size(time) && (!batched || (query.size(sample) == key.size(sample) &&
                                                          key.size(sample) == value.size(sample))),
      ShapeError, "MultiheadAttention: query ", query.type(), ", key ", key.type(), " and value ",
      value.type(), " must agree in their batch, key and value in their length too");
  const auto to_batch_first = [&](const Tensor& x) {
    return !batched ? unsqueeze(x, 0) : o.batch_first ? x : transpose(x, 0, 1);
  };
  Tensor q = project(to_batch_first(query), 0), k = project(to_batch_first(key), 1),
         v = project(to_batch_first(value), 2);
  const int64_t batch = q.size(0), tq = q.size(1);
  if (o.add_bias_kv) {
    k = cat({k, expand(parameter("bias_k"), {batch, 1, o.embed_dim})}, 1);
    v = cat({v, expand(parameter("bias_v"), {batch, 1, o.embed_dim})}, 1);
  }
  if (o.add_zero_attn) {
    k = pad(k, {0, 0, 0, 1});
    v = pad(v, {0, 0, 0, 1});
  }
  q = split_heads(q, o.num_heads), k = split_heads(k, o.num_heads), v = split_heads(v, o.num_heads);
  const Mask mask = merged_mask(key_padding_mask, attn_mask, batch, tq, k.size(2), q);
  const double p = is_training() ? o.dropout : 0.0;
  Tensor out, weights;
  if (need_weights) {
    Tensor scores = matmul(q, mT(k)) * (1.0 / std::sqrt(static_cast<double>(q.size(3))));
    if (mask) scores = scores + *mask;
    weights = softmax(scores, -1);
    if (p > 0) weights = dropout(weights, p, true);
    // Weights that nobody reads are never computed. A query whose keys are all masked must give NaN
    // as its weights are, where attention itself gives 0.
    out = mask || p > 0 ? matmul(weights, v) : scaled_dot_product_attention(q, k, v);
    if (average_attn_weights) weights = mean(weights, 1);
    if (!batched) weights = squeeze(weights, 0);
  } else {
    out = scaled_dot_product_attention(q, k, v, mask, p, is_causal && !mask);
  }
  out = reshape(transpose(out, 1, 2), {batch, tq, o.embed_dim});
  out = (*child("out_proj"))(out);
  if (!batched)
    out = squeeze(out, 0);
  else if (!o.batch_first)
    out = transpose(out, 0, 1);
  return {out, weights};
}

namespace {

Tensor activate(const TransformerOptions& o, const Tensor& x) {
  return o.activation == "gelu" ? gelu(x) : relu(x);
}

/// What the attention child makes of x and what it looks at; through its peer when that
/// intercepts.
Tensor attend_with(const Module& owner, const char* name, const Tensor& x, const Tensor& memory,
                   const Mask& key_padding, const Mask& mask, bool causal) {
  const ModulePtr found = owner.child(name);
  if (found && found->peer() && found->peer()->intercepts())
    return found->peer()->attend({x, memory, memory}, key_padding, mask, causal);
  return owner.child_as<MultiheadAttention>(name)
      .forward(x, memory, memory, key_padding, false, mask, true, causal)
      .first;
}

AttentionOptions attention_options(const TransformerOptions& o) {
  DS_CHECK(o.activation == "relu" || o.activation == "gelu", ValueError,
           "Transformer: activation '", o.activation, "' is unknown; use relu or gelu");
  AttentionOptions a{o.d_model, o.nhead};
  a.dropout = o.dropout;
  a.bias = o.bias;
  a.batch_first = o.batch_first;
  return a;
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(TransformerOptions o) : options_(o) {
  add<MultiheadAttention>("self_attn", attention_options(o));
  add<Linear>("linear1", o.d_model, o.dim_feedforward, o.bias);
  add<Dropout>("dropout", o.dropout);
  add<Linear>("linear2", o.dim_feedforward, o.d_model, o.bias);
  add<LayerNorm>("norm1", Shape{o.d_model}, o.layer_norm_eps, true, o.bias);
  add<LayerNorm>("norm2", Shape{o.d_model}, o.layer_norm_eps, true, o.bias);
  add<Dropout>("dropout1", o.dropout);
  add<Dropout>("dropout2", o.dropout);
}

Tensor TransformerEncoderLayer::feed_forward(const Tensor& x) {
  return (*child("dropout2"))(
      (*child("linear2"))((*child("dropout"))(activate(options_, (*child("linear1"))(x)))));
}

Tensor TransformerEncoderLayer::forward(const Tensor& src, const Mask& src_mask,
                                        const Mask& src_key_padding_mask, bool is_causal) {
  const auto attend = [&](const Tensor& x) {
    return (*child("dropout1"))(
        attend_with(*this, "self_attn", x, x, src_key_padding_mask, src_mask, is_causal));
  };
  if (options_.norm_first) {
    const Tensor x = src + attend((*child("norm1"))(src));
    return x + feed_forward((*child("norm2"))(x));
  }
  const Tensor x = (*child("norm1"))(src + attend(src));
  return (*child("norm2"))(x + feed_forward(x));
}

TransformerDecoderLayer::TransformerDecoderLayer(TransformerOptions o) : options_(o) {
  add<MultiheadAttention>("self_attn", attention_options(o));
  add<MultiheadAttention>("multihead_attn", attention_options(o));
  add<Linear>("linear1", o.d_model, o.dim_feedforward, o.bias);
  add<Dropout>("dropout", o.dropout);
  add<Linear>("linear2", o.dim_feedforward, o.d_model, o.bias);
  add<LayerNorm>("norm1", Shape{o.d_model}, o.layer_norm_eps, true, o.bias);
  add<LayerNorm>("norm2", Shape{o.d_model}, o.layer_norm_eps, true, o.bias);
  add<LayerNorm>("norm3", Shape{o.d_model}, o.layer_norm_eps, true, o.bias);
  add<Dropout>("dropout1", o.dropout);
  add<Dropout>("dropout2", o.dropout);
  add<Dropout>("dropout3", o.dropout);
}

Tensor TransformerDecoderLayer::feed_forward(const Tensor& x) {
  return (*child("dropout3"))(
      (*child("linear2"))((*child("dropout"))(activate(options_, (*child("linear1"))(x)))));
}

Tensor TransformerDecoderLayer::forward(const Tensor& tgt, const Tensor& memory,
                                        const Mask& tgt_mask, const Mask& memory_mask,
                                        const Mask& tgt_key_padding_mask,
                                        const Mask& memory_key_padding_mask, bool tgt_is_causal,
                                        bool memory_is_causal) {
  const auto self = [&](const Tensor& x) {
    return (*child("dropout1"))(
        attend_with(*this, "self_attn", x, x, tgt_key_padding_mask, tgt_mask, tgt_is_causal));
  };
  const auto cross = [&](const Tensor& x) {
    return (*child("dropout2"))(attend_with(*this, "multihead_attn", x, memory,
                                            memory_key_padding_mask, memory_mask,
                                            memory_is_causal));
  };
  if (options_.norm_first) {
    Tensor x = tgt + self((*child("norm1"))(tgt));
    x = x + cross((*child("norm2"))(x));
    return x + feed_forward((*child("norm3"))(x));
  }
  Tensor x = (*child("norm1"))(tgt + self(tgt));
  x = (*child("norm2"))(x + cross(x));
  return (*child("norm3"))(x + feed_forward(x));
}

namespace {

void add_layers(Module& owner, const std::vector<ModulePtr>& layers, const ModulePtr& norm) {
  DS_CHECK(!layers.empty(), ValueError, owner.type_name(), ": it needs at least 1 layer");
  const auto list = owner.add<ModuleList>("layers");
  for (const ModulePtr& layer : layers) list->append(layer);
  if (norm) owner.register_module("norm", norm);
}

template <class Layer>
std::vector<ModulePtr> make_layers(const TransformerOptions& options, int64_t count) {
  std::vector<ModulePtr> layers;
  for (int64_t i = 0; i < count; ++i) layers.push_back(std::make_shared<Layer>(options));
  return layers;
}

/// What the optional last norm makes of x.
Tensor last_norm(const Module& owner, const Tensor& x) {
  return owner.has_child("norm") ? (*owner.child("norm"))(x) : x;
}

}  // namespace

TransformerEncoder::TransformerEncoder(const std::vector<ModulePtr>& layers, ModulePtr norm) {
  add_layers(*this, layers, norm);
}
TransformerEncoder::TransformerEncoder(const TransformerOptions& options, int64_t num_layers,
                                       ModulePtr norm)
    : TransformerEncoder(make_layers<TransformerEncoderLayer>(options, num_layers), norm) {}

Tensor TransformerEncoder::forward(const Tensor& src, const Mask& mask,
                                   const Mask& src_key_padding_mask, bool is_causal) {
  Tensor x = src;
  const ModulePtr layers = child("layers");
  for (const auto& [name, layer] : layers->named_children())
    x = layers->child_as<TransformerEncoderLayer>(name).forward(x, mask, src_key_padding_mask,
                                                                is_causal);
  return last_norm(*this, x);
}

TransformerDecoder::TransformerDecoder(const std::vector<ModulePtr>& layers, ModulePtr norm) {
  add_layers(*this, layers, norm);
}
TransformerDecoder::TransformerDecoder(const TransformerOptions& options, int64_t num_layers,
                                       ModulePtr norm)
    : TransformerDecoder(make_layers<TransformerDecoderLayer>(options, num_layers), norm) {}

Tensor TransformerDecoder::forward(const Tensor& tgt, const Tensor& memory, const Mask& tgt_mask,
                                   const Mask& memory_mask, const Mask& tgt_key_padding_mask,
                                   const Mask& memory_key_padding_mask, bool tgt_is_causal,
                                   bool memory_is_causal) {
  Tensor x = tgt;
  const ModulePtr layers = child("layers");
  for (const auto& [name, layer] : layers->named_children())
    x = layers->child_as<TransformerDecoderLayer>(name).forward(
        x, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
        tgt_is_causal, memory_is_causal);
  return last_norm(*this, x);
}

Transformer::Transformer(TransformerOptions o, int64_t num_encoder_layers,
                         int64_t num_decoder_layers)
    : options_(o) {
  const auto norm = [&] {
    return std::make_shared<LayerNorm>(Shape{o.d_model}, o.layer_norm_eps, true, o.bias);
  };
  add<TransformerEncoder>("encoder", o, num_encoder_layers, norm());
  add<TransformerDecoder>("decoder", o, num_decoder_layers, norm());
  for (const Tensor& parameter : parameters())
    if (parameter.dim() > 1) init::xavier_uniform_(parameter);
}

Tensor Transformer::forward(const Tensor& src, const Tensor& tgt, const Mask& src_mask,
                            const Mask& tgt_mask, const Mask& memory_mask,
                            const Mask& src_key_padding_mask, const Mask& tgt_key_padding_mask,
                            const Mask& memory_key_padding_mask) {
  const Tensor memory =
      child_as<TransformerEncoder>("encoder").forward(src, src_mask, src_key_padding_mask);
  return child_as<TransformerDecoder>("decoder").forward(
      tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask);
}

Tensor Transformer::generate_square_subsequent_mask(int64_t size) {
  return triu(full({size, size}, kMinusInfinity, DType::f32), 1);
}

}  // namespace ds::nn
