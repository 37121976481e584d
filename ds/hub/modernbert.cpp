// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/modernbert.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr const char* kSliding = "sliding_attention";

void check(const ModernBertConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.intermediate_size > 0 &&
               c.max_position_embeddings > 0 && c.num_hidden_layers >= 0 && c.local_attention >= 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", hidden_size ", c.hidden_size,
           ", intermediate_size ", c.intermediate_size, " and max_position_embeddings ",
           c.max_position_embeddings, " must be positive, num_hidden_layers ", c.num_hidden_layers,
           " and local_attention ", c.local_attention, " not negative");
  DS_CHECK(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0, ValueError,
           "config: ", c.num_attention_heads, " attention heads do not divide the hidden size ",
           c.hidden_size);
  DS_CHECK(static_cast<int64_t>(c.layer_types.size()) == c.num_hidden_layers, ValueError,
           "config: layer_types names ", c.layer_types.size(), " layers of ", c.num_hidden_layers);
  for (const std::string& type : c.layer_types)
    DS_CHECK(type == kSliding || type == "full_attention", ValueError, "config: layer type '", type,
             "' is unknown; use full_attention and sliding_attention");
  DS_CHECK(c.classifier_pooling == "cls" || c.classifier_pooling == "mean", ValueError,
           "config: classifier_pooling '", c.classifier_pooling, "' is unknown; use cls or mean");
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
  activate(c.hidden_activation, zeros({1}));
  activate(c.classifier_activation, zeros({1}));
}

std::shared_ptr<nn::LayerNorm> make_norm(const ModernBertConfig& c) {
  return std::make_shared<nn::LayerNorm>(Shape{c.hidden_size}, c.norm_eps, true, c.norm_bias);
}

nn::ModulePtr make_layer(const ModernBertConfig& c, bool first) {
  auto layer = std::make_shared<Group>();
  const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias) {
    add_at(*layer, name, std::make_shared<nn::Linear>(in, out, bias));
  };
  // The embeddings are normalised already.
  if (!first) add_at(*layer, "attn_norm", make_norm(c));
  dense("attn.Wqkv", c.hidden_size, 3 * c.hidden_size, c.attention_bias);
  dense("attn.Wo", c.hidden_size, c.hidden_size, c.attention_bias);
  add_at(*layer, "mlp_norm", make_norm(c));
  dense("mlp.Wi", c.hidden_size, 2 * c.intermediate_size, c.mlp_bias);
  dense("mlp.Wo", c.intermediate_size, c.hidden_size, c.mlp_bias);
  return layer;
}

void draw(nn::Module& layer, const char* name, double deviation, const ModernBertConfig& c) {
  const double cut = c.initializer_cutoff_factor * deviation;
  nn::Module& linear = *layer.get_submodule(name);
  nn::init::trunc_normal_(linear.parameter("weight"), 0.0, deviation, -cut, cut);
}

/// bool [T, T]: tokens at most `reach` apart.
Tensor near(int64_t tokens, int64_t reach, Device device) {
  const Tensor at = arange(tokens, DType::i64, device);
  return le(abs(unsqueeze(at, 1) - at), reach);
}

}  // namespace

struct ModernBertModel::View {
  Rotation turn;
  std::optional<Tensor> mask;
  std::vector<Tensor>* attentions;  // where they go, when asked for
  /// bool [B, T, 1], false for padding that has padding alone within its reach.
  std::optional<Tensor> sees = {};
};

ModernBertModel::ModernBertModel(const ModernBertConfig& config) : config_(config) {
  const ModernBertConfig& c = config_;
  check(c);
  add_at(*this, "embeddings.tok_embeddings",
         std::make_shared<nn::Embedding>(c.vocab_size, c.hidden_size, c.pad_token_id));
  add_at(*this, "embeddings.norm", make_norm(c));
  const auto layers = add<nn::ModuleList>("layers");
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers->append(make_layer(c, i == 0));
  register_module("final_norm", make_norm(c));
  init_weights(*this, c.initializer_range);
  const double out =
      c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.num_hidden_layers));
  for (const auto& [name, layer] : layers->named_children()) {
    for (const char* part : {"attn.Wqkv", "mlp.Wi"}) draw(*layer, part, c.initializer_range, c);
    for (const char* part : {"attn.Wo", "mlp.Wo"}) draw(*layer, part, out, c);
  }
}

HeadSetting ModernBertModel::head_setting() const {
  const ModernBertConfig& c = config_;
  return {.labels = c,
          .model_type = "modernbert",
          .hidden_size = c.hidden_size,
          .embedding_size = c.hidden_size,
          .vocab_size = c.vocab_size,
          .max_positions = c.max_position_embeddings,
          .pad_token_id = c.pad_token_id,
          .table = "embeddings.tok_embeddings",
          .tied = c.tie_word_embeddings,
          .activation = c.classifier_activation,
          .dense_bias = c.classifier_bias,
          .norm_bias = c.norm_bias,
          .decoder_bias = c.decoder_bias,
          .mean_of_tokens = c.classifier_pooling == "mean",
          .eps = c.norm_eps,
          .initializer_range = c.initializer_range,
          .classifier_dropout = c.classifier_dropout.value_or(0.0)};
}

Tensor ModernBertModel::attend(nn::Module& layer, const Tensor& x, const View& view) {
  std::vector<Tensor> parts = chunk(call_at(layer, "attn.Wqkv", x), 3, -1);
  for (Tensor& part : parts) part = split_heads(part, config_.num_attention_heads);
  const double p = is_training() ? config_.attention_dropout : 0.0;
  Attention attention{view.mask, false, p};
  attention.place.weights = view.attentions;
  Tensor joined = attention(view.turn(parts[0]), view.turn(parts[1]), parts[2]);
  // As in transformers, what sees nothing takes the mean of all values.
  if (view.sees) joined = where(*view.sees, joined, mean(flatten(parts[2], 2, 3), {1}, true));
  return dropout(call_at(layer, "attn.Wo", joined), p, is_training());
}

Tensor ModernBertModel::feed_forward(nn::Module& layer, const Tensor& x) {
  const std::vector<Tensor> both = chunk(call_at(layer, "mlp.Wi", x), 2, -1);
  const Tensor inner = activate(config_.hidden_activation, both[0]) * both[1];
  return call_at(layer, "mlp.Wo", dropout(inner, config_.mlp_dropout, is_training()));
}

Output ModernBertModel::forward(const TextInput& input) {
  const ModernBertConfig& c = config_;
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first =
      embedded ? *input.inputs_embeds
               : given("ModernBertModel", "input_ids or inputs_embeds", input.input_ids);
  const int64_t tokens = checked_length("ModernBertModel", first, c.max_position_embeddings)[1];
  Tensor x = embedded ? first : call_at(*this, "embeddings.tok_embeddings", first);
  x = dropout(call_at(*this, "embeddings.norm", x), c.embedding_dropout, is_training());

  Output out;
  std::vector<Tensor>* attentions = input.output_attentions ? &out.attentions : nullptr;
  const Tensor positions = positions_of(first, nullptr, input.position_ids);
  const RopeLength length{tokens, c.max_position_embeddings};
  const int64_t head_size = c.hidden_size / c.num_attention_heads;
  const std::optional<Tensor> mask = attention_mask(input.attention_mask);
  const View full{{c.rope, head_size, positions, x.dtype(), length}, mask, attentions};
  View sliding{{c.sliding_rope, head_size, positions, x.dtype(), length}, mask, attentions};
  if (const int64_t reach = c.local_attention / 2; tokens > reach + 1) {
    const Tensor seen = near(tokens, reach, x.device());
    sliding.mask = mask ? logical_and(*mask, seen) : seen;
    if (mask) sliding.sees = reshape(any(*sliding.mask, {-1}), {first.size(0), tokens, 1});
  }

  const nn::ModulePtr layers = child("layers");
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    nn::Module& layer = *layers->child(std::to_string(i));
    const View& view = c.layer_types[static_cast<size_t>(i)] == kSliding ? sliding : full;
    x = through_layer(x, [&](const Tensor& before) {
      const Tensor normed = i == 0 ? before : call_at(layer, "attn_norm", before);
      const Tensor y = before + attend(layer, normed, view);
      return y + feed_forward(layer, call_at(layer, "mlp_norm", y));
    });
  }
  x = call_at(*this, "final_norm", x);
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

}  // namespace ds::hub
