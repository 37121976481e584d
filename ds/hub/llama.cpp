// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/llama.h"

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// What tells one family from another.
struct LlamaFamily {
  const char* model_type;
  const char* class_prefix;
  bool qkv_bias, out_bias;  // where config.attention_bias does not say it
  bool head_norm;           // of queries and keys
};

namespace {

constexpr LlamaFamily kFamilies[] = {{"llama", "Llama", false, false, false},
                                     {"qwen2", "Qwen2", true, false, false},
                                     {"qwen3", "Qwen3", false, false, true},
                                     {"mistral", "Mistral", false, false, false},
                                     {"deepseek_v2", "DeepseekV2", false, false, false},
                                     {"deepseek_v3", "DeepseekV3", false, false, false}};

const LlamaFamily& family_of(const LlamaConfig& config) {
  for (const LlamaFamily& family : kFamilies)
    if (config.model_type == family.model_type) return family;
  DS_CHECK(false, ValueError, "config: the decoder '", config.model_type,
           "' is unknown; use llama, qwen2, qwen3, mistral, deepseek_v2 or deepseek_v3");
}

int64_t head_dim(const LlamaConfig& c) {
  return c.head_dim.value_or(c.hidden_size / c.num_attention_heads);
}

int64_t kv_heads(const LlamaConfig& c) {
  return c.num_key_value_heads.value_or(c.num_attention_heads);
}

void check(const LlamaConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.intermediate_size > 0 &&
               c.num_attention_heads > 0 && c.max_position_embeddings > 0 &&
               c.num_hidden_layers >= 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", hidden_size ", c.hidden_size,
           ", intermediate_size ", c.intermediate_size, ", num_attention_heads ",
           c.num_attention_heads, " and max_position_embeddings ", c.max_position_embeddings,
           " must be positive, num_hidden_layers ", c.num_hidden_layers, " not negative");
  DS_CHECK(kv_heads(c) > 0 && c.num_attention_heads % kv_heads(c) == 0, ValueError,
           "config: ", kv_heads(c), " key and value heads do not divide ", c.num_attention_heads,
           " attention heads");
  DS_CHECK(head_dim(c) > 0, ValueError, "config: head_dim ", head_dim(c), " must be positive");
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
  activate(c.hidden_act, zeros({1}));
}

}  // namespace

LlamaLayer::LlamaLayer(const LlamaConfig& config, int64_t layer)
    : config_(config), layer_(layer), family_(family_of(config)) {
  const LlamaConfig& c = config_;
  const int64_t h = c.hidden_size, dim = head_dim(c);
  const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias) {
    add_at(*this, name, std::make_shared<nn::Linear>(in, out, bias));
  };
  const auto norm = [&](const char* name, int64_t size) {
    add_at(*this, name, std::make_shared<nn::RMSNorm>(Shape{size}, c.rms_norm_eps));
  };
  const bool bias = c.attention_bias || family_.qkv_bias;
  dense("self_attn.q_proj", h, c.num_attention_heads * dim, bias);
  dense("self_attn.k_proj", h, kv_heads(c) * dim, bias);
  dense("self_attn.v_proj", h, kv_heads(c) * dim, bias);
  dense("self_attn.o_proj", c.num_attention_heads * dim, h, c.attention_bias || family_.out_bias);
  if (family_.head_norm) {
    norm("self_attn.q_norm", dim);
    norm("self_attn.k_norm", dim);
  }
  dense("mlp.gate_proj", h, c.intermediate_size, c.mlp_bias);
  dense("mlp.up_proj", h, c.intermediate_size, c.mlp_bias);
  dense("mlp.down_proj", c.intermediate_size, h, c.mlp_bias);
  norm("input_layernorm", h);
  norm("post_attention_layernorm", h);
}

std::string LlamaLayer::type_name() const {
  return std::string(family_.class_prefix) + "DecoderLayer";
}

Tensor LlamaLayer::attend(const Tensor& x, const Rotation& rotation,
                          const std::optional<Tensor>& mask, AttentionPlace place) {
  const auto heads = [&](const char* name, int64_t count) {
    return split_heads(call_at(*this, name, x), count);
  };
  Tensor q = heads("self_attn.q_proj", config_.num_attention_heads);
  Tensor k = heads("self_attn.k_proj", kv_heads(config_));
  const Tensor v = heads("self_attn.v_proj", kv_heads(config_));
  if (family_.head_norm) {
    q = call_at(*this, "self_attn.q_norm", q);
    k = call_at(*this, "self_attn.k_norm", k);
  }
  Attention attention{mask, true, is_training() ? config_.attention_dropout : 0.0};
  attention.place = place;
  if (layer_ >= config_.max_window_layers) attention.window = config_.sliding_window;
  return call_at(*this, "self_attn.o_proj", attention(rotation(q), rotation(k), v));
}

Tensor LlamaLayer::forward(const Tensor& x, const Rotation& rotation,
                           const std::optional<Tensor>& mask, AttentionPlace place) {
  const Tensor y = x + attend(call_at(*this, "input_layernorm", x), rotation, mask, place);
  const Tensor z = call_at(*this, "post_attention_layernorm", y);
  const Tensor gate = activate(config_.hidden_act, call_at(*this, "mlp.gate_proj", z));
  return y + call_at(*this, "mlp.down_proj", gate * call_at(*this, "mlp.up_proj", z));
}

LlamaModel::LlamaModel(const LlamaConfig& config)
    : LlamaModel(config, [&](int64_t i) { return std::make_shared<LlamaLayer>(config, i); }) {}

LlamaModel::LlamaModel(const LlamaConfig& config, const LayerMaker& make)
    : config_(config), family_(family_of(config)) {
  check(config);
  add<nn::Embedding>("embed_tokens", config.vocab_size, config.hidden_size, config.pad_token_id);
  const auto layers = add<nn::ModuleList>("layers");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers->append(make(i));
  add<nn::RMSNorm>("norm", Shape{config.hidden_size}, config.rms_norm_eps);
  init_weights(*this, config.initializer_range);
}

std::string LlamaModel::type_name() const { return std::string(family_.class_prefix) + "Model"; }

Output LlamaModel::forward(const TextInput& input) {
  const std::string name = type_name();
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first = embedded
                            ? *input.inputs_embeds
                            : given(name.c_str(), "input_ids or inputs_embeds", input.input_ids);
  const bool grows = config_.rope.type == "dynamic";
  // Padding in front of a cached prompt takes no positions.
  checked_length(name.c_str(), first,
                 input.cache || grows ? first.size(1) : config_.max_position_embeddings);
  const Tensor at = positions_of(first, input.cache, input.position_ids);
  Tensor x = embedded ? first : call_at(*this, "embed_tokens", first);
  const RopeLength length{input.cache ? input.cache->longest() : first.size(1),
                          config_.max_position_embeddings};
  const Rotation rotation(config_.rope, head_dim(config_), at, x.dtype(), length);
  const std::optional<Tensor> mask = attention_mask(input.attention_mask);
  Output out;
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    x = child("layers")
            ->child_as<DecoderLayer>(std::to_string(i))
            .forward(x, rotation, mask,
                     {input.cache, static_cast<size_t>(i),
                      input.output_attentions ? &out.attentions : nullptr});
  }
  x = call_at(*this, "norm", x);
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

HeadSetting LlamaModel::head_setting() const {
  const LlamaConfig& c = config_;
  return {.labels = c,
          .model_type = c.model_type,
          .hidden_size = c.hidden_size,
          .embedding_size = c.hidden_size,
          .vocab_size = c.vocab_size,
          .max_positions = c.rope.type == "dynamic"
                               ? std::nullopt
                               : std::optional<int64_t>(c.max_position_embeddings),
          .pad_token_id = c.pad_token_id,
          .table = "embed_tokens",
          .tied = c.tie_word_embeddings,
          .initializer_range = c.initializer_range,
          .classifier_dropout = c.classifier_dropout.value_or(0.1)};
}

}  // namespace ds::hub
