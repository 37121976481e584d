// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/deberta.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/nn/layers_conv.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

int64_t embedding_size(const DebertaConfig& c) { return c.embedding_size.value_or(c.hidden_size); }

int64_t farthest(const DebertaConfig& c) {
  return c.max_relative_positions > 0 ? c.max_relative_positions : c.max_position_embeddings;
}

/// Distances to each side that have a row of their own.
int64_t span(const DebertaConfig& c) {
  return c.position_buckets > 0 ? c.position_buckets : farthest(c);
}

bool looks(const DebertaConfig& c, const char* kind) {
  return std::find(c.pos_att_type.begin(), c.pos_att_type.end(), kind) != c.pos_att_type.end();
}

bool normalises_distances(const DebertaConfig& c) {
  return c.norm_rel_ebd.find("layer_norm") != std::string::npos;
}

void check(const DebertaConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.intermediate_size > 0 &&
               embedding_size(c) > 0 && c.max_position_embeddings > 0 && c.num_hidden_layers >= 0 &&
               c.type_vocab_size >= 0 && c.conv_kernel_size >= 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", hidden_size ", c.hidden_size,
           ", intermediate_size ", c.intermediate_size, ", embedding_size ", embedding_size(c),
           " and max_position_embeddings ", c.max_position_embeddings,
           " must be positive, num_hidden_layers ", c.num_hidden_layers, ", type_vocab_size ",
           c.type_vocab_size, " and conv_kernel_size ", c.conv_kernel_size, " not negative");
  DS_CHECK(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0, ValueError,
           "config: ", c.num_attention_heads, " attention heads do not divide the hidden size ",
           c.hidden_size);
  DS_CHECK(c.position_buckets <= 0 || (c.position_buckets >= 4 && farthest(c) > c.position_buckets),
           ValueError, "config: position_buckets ", c.position_buckets,
           " must be at least 4 and less than the ", farthest(c), " relative positions");
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
  for (const std::string& kind : c.pos_att_type)
    DS_CHECK(kind == "c2p" || kind == "p2c", ValueError, "config: pos_att_type '", kind,
             "' is unknown; use c2p and p2c");
  activate(c.hidden_act, zeros({1}));
  activate(c.conv_act, zeros({1}));
}

/// Small distances as they are; of larger ones the logarithm counts, up to the last bucket.
int64_t bucket(const DebertaConfig& c, int64_t distance) {
  const int64_t half = c.position_buckets / 2, size = std::abs(distance);
  if (c.position_buckets <= 0 || size <= half) return distance;
  // In 32 bits, where a bucket ends as it does for transformers.
  const auto step = static_cast<float>(half);
  const float share = std::log(static_cast<float>(size) / step) /
                      std::log(static_cast<float>(farthest(c) - 1) / step);
  const auto far = static_cast<int64_t>(std::ceil(share * static_cast<float>(half - 1))) + half;
  return distance < 0 ? -far : far;
}

/// i64 [T, T]: the row of the table of distances for a token and one that it looks at.
Tensor distance_rows(const DebertaConfig& c, int64_t tokens, Device device) {
  std::vector<int64_t> of_distance, rows;
  for (int64_t d = 1 - tokens; d < tokens; ++d)
    of_distance.push_back(std::clamp<int64_t>(bucket(c, d) + span(c), 0, 2 * span(c) - 1));
  for (int64_t at = 0; at < tokens; ++at)
    for (int64_t other = 0; other < tokens; ++other)
      rows.push_back(of_distance[static_cast<size_t>(at - other + tokens - 1)]);
  return Tensor::from_host(rows.data(), {DType::i64, {tokens, tokens}}, device);
}

nn::ModulePtr make_layer(const DebertaConfig& c) {
  auto layer = std::make_shared<Group>();
  const int64_t h = c.hidden_size;
  const auto dense = [&](const std::string& name, int64_t in, int64_t out) {
    add_at(*layer, name, std::make_shared<nn::Linear>(in, out));
  };
  const auto norm = [&](const std::string& name) {
    add_at(*layer, name, std::make_shared<nn::LayerNorm>(Shape{h}, c.layer_norm_eps));
  };
  for (const char* name : {"query_proj", "key_proj", "value_proj"})
    dense(str("attention.self.", name), h, h);
  if (c.relative_attention && !c.share_att_key) {
    if (looks(c, "c2p")) dense("attention.self.pos_key_proj", h, h);
    if (looks(c, "p2c")) dense("attention.self.pos_query_proj", h, h);
  }
  dense("attention.output.dense", h, h);
  norm("attention.output.LayerNorm");
  dense("intermediate.dense", h, c.intermediate_size);
  dense("output.dense", c.intermediate_size, h);
  norm("output.LayerNorm");
  return layer;
}

/// x [B, T, H], 0 at padding of a mask [B, T].
Tensor without_padding(const Tensor& x, const TextInput& input) {
  if (!present(input.attention_mask) || input.attention_mask->dim() != 2) return x;
  return x * unsqueeze(to_dtype(*input.attention_mask, x.dtype()), 2);
}

}  // namespace

struct DebertaModel::Step {
  std::optional<Tensor> mask;
  std::optional<Tensor> real;       // bool [B, T, 1], where there is padding
  Tensor distances, rows;           // the table [2 * span, H], and its rows for two tokens
  std::vector<Tensor>* attentions;  // where they go, when asked for
};

DebertaModel::DebertaModel(const DebertaConfig& config) : config_(config) {
  const DebertaConfig& c = config_;
  check(c);
  const int64_t words = embedding_size(c), h = c.hidden_size;
  const auto table = [&](const char* name, int64_t rows, std::optional<int64_t> padding = {}) {
    add_at(*this, name, std::make_shared<nn::Embedding>(rows, words, padding));
  };
  const auto norm = [&](const char* name) {
    add_at(*this, name, std::make_shared<nn::LayerNorm>(Shape{h}, c.layer_norm_eps));
  };
  table("embeddings.word_embeddings", c.vocab_size, c.pad_token_id);
  if (c.position_biased_input) table("embeddings.position_embeddings", c.max_position_embeddings);
  if (c.type_vocab_size > 0) table("embeddings.token_type_embeddings", c.type_vocab_size);
  if (words != h)
    add_at(*this, "embeddings.embed_proj", std::make_shared<nn::Linear>(words, h, false));
  norm("embeddings.LayerNorm");
  const auto layers = std::make_shared<nn::ModuleList>();
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers->append(make_layer(c));
  add_at(*this, "encoder.layer", layers);
  if (c.relative_attention)
    add_at(*this, "encoder.rel_embeddings", std::make_shared<nn::Embedding>(2 * span(c), h));
  if (normalises_distances(c)) norm("encoder.LayerNorm");
  if (c.conv_kernel_size > 0) {
    add_at(*this, "encoder.conv.conv",
           std::make_shared<nn::Conv1d>(nn::ConvOptions{.in_channels = h,
                                                        .out_channels = h,
                                                        .kernel_size = c.conv_kernel_size,
                                                        .padding = (c.conv_kernel_size - 1) / 2,
                                                        .groups = c.conv_groups}));
    norm("encoder.conv.LayerNorm");
  }
  init_weights(*this, c.initializer_range);
}

HeadSetting DebertaModel::head_setting() const {
  const DebertaConfig& c = config_;
  return {.labels = c,
          .model_type = "deberta-v2",
          .hidden_size = c.hidden_size,
          .embedding_size = embedding_size(c),
          .vocab_size = c.vocab_size,
          .max_positions = c.max_position_embeddings,
          .pad_token_id = c.pad_token_id,
          .table = "embeddings.word_embeddings",
          .tied = c.tie_word_embeddings,
          .activation = c.hidden_act,
          .eps = c.layer_norm_eps,
          .initializer_range = c.initializer_range,
          .dropout = c.hidden_dropout_prob,
          .classifier_dropout = c.classifier_dropout.value_or(c.hidden_dropout_prob)};
}

Tensor DebertaModel::embed(const TextInput& input) {
  const DebertaConfig& c = config_;
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first =
      embedded ? *input.inputs_embeds
               : given("DebertaV2Model", "input_ids or inputs_embeds", input.input_ids);
  // Distances have no limit, positions do.
  const int64_t limit =
      c.position_biased_input || first.dim() < 2 ? c.max_position_embeddings : first.size(1);
  const int64_t tokens = checked_length("DebertaV2Model", first, limit)[1];
  Tensor x = embedded ? first : call_at(*this, "embeddings.word_embeddings", first);
  if (c.position_biased_input)
    x = x + call_at(*this, "embeddings.position_embeddings",
                    positions_of(first, nullptr, input.position_ids));
  if (c.type_vocab_size > 0)
    x = x + call_at(*this, "embeddings.token_type_embeddings",
                    present(input.token_type_ids) ? *input.token_type_ids
                                                  : zeros({1, tokens}, DType::i64, first.device()));
  if (embedding_size(c) != c.hidden_size) x = call_at(*this, "embeddings.embed_proj", x);
  x = without_padding(call_at(*this, "embeddings.LayerNorm", x), input);
  return dropout(x, c.hidden_dropout_prob, is_training());
}

Tensor DebertaModel::distance_scores(nn::Module& projections, const Tensor& q, const Tensor& k,
                                     const Step& step) {
  const DebertaConfig& c = config_;
  const Tensor table = dropout(step.distances, c.hidden_dropout_prob, is_training());
  // Of x [B, T, heads, D] with every distance, those of each pair of tokens: [B, heads, T, T].
  const auto scores = [&](const Tensor& x, const char* own, const char* shared,
                          const Tensor& of_pairs) {
    const Tensor rows = call_at(projections, c.share_att_key ? shared : own, table);
    const Tensor every =
        matmul(transpose(x, 1, 2),
               permute(reshape(rows, {rows.size(0), x.size(2), x.size(3)}), {1, 2, 0}));
    const int64_t tokens = x.size(1);
    return gather(every, 3, expand(of_pairs, {x.size(0), x.size(2), tokens, tokens}));
  };
  Tensor sum;
  if (looks(c, "c2p")) sum = scores(q, "pos_key_proj", "key_proj", step.rows);
  if (looks(c, "p2c")) {
    const Tensor of_keys = scores(k, "pos_query_proj", "query_proj", t(step.rows));
    const Tensor back = transpose(of_keys, 2, 3);
    sum = sum.defined() ? sum + back : back;
  }
  return sum;
}

Tensor DebertaModel::attend(nn::Module& layer, const Tensor& x, const Step& step) {
  const DebertaConfig& c = config_;
  nn::Module& own = *layer.get_submodule("attention.self");
  const auto heads = [&](const char* name) {
    return split_heads(call_at(own, name, x), c.num_attention_heads);
  };
  const Tensor q = heads("query_proj"), k = heads("key_proj"), v = heads("value_proj");
  const int kinds = 1 + static_cast<int>(looks(c, "c2p")) + static_cast<int>(looks(c, "p2c"));
  Attention attention{step.mask, false, is_training() ? c.attention_probs_dropout_prob : 0.0};
  attention.scale = 1.0 / std::sqrt(static_cast<double>(q.size(3) * kinds));
  attention.place.weights = step.attentions;
  if (c.relative_attention && kinds > 1)
    attention.bias = distance_scores(own, q, k, step) * *attention.scale;
  Tensor joined = attention(q, k, v);
  // Padding takes the mean of all values, and nothing learns from how it came about.
  if (step.real) joined = where(*step.real, joined, mean(flatten(v, 2, 3), {1}, true));
  return call_at(layer, "attention.output.dense", joined);
}

Tensor DebertaModel::run_layer(nn::Module& layer, const Tensor& x, const Step& step) {
  const auto beside = [&](const char* norm, const Tensor& from, const Tensor& part) {
    return call_at(layer, norm, from + dropout(part, config_.hidden_dropout_prob, is_training()));
  };
  const Tensor y = beside("attention.output.LayerNorm", x, attend(layer, x, step));
  const Tensor inner = activate(config_.hidden_act, call_at(layer, "intermediate.dense", y));
  return beside("output.LayerNorm", y, call_at(layer, "output.dense", inner));
}

Tensor DebertaModel::convolve(const Tensor& before, const Tensor& x, const TextInput& input) {
  const Tensor seen = transpose(call_at(*this, "encoder.conv.conv", transpose(before, 1, 2)), 1, 2);
  const Tensor part =
      dropout(without_padding(seen, input), config_.hidden_dropout_prob, is_training());
  const Tensor sum = x + activate(config_.conv_act, part);
  return without_padding(call_at(*this, "encoder.conv.LayerNorm", sum), input);
}

Output DebertaModel::forward(const TextInput& input) {
  const DebertaConfig& c = config_;
  Output out;
  Tensor x = embed(input);
  Step step{attention_mask(input.attention_mask),
            {},
            {},
            {},
            input.output_attentions ? &out.attentions : nullptr};
  if (step.mask && input.attention_mask->dim() == 2) {
    step.real = unsqueeze(ne(*input.attention_mask, 0), 2);
    step.mask = logical_and(*step.mask, transpose(*step.mask, 2, 3));  // padding sees nothing
  }
  if (c.relative_attention) {
    step.distances = get_submodule("encoder.rel_embeddings")->parameter("weight");
    if (normalises_distances(c))
      step.distances = call_at(*this, "encoder.LayerNorm", step.distances);
    step.rows = distance_rows(c, x.size(1), x.device());
  }
  const nn::ModulePtr layers = get_submodule("encoder.layer");
  const Tensor embeddings = x;
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    nn::Module& layer = *layers->child(std::to_string(i));
    x = through_layer(x, [&](const Tensor& before) { return run_layer(layer, before, step); });
    if (i == 0 && c.conv_kernel_size > 0) x = convolve(embeddings, x, input);
  }
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

}  // namespace ds::hub
