// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/encoder.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/hub/distance_bucket.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// What tells one family from another: names, and a few habits.
struct EncoderFamily {
  const char* model_type;
  const char* class_prefix;
  const char* layers;
  BlockNames block;
  const char* pooler;   // a dense layer on the first token, where there is one
  const char* mapping;  // from the embeddings' size to the layers'
  bool token_types, positions_after_padding, mlp_dropout;
  bool grouped = false;             // layers of a group share their parameters
  const char* distances = nullptr;  // a table of what distances add to scores
};

namespace {

constexpr BlockNames kBertBlock{.query = "attention.self.query",
                                .key = "attention.self.key",
                                .value = "attention.self.value",
                                .out = "attention.output.dense",
                                .attention_norm = "attention.output.LayerNorm",
                                .up = "intermediate.dense",
                                .down = "output.dense",
                                .mlp_norm = "output.LayerNorm"};
constexpr BlockNames kDistilBlock{.query = "attention.q_lin",
                                  .key = "attention.k_lin",
                                  .value = "attention.v_lin",
                                  .out = "attention.out_lin",
                                  .attention_norm = "sa_layer_norm",
                                  .up = "ffn.lin1",
                                  .down = "ffn.lin2",
                                  .mlp_norm = "output_layer_norm"};

constexpr BlockNames kAlbertBlock{.query = "attention.query",
                                  .key = "attention.key",
                                  .value = "attention.value",
                                  .out = "attention.dense",
                                  .attention_norm = "attention.LayerNorm",
                                  .up = "ffn",
                                  .down = "ffn_output",
                                  .mlp_norm = "full_layer_layer_norm"};

constexpr BlockNames kMPNetBlock{.query = "attention.attn.q",
                                 .key = "attention.attn.k",
                                 .value = "attention.attn.v",
                                 .out = "attention.attn.o",
                                 .attention_norm = "attention.LayerNorm",
                                 .up = "intermediate.dense",
                                 .down = "output.dense",
                                 .mlp_norm = "output.LayerNorm"};

/// RoBERTa and its kin.
constexpr EncoderFamily roberta(const char* model_type, const char* class_prefix) {
  return {model_type, class_prefix, "encoder.layer", kBertBlock, "pooler.dense", nullptr, true,
          true,       true};
}

constexpr EncoderFamily kFamilies[] = {
    {"bert", "Bert", "encoder.layer", kBertBlock, "pooler.dense", nullptr, true, false, true},
    roberta("roberta", "Roberta"),
    roberta("xlm-roberta", "XLMRoberta"),
    roberta("camembert", "Camembert"),
    {"mpnet", "MPNet", "encoder.layer", kMPNetBlock, "pooler.dense", nullptr, false, true, true,
     false, "encoder.relative_attention_bias"},
    {"electra", "Electra", "encoder.layer", kBertBlock, nullptr, "embeddings_project", true, false,
     true},
    {"distilbert", "DistilBert", "transformer.layer", kDistilBlock, nullptr, nullptr, false, false,
     true},
    {"albert", "Albert", "encoder.albert_layer_groups", kAlbertBlock, "pooler",
     "encoder.embedding_hidden_mapping_in", true, false, false, true},
};

const EncoderFamily& family_of(const EncoderConfig& config) {
  std::string known;
  for (const EncoderFamily& family : kFamilies) {
    if (config.model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw ValueError(
      str("config: the encoder '", config.model_type, "' is unknown; there are ", known));
}

int64_t embedding_size(const EncoderConfig& c) { return c.embedding_size.value_or(c.hidden_size); }

/// Embeddings are mapped to the layers' size.
bool is_mapped(const EncoderConfig& c, const EncoderFamily& family) {
  return family.mapping && (family.grouped || embedding_size(c) != c.hidden_size);
}

/// What distances add to the scores of T tokens: [1, heads, T, T] of a table [buckets, heads].
Tensor distance_bias(const Tensor& table, int64_t tokens) {
  constexpr int64_t kFarthest = 128;
  std::vector<int64_t> of_distance, buckets;
  for (int64_t d = 1 - tokens; d < tokens; ++d)
    of_distance.push_back(distance_bucket(d, true, table.size(0), kFarthest));
  for (int64_t i = 0; i < tokens; ++i)
    buckets.insert(buckets.end(), of_distance.begin() + (tokens - 1 - i),
                   of_distance.begin() + (2 * tokens - 1 - i));
  const Tensor index =
      Tensor::from_host(buckets.data(), {DType::i64, {tokens, tokens}}, table.device());
  return unsqueeze(permute(embedding(index, table), {2, 0, 1}), 0);
}

void check(const EncoderConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.num_hidden_layers >= 0 &&
               c.embedding_size.value_or(1) > 0 && c.max_position_embeddings > 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", hidden_size ", c.hidden_size,
           ", embedding_size ", embedding_size(c), " and max_position_embeddings ",
           c.max_position_embeddings, " must be positive, num_hidden_layers ", c.num_hidden_layers,
           " not negative");
  DS_CHECK(c.num_hidden_groups > 0 && c.inner_group_num > 0 &&
               c.num_hidden_groups <= std::max<int64_t>(c.num_hidden_layers, 1),
           ValueError, "config: num_hidden_groups ", c.num_hidden_groups,
           " must be between 1 and num_hidden_layers ", c.num_hidden_layers, ", inner_group_num ",
           c.inner_group_num, " positive");
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
}

void add_embeddings(nn::Module& root, const EncoderConfig& c, const EncoderFamily& family) {
  const auto table = [&](const char* name, int64_t rows, std::optional<int64_t> padding = {}) {
    add_at(root, std::string("embeddings.") + name,
           std::make_shared<nn::Embedding>(rows, embedding_size(c), padding));
  };
  table("word_embeddings", c.vocab_size, c.pad_token_id);
  const bool padded = family.positions_after_padding;
  table("position_embeddings", c.max_position_embeddings, padded ? c.pad_token_id : std::nullopt);
  if (family.token_types) table("token_type_embeddings", c.type_vocab_size);
  add_at(root, "embeddings.LayerNorm",
         std::make_shared<nn::LayerNorm>(Shape{embedding_size(c)}, c.layer_norm_eps));
}

BlockOptions block_options(const EncoderConfig& c, bool mlp_dropout) {
  return {.hidden_size = c.hidden_size,
          .heads = c.num_attention_heads,
          .intermediate_size = c.intermediate_size,
          .activation = c.hidden_act,
          .dropout = c.hidden_dropout_prob,
          .attention_dropout = c.attention_probs_dropout_prob,
          .eps = c.layer_norm_eps,
          .causal = c.is_decoder,
          .mlp_dropout = mlp_dropout};
}

}  // namespace

EncoderModel::EncoderModel(const EncoderConfig& config, bool pooling)
    : config_(config), family_(family_of(config)) {
  check(config);
  add_embeddings(*this, config, family_);
  const BlockOptions options = block_options(config, family_.mlp_dropout);
  const auto block = [&] { return std::make_shared<TransformerBlock>(family_.block, options); };
  const auto layers = std::make_shared<nn::ModuleList>();
  if (is_mapped(config, family_))
    add_at(*this, family_.mapping,
           std::make_shared<nn::Linear>(embedding_size(config), config.hidden_size));
  if (family_.grouped) {
    for (int64_t i = 0; i < config.num_hidden_groups; ++i) {
      const auto group = std::make_shared<Group>();
      const auto inner = group->add<nn::ModuleList>("albert_layers");
      for (int64_t j = 0; j < config.inner_group_num; ++j) inner->append(block());
      layers->append(group);
    }
  } else {
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers->append(block());
  }
  add_at(*this, family_.layers, layers);
  if (family_.distances) {
    DS_CHECK(config.relative_attention_num_buckets >= 4, ValueError,
             "config: relative_attention_num_buckets ", config.relative_attention_num_buckets,
             " must be at least 4");
    add_at(*this, family_.distances,
           std::make_shared<nn::Embedding>(config.relative_attention_num_buckets,
                                           config.num_attention_heads));
  }
  if (pooling && family_.pooler)
    add_at(*this, family_.pooler,
           std::make_shared<nn::Linear>(config.hidden_size, config.hidden_size));
  init_weights(*this, config.initializer_range);
}

std::string EncoderModel::type_name() const { return std::string(family_.class_prefix) + "Model"; }

HeadSetting EncoderModel::head_setting() const {
  const EncoderConfig& c = config_;
  return {.labels = c,
          .model_type = c.model_type,
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

std::vector<TransformerBlock*> EncoderModel::path() {
  std::vector<TransformerBlock*> all;
  const nn::ModulePtr layers = get_submodule(family_.layers);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (!family_.grouped) {
      all.push_back(&layers->child_as<TransformerBlock>(std::to_string(i)));
      continue;
    }
    const int64_t group = i * config_.num_hidden_groups / config_.num_hidden_layers;
    const nn::ModulePtr inner = layers->child(std::to_string(group))->child("albert_layers");
    for (int64_t j = 0; j < config_.inner_group_num; ++j)
      all.push_back(&inner->child_as<TransformerBlock>(std::to_string(j)));
  }
  return all;
}

Tensor EncoderModel::positions(const TextInput& input, const Tensor& like) const {
  const int64_t pad = config_.pad_token_id.value_or(0);
  const bool shifted = family_.positions_after_padding && !present(input.position_ids);
  if (!shifted) return positions_of(like, input.cache, input.position_ids);
  if (input.cache || !present(input.input_ids))
    return positions_of(like, input.cache, {}) + (pad + 1);
  const Tensor real = to_dtype(ne(*input.input_ids, pad), DType::i64);
  return cumsum(real, 1) * real + pad;
}

Tensor EncoderModel::embed(const TextInput& input) {
  const std::string name = type_name();
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first = embedded
                            ? *input.inputs_embeds
                            : given(name.c_str(), "input_ids or inputs_embeds", input.input_ids);
  // RoBERTa's positions start behind that of padding.
  const int64_t skipped =
      family_.positions_after_padding ? config_.pad_token_id.value_or(0) + 1 : 0;
  // Padding in front of a cached prompt takes no positions.
  const Shape shape = checked_length(
      name.c_str(), first, input.cache ? first.size(1) : config_.max_position_embeddings - skipped);
  Tensor x = embedded ? first : call_at(*this, "embeddings.word_embeddings", first);
  if (family_.token_types) {
    const Tensor types = present(input.token_type_ids)
                             ? *input.token_type_ids
                             : zeros({1, shape[1]}, DType::i64, first.device());
    x = x + call_at(*this, "embeddings.token_type_embeddings", types);
  }
  x = x + call_at(*this, "embeddings.position_embeddings", positions(input, first));
  x = call_at(*this, "embeddings.LayerNorm", x);
  x = dropout(x, config_.hidden_dropout_prob, is_training());
  return is_mapped(config_, family_) ? call_at(*this, family_.mapping, x) : x;
}

Output EncoderModel::forward(const TextInput& input) {
  DS_CHECK(!input.cache || config_.is_decoder, ValueError, type_name(),
           ": text is generated by a model whose config has is_decoder=True");
  Output out;
  Tensor x = embed(input);
  std::optional<Tensor> mask = attention_mask(input.attention_mask);
  if (family_.distances) {
    const Tensor bias =
        distance_bias(get_submodule(family_.distances)->parameter("weight"), x.size(1));
    mask = mask ? where(*mask, bias, -1e9) : bias;
  }
  size_t layer = 0;
  for (TransformerBlock* block : path()) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    x = through_layer(x, [&](const Tensor& before) {
      return block->forward(
          before, mask,
          {input.cache, layer++, input.output_attentions ? &out.attentions : nullptr});
    });
  }
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  Tensor pooled;
  if (has_child("pooler")) pooled = tanh(call_at(*this, family_.pooler, select(x, 1, 0)));
  if (family_.pooler) out.values.emplace_back("pooler_output", pooled);
  return out;
}

}  // namespace ds::hub
