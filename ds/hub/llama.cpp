// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/llama.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/experts.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// Where a layer normalises: in front of a branch or behind it.
struct NormNames {
  const char *before_attention, *behind_attention, *before_mlp, *behind_mlp;
};

enum class HeadNorm { none, each, all };  // of queries and keys: each head, or all in one

/// What tells one family from another.
struct LlamaFamily {
  const char *model_type, *class_prefix;
  const NormNames* norms;
  bool qkv_bias = false;  // where config.attention_bias does not say it
  bool out_bias = true;   // attention_bias is for what joins the heads too
  HeadNorm head_norm = HeadNorm::none;
  bool joined = false;        // query, key and value are one matrix, gate and up another
  bool offset_norms = false;  // norms multiply by 1 + weight
  bool scaled_table = false;  // embeddings of words are multiplied by sqrt(hidden_size)
  bool routed = false;        // layers of its own have experts, which nothing balances
  bool rebuilds = false;      // generation begins anew where longrope changes its factors
};

namespace {

constexpr NormNames kBefore{"input_layernorm", nullptr, "post_attention_layernorm", nullptr};
constexpr NormNames kBehind{nullptr, "post_attention_layernorm", nullptr,
                            "post_feedforward_layernorm"};
constexpr NormNames kAround{"input_layernorm", "post_attention_layernorm",
                            "pre_feedforward_layernorm", "post_feedforward_layernorm"};

constexpr LlamaFamily kFamilies[] = {
    {"llama", "Llama", &kBefore},
    {"mistral", "Mistral", &kBefore},
    {"mixtral", "Mixtral", &kBefore},
    {.model_type = "qwen2", .class_prefix = "Qwen2", .norms = &kBefore, .qkv_bias = true},
    {.model_type = "qwen2_moe", .class_prefix = "Qwen2Moe", .norms = &kBefore, .out_bias = false},
    {.model_type = "qwen3",
     .class_prefix = "Qwen3",
     .norms = &kBefore,
     .head_norm = HeadNorm::each},
    {.model_type = "qwen3_moe",
     .class_prefix = "Qwen3Moe",
     .norms = &kBefore,
     .head_norm = HeadNorm::each},
    {.model_type = "gemma",
     .class_prefix = "Gemma",
     .norms = &kBefore,
     .offset_norms = true,
     .scaled_table = true},
    {.model_type = "gemma2",
     .class_prefix = "Gemma2",
     .norms = &kAround,
     .offset_norms = true,
     .scaled_table = true},
    {.model_type = "gemma3_text",
     .class_prefix = "Gemma3Text",
     .norms = &kAround,
     .head_norm = HeadNorm::each,
     .offset_norms = true,
     .scaled_table = true},
    {.model_type = "phi3",
     .class_prefix = "Phi3",
     .norms = &kBefore,
     .joined = true,
     .rebuilds = true},
    {.model_type = "olmo2", .class_prefix = "Olmo2", .norms = &kBehind, .head_norm = HeadNorm::all},
    {.model_type = "olmoe", .class_prefix = "Olmoe", .norms = &kBefore, .head_norm = HeadNorm::all},
    {"granite", "Granite", &kBefore},
    {"smollm3", "SmolLM3", &kBefore},
    {.model_type = "deepseek_v2", .class_prefix = "DeepseekV2", .norms = &kBefore, .routed = true},
    {.model_type = "deepseek_v3", .class_prefix = "DeepseekV3", .norms = &kBefore, .routed = true}};

const LlamaFamily& family_of(const LlamaConfig& config) {
  std::string known;
  for (const LlamaFamily& family : kFamilies) {
    if (config.model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw ValueError(
      str("config: the decoder '", config.model_type, "' is unknown; there are ", known));
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
  const auto layers = [&](const char* key, const auto& given) {
    DS_CHECK(!given || static_cast<int64_t>(given->size()) == c.num_hidden_layers, ValueError,
             "config: ", key, " has ", given->size(), " entries for ", c.num_hidden_layers,
             " layers");
  };
  layers("layer_types", c.layer_types);
  layers("no_rope_layers", c.no_rope_layers);
  if (c.layer_types)
    for (const std::string& type : *c.layer_types)
      DS_CHECK(type == "full_attention" || type == "sliding_attention", ValueError,
               "config: the layer type '", type,
               "' is unknown; use full_attention or sliding_attention");
  DS_CHECK(c.num_experts == 0 || c.decoder_sparse_step > 0, ValueError,
           "config: decoder_sparse_step ", c.decoder_sparse_step, " must be positive");
  activate(c.hidden_act, zeros({1}));
}

bool slides(const LlamaConfig& c, int64_t layer) {
  if (c.layer_types) return c.layer_types->at(static_cast<size_t>(layer)) == "sliding_attention";
  return layer >= c.max_window_layers;
}

bool has_experts(const LlamaConfig& c, int64_t layer) {
  if (c.num_experts == 0 || (layer + 1) % c.decoder_sparse_step != 0) return false;
  return !c.mlp_only_layers || std::ranges::count(*c.mlp_only_layers, layer) == 0;
}

/// A norm that multiplies by 1 + weight, in f32.
class OffsetNorm : public nn::Module {
 public:
  OffsetNorm(int64_t size, double eps) : eps_(eps) {
    register_parameter("weight", clone(zeros({size})));
  }
  std::string type_name() const override { return "OffsetNorm"; }
  Tensor forward(const Tensor& x) override {
    const Tensor weight = to_dtype(parameter("weight"), DType::f32) + 1;
    return to_dtype(rms_norm(to_dtype(x, DType::f32), weight.shape(), weight, eps_), x.dtype());
  }

 private:
  double eps_;
};

void add_norm(nn::Module& root, const char* name, int64_t size, double eps, bool offset) {
  if (offset)
    add_at(root, name, std::make_shared<OffsetNorm>(size, eps));
  else
    add_at(root, name, std::make_shared<nn::RMSNorm>(Shape{size}, eps));
}

}  // namespace

LlamaLayer::LlamaLayer(const LlamaConfig& config, int64_t layer)
    : config_(config), layer_(layer), family_(family_of(config)) {
  const LlamaConfig& c = config_;
  const int64_t h = c.hidden_size, dim = head_dim(c);
  const int64_t queries = c.num_attention_heads * dim, keys = kv_heads(c) * dim;
  const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias) {
    add_at(*this, name, std::make_shared<nn::Linear>(in, out, bias));
  };
  const auto norm = [&](const char* name, int64_t size) {
    if (name) add_norm(*this, name, size, c.rms_norm_eps, family_.offset_norms);
  };
  const bool bias = c.attention_bias || family_.qkv_bias;
  if (family_.joined) {
    dense("self_attn.qkv_proj", h, queries + 2 * keys, bias);
  } else {
    dense("self_attn.q_proj", h, queries, bias);
    dense("self_attn.k_proj", h, keys, bias);
    dense("self_attn.v_proj", h, keys, bias);
  }
  dense("self_attn.o_proj", queries, h, c.attention_bias && family_.out_bias);
  if (family_.head_norm != HeadNorm::none) {
    const bool each = family_.head_norm == HeadNorm::each;
    norm("self_attn.q_norm", each ? dim : queries);
    norm("self_attn.k_norm", each ? dim : keys);
  }
  if (has_experts(c, layer)) {
    add<MixtureOfExperts>("mlp", c);
  } else if (family_.joined) {
    dense("mlp.gate_up_proj", h, 2 * c.intermediate_size, c.mlp_bias);
    dense("mlp.down_proj", c.intermediate_size, h, c.mlp_bias);
  } else {
    register_module("mlp", gated_network(h, c.intermediate_size, c.mlp_bias));
  }
  const NormNames& norms = *family_.norms;
  for (const char* name :
       {norms.before_attention, norms.behind_attention, norms.before_mlp, norms.behind_mlp})
    norm(name, h);
}

std::string LlamaLayer::type_name() const {
  return std::string(family_.class_prefix) + "DecoderLayer";
}

Tensor LlamaLayer::attend(const Tensor& x, const Rotation& rotation,
                          const std::optional<Tensor>& mask, AttentionPlace place) {
  const LlamaConfig& c = config_;
  const int64_t dim = head_dim(c), queries = c.num_attention_heads * dim, keys = kv_heads(c) * dim;
  std::vector<Tensor> parts;
  if (family_.joined) {
    const Tensor all = call_at(*this, "self_attn.qkv_proj", x);
    parts = {narrow(all, -1, 0, queries), narrow(all, -1, queries, keys),
             narrow(all, -1, queries + keys, keys)};
  } else {
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"})
      parts.push_back(call_at(*this, name, x));
  }
  const auto norm_heads = [&](HeadNorm kind) {
    if (family_.head_norm != kind) return;
    parts[0] = call_at(*this, "self_attn.q_norm", parts[0]);
    parts[1] = call_at(*this, "self_attn.k_norm", parts[1]);
  };
  norm_heads(HeadNorm::all);
  for (Tensor& part : parts) {
    if (c.clip_qkv) part = clamp(part, -*c.clip_qkv, *c.clip_qkv);
    part = split_heads(part, part.size(-1) / dim);
  }
  norm_heads(HeadNorm::each);
  if (!c.no_rope_layers || c.no_rope_layers->at(static_cast<size_t>(layer_)) != 0)
    for (Tensor* part : {&parts[0], &parts[1]}) *part = rotation(*part);
  Attention attention{mask, true, is_training() ? c.attention_dropout : 0.0};
  attention.scale = c.attention_multiplier;
  attention.place = place;
  attention.cap = c.attn_logit_softcapping;
  if (slides(c, layer_)) attention.window = c.sliding_window;
  return call_at(*this, "self_attn.o_proj", attention(parts[0], parts[1], parts[2]));
}

Tensor LlamaLayer::feed_forward(const Tensor& x, AttentionPlace place) {
  if (has_experts(config_, layer_))
    return child_as<MixtureOfExperts>("mlp").forward(x, place.routers);
  if (!family_.joined) return run_gated(*child("mlp"), config_.hidden_act, x);
  const std::vector<Tensor> both = chunk(call_at(*this, "mlp.gate_up_proj", x), 2, -1);
  return call_at(*this, "mlp.down_proj", activate(config_.hidden_act, both[0]) * both[1]);
}

Tensor LlamaLayer::added(const Tensor& x, const Tensor& y) const {
  const Tensor kept = dropout(y, config_.resid_pdrop, is_training());
  return x + (config_.residual_multiplier == 1 ? kept : kept * config_.residual_multiplier);
}

Tensor LlamaLayer::forward(const Tensor& x, const Rotation& rotation,
                           const std::optional<Tensor>& mask, AttentionPlace place) {
  const auto normed = [&](const char* name, const Tensor& in) {
    return name ? call_at(*this, name, in) : in;
  };
  const NormNames& norms = *family_.norms;
  const Tensor seen = attend(normed(norms.before_attention, x), rotation, mask, place);
  const Tensor y = added(x, normed(norms.behind_attention, seen));
  return added(y, normed(norms.behind_mlp, feed_forward(normed(norms.before_mlp, y), place)));
}

LlamaModel::LlamaModel(const LlamaConfig& config)
    : LlamaModel(config, [&](int64_t i) { return std::make_shared<LlamaLayer>(config, i); }) {}

LlamaModel::LlamaModel(const LlamaConfig& config, const LayerMaker& make)
    : config_(config), family_(family_of(config)) {
  check(config);
  add<nn::Embedding>("embed_tokens", config.vocab_size, config.hidden_size, config.pad_token_id);
  const auto layers = add<nn::ModuleList>("layers");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers->append(make(i));
  add_norm(*this, "norm", config.hidden_size, config.rms_norm_eps, family_.offset_norms);
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
  if (family_.scaled_table && !embedded)  // rounded as the table is
    x = x * full({}, std::sqrt(static_cast<double>(config_.hidden_size)), x.dtype(), x.device());
  if (config_.embedding_multiplier != 1) x = x * config_.embedding_multiplier;
  const RopeLength length{input.cache ? input.cache->longest() : first.size(1),
                          config_.max_position_embeddings};
  const auto rotation_of = [&](const RopeConfig& rope) {
    const auto turned =
        static_cast<int64_t>(static_cast<double>(head_dim(config_)) * rope.partial_rotary_factor);
    return Rotation(rope, turned, at, x.dtype(), length);
  };
  const Rotation rotation = rotation_of(config_.rope);
  std::optional<Rotation> sliding;
  if (config_.sliding_rope) sliding = rotation_of(*config_.sliding_rope);
  const std::optional<Tensor> mask = attention_mask(input.attention_mask);
  Output out;
  if (config_.num_experts > 0 || family_.routed) out.router_logits.emplace();
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    auto& layer = child("layers")->child_as<DecoderLayer>(std::to_string(i));
    x = through_layer(x, [&](const Tensor& before) {
      return layer.forward(
          before, sliding && slides(config_, i) ? *sliding : rotation, mask,
          {input.cache, static_cast<size_t>(i), input.output_attentions ? &out.attentions : nullptr,
           input.output_router_logits && out.router_logits ? &*out.router_logits : nullptr});
    });
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
          .logits_scaling = c.logits_scaling,
          .logits_cap = c.final_logit_softcapping,
          .initializer_range = c.initializer_range,
          .classifier_dropout = c.classifier_dropout.value_or(0.1),
          .balanced_experts = c.num_experts > 0 ? c.num_experts_per_tok.value_or(0) : 0,
          .balance_weight = c.router_aux_loss_coef,
          .short_positions = family_.rebuilds && c.rope.type == "longrope"
                                 ? std::optional(c.rope.original_max_position_embeddings)
                                 : std::nullopt};
}

}  // namespace ds::hub
