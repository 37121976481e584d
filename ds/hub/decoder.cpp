// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/decoder.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/hub/layer_drop.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// Where positions enter.
enum class Position {
  halves,      // element i of a head is turned with element i + dim / 2
  neighbours,  // element 2 i with 2 i + 1
  table,       // learned, added to embeddings
  slopes,      // scores fall with distance (Press et al., "ALiBi", 2021)
};

/// What tells one family from another; names are below the model or below a layer.
struct DecoderFamily {
  const char *model_type = nullptr, *class_prefix = nullptr;
  Position position = Position::halves;
  const char *words = nullptr, *layers = nullptr, *last_norm = nullptr;
  const char *attention_norm = nullptr, *mlp_norm = nullptr;  // both parts share it without another
  const char *query = nullptr, *key = nullptr, *value = nullptr;
  const char* qkv = nullptr;  // one projection instead, by heads of keys
  const char* out = nullptr;
  const char *gate = nullptr, *up = nullptr, *down = nullptr;  // gate: of networks that have one
  const char* places = nullptr;                                // the table of positions
  int64_t skipped = 0;                                         // its rows before position 0
  const char* first_norm = nullptr;                            // of embeddings
  bool one_norm = false;        // parallel parts share the first norm
  bool scaled = true;           // scores are divided by sqrt(head size)
  bool drops_attention = true;  // dropout behind attention too
  bool pads = false;            // the row of padding learns nothing
  const char *query_norm = nullptr, *key_norm = nullptr;
  const char *attention_norm_of_two = nullptr, *mlp_norm_of_two = nullptr;
};

namespace {

/// Llama's names.
constexpr DecoderFamily of_llama(const char* model_type, const char* class_prefix) {
  return {.model_type = model_type,
          .class_prefix = class_prefix,
          .words = "embed_tokens",
          .layers = "layers",
          .last_norm = "norm",
          .attention_norm = "input_layernorm",
          .mlp_norm = "post_attention_layernorm",
          .query = "self_attn.q_proj",
          .key = "self_attn.k_proj",
          .value = "self_attn.v_proj",
          .out = "self_attn.o_proj",
          .gate = "mlp.gate_proj",
          .up = "mlp.up_proj",
          .down = "mlp.down_proj",
          .pads = true};
}

constexpr DecoderFamily phi() {
  DecoderFamily family = of_llama("phi", "Phi");
  family.last_norm = "final_layernorm";
  family.mlp_norm = nullptr;
  family.out = "self_attn.dense";
  family.gate = nullptr;
  family.up = "mlp.fc1";
  family.down = "mlp.fc2";
  family.query_norm = "self_attn.q_layernorm";
  family.key_norm = "self_attn.k_layernorm";
  return family;
}

constexpr DecoderFamily stablelm() {
  DecoderFamily family = of_llama("stablelm", "StableLm");
  family.one_norm = true;
  family.drops_attention = false;
  return family;
}

constexpr DecoderFamily starcoder2() {
  DecoderFamily family = of_llama("starcoder2", "Starcoder2");
  family.gate = nullptr;
  family.up = "mlp.c_fc";
  family.down = "mlp.c_proj";
  return family;
}

constexpr DecoderFamily kFamilies[] = {
    {.model_type = "gpt_neox",
     .class_prefix = "GPTNeoX",
     .position = Position::halves,
     .words = "embed_in",
     .layers = "layers",
     .last_norm = "final_layer_norm",
     .attention_norm = "input_layernorm",
     .mlp_norm = "post_attention_layernorm",
     .qkv = "attention.query_key_value",
     .out = "attention.dense",
     .up = "mlp.dense_h_to_4h",
     .down = "mlp.dense_4h_to_h"},
    {.model_type = "gptj",
     .class_prefix = "GPTJ",
     .position = Position::neighbours,
     .words = "wte",
     .layers = "h",
     .last_norm = "ln_f",
     .attention_norm = "ln_1",
     .query = "attn.q_proj",
     .key = "attn.k_proj",
     .value = "attn.v_proj",
     .out = "attn.out_proj",
     .up = "mlp.fc_in",
     .down = "mlp.fc_out"},
    {.model_type = "gpt_neo",
     .class_prefix = "GPTNeo",
     .position = Position::table,
     .words = "wte",
     .layers = "h",
     .last_norm = "ln_f",
     .attention_norm = "ln_1",
     .mlp_norm = "ln_2",
     .query = "attn.attention.q_proj",
     .key = "attn.attention.k_proj",
     .value = "attn.attention.v_proj",
     .out = "attn.attention.out_proj",
     .up = "mlp.c_fc",
     .down = "mlp.c_proj",
     .places = "wpe",
     .scaled = false},
    {.model_type = "opt",
     .class_prefix = "OPT",
     .position = Position::table,
     .words = "decoder.embed_tokens",
     .layers = "decoder.layers",
     .last_norm = "decoder.final_layer_norm",
     .attention_norm = "self_attn_layer_norm",
     .mlp_norm = "final_layer_norm",
     .query = "self_attn.q_proj",
     .key = "self_attn.k_proj",
     .value = "self_attn.v_proj",
     .out = "self_attn.out_proj",
     .up = "fc1",
     .down = "fc2",
     .places = "decoder.embed_positions",
     .skipped = 2,
     .pads = true},
    {.model_type = "bloom",
     .class_prefix = "Bloom",
     .position = Position::slopes,
     .words = "word_embeddings",
     .layers = "h",
     .last_norm = "ln_f",
     .attention_norm = "input_layernorm",
     .mlp_norm = "post_attention_layernorm",
     .qkv = "self_attention.query_key_value",
     .out = "self_attention.dense",
     .up = "mlp.dense_h_to_4h",
     .down = "mlp.dense_4h_to_h",
     .first_norm = "word_embeddings_layernorm"},
    {.model_type = "falcon",
     .class_prefix = "Falcon",
     .position = Position::halves,
     .words = "word_embeddings",
     .layers = "h",
     .last_norm = "ln_f",
     .attention_norm = "input_layernorm",
     .mlp_norm = "post_attention_layernorm",
     .qkv = "self_attention.query_key_value",
     .out = "self_attention.dense",
     .up = "mlp.dense_h_to_4h",
     .down = "mlp.dense_4h_to_h",
     .one_norm = true,
     .attention_norm_of_two = "ln_attn",
     .mlp_norm_of_two = "ln_mlp"},
    phi(),
    stablelm(),
    starcoder2(),
    of_llama("olmo", "Olmo"),
};

const DecoderFamily& family_of(const DecoderConfig& config) {
  std::string known;
  for (const DecoderFamily& family : kFamilies) {
    if (config.model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw ValueError(
      str("config: the decoder '", config.model_type, "' is unknown; there are ", known));
}

int64_t head_dim(const DecoderConfig& c) { return c.hidden_size / c.num_attention_heads; }

int64_t kv_heads(const DecoderConfig& c) {
  return c.num_key_value_heads.value_or(c.num_attention_heads);
}

int64_t embedding_size(const DecoderConfig& c) { return c.embedding_size.value_or(c.hidden_size); }

const char* attention_norm(const DecoderConfig& c, const DecoderFamily& family) {
  return c.two_norms ? family.attention_norm_of_two : family.attention_norm;
}

/// The network's own norm, null where it has none.
const char* mlp_norm(const DecoderConfig& c, const DecoderFamily& family) {
  if (c.two_norms) return family.mlp_norm_of_two;
  return family.one_norm && c.use_parallel_residual ? nullptr : family.mlp_norm;
}

void check(const DecoderConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.num_hidden_layers >= 0 &&
               embedding_size(c) > 0 && c.max_position_embeddings > 0 &&
               c.intermediate_size.value_or(1) > 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", hidden_size ", c.hidden_size,
           ", intermediate_size ", c.intermediate_size.value_or(1), ", the embeddings' size ",
           embedding_size(c), " and max_position_embeddings ", c.max_position_embeddings,
           " must be positive, num_hidden_layers ", c.num_hidden_layers, " not negative");
  DS_CHECK(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0, ValueError,
           "config: ", c.num_attention_heads, " attention heads do not divide the hidden size ",
           c.hidden_size);
  DS_CHECK(kv_heads(c) > 0 && c.num_attention_heads % kv_heads(c) == 0, ValueError,
           "config: ", kv_heads(c), " key and value heads do not divide ", c.num_attention_heads,
           " attention heads");
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
  DS_CHECK(!c.layer_types || static_cast<int64_t>(c.layer_types->size()) == c.num_hidden_layers,
           ValueError, "config: attention_types make ",
           c.layer_types.value_or(std::vector<std::string>{}).size(), " layers of ",
           c.num_hidden_layers);
  DS_CHECK(!c.two_norms || family_of(c).attention_norm_of_two, ValueError, "config: a '",
           c.model_type, "' model has no two norms");
  activate(c.hidden_act, zeros({1}));
}

void add_norm(nn::Module& root, const char* name, int64_t size, const DecoderConfig& c) {
  add_at(root, name, std::make_shared<nn::LayerNorm>(Shape{size}, c.layer_norm_eps, c.norms_learn));
}

/// How much scores fall with a token's distance: a number for every head.
std::vector<float> slopes_of(int64_t heads) {
  int64_t power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<float> all;
  const auto add = [&](int64_t count, int64_t of, int64_t step) {
    const double base = std::pow(2.0, -8.0 / static_cast<double>(of));
    for (int64_t i = 0; i < count; ++i)
      all.push_back(static_cast<float>(std::pow(base, static_cast<double>(1 + i * step))));
  };
  add(power, power, 1);
  add(heads - power, 2 * power, 2);  // between those of the power of two below
  return all;
}

}  // namespace

NormedDecoderLayer::NormedDecoderLayer(const DecoderConfig& config, int64_t layer)
    : config_(config), layer_(layer), family_(family_of(config)) {
  const DecoderConfig& c = config_;
  const DecoderFamily& f = family_;
  const int64_t h = c.hidden_size, keys = kv_heads(c) * head_dim(c);
  const int64_t inner = c.intermediate_size.value_or(4 * h);
  const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias) {
    add_at(*this, name, std::make_shared<nn::Linear>(in, out, bias));
  };
  add_norm(*this, attention_norm(c, f), h, c);
  if (f.qkv) {
    dense(f.qkv, h, h + 2 * keys, c.attention_bias);
  } else {
    dense(f.query, h, h, c.attention_bias);
    dense(f.key, h, keys, c.attention_bias);
    dense(f.value, h, keys, c.attention_bias);
  }
  dense(f.out, h, h, c.out_bias);
  if (c.qk_layernorm && f.query_norm)
    for (const char* name : {f.query_norm, f.key_norm}) add_norm(*this, name, head_dim(c), c);
  if (f.gate) dense(f.gate, h, inner, c.mlp_bias);
  dense(f.up, h, inner, c.mlp_bias);
  dense(f.down, inner, h, c.mlp_bias);
  if (const char* name = mlp_norm(c, f)) add_norm(*this, name, h, c);
}

std::string NormedDecoderLayer::type_name() const {
  return std::string(family_.class_prefix) + "Layer";
}

Tensor NormedDecoderLayer::attend(const Tensor& x, const std::optional<Rotation>& rotation,
                                  const std::optional<Tensor>& mask,
                                  const std::optional<Tensor>& bias, AttentionPlace place) {
  const DecoderConfig& c = config_;
  const DecoderFamily& f = family_;
  const int64_t dim = head_dim(c);
  std::vector<Tensor> parts;
  if (f.qkv) {
    // A head of keys lies behind the heads of queries that share it.
    const int64_t heads = kv_heads(c), shared = c.num_attention_heads / heads;
    const Tensor all =
        reshape(call_at(*this, f.qkv, x), {x.size(0), x.size(1), heads, shared + 2, dim});
    parts = {reshape(narrow(all, 3, 0, shared), {x.size(0), x.size(1), shared * heads, dim}),
             select(all, 3, shared), select(all, 3, shared + 1)};
  } else {
    for (const char* name : {f.query, f.key, f.value}) {
      const Tensor part = call_at(*this, name, x);
      parts.push_back(split_heads(part, part.size(-1) / dim));
    }
  }
  if (c.clip_qkv)
    for (Tensor& part : parts) part = clamp(part, -*c.clip_qkv, *c.clip_qkv);
  if (c.qk_layernorm && f.query_norm) {
    parts[0] = call_at(*this, f.query_norm, parts[0]);
    parts[1] = call_at(*this, f.key_norm, parts[1]);
  }
  if (rotation)
    for (Tensor* part : {&parts[0], &parts[1]}) {
      if (f.position == Position::halves) {
        *part = (*rotation)(*part);
        continue;
      }
      const auto turned =
          static_cast<int64_t>(static_cast<double>(dim) * c.rope.partial_rotary_factor);
      const Tensor front = rotation->neighbours(narrow(*part, -1, 0, turned));
      *part = turned == dim ? front : cat({front, narrow(*part, -1, turned, dim - turned)}, -1);
    }
  Attention attention{mask, true, is_training() ? c.attention_dropout : 0.0};
  if (!f.scaled) attention.scale = 1.0;
  attention.place = place;
  attention.bias = bias;
  if (c.layer_types && c.layer_types->at(static_cast<size_t>(layer_)) == "local")
    attention.window = c.window;
  return call_at(*this, f.out, attention(parts[0], parts[1], parts[2]));
}

Tensor NormedDecoderLayer::feed_forward(const Tensor& x) {
  const DecoderFamily& f = family_;
  const Tensor inner = activate(config_.hidden_act, call_at(*this, f.gate ? f.gate : f.up, x));
  return call_at(*this, f.down, f.gate ? inner * call_at(*this, f.up, x) : inner);
}

Tensor NormedDecoderLayer::forward(const Tensor& x, const std::optional<Rotation>& rotation,
                                   const std::optional<Tensor>& mask,
                                   const std::optional<Tensor>& bias, AttentionPlace place) {
  const DecoderConfig& c = config_;
  const DecoderFamily& f = family_;
  const auto kept = [&](const Tensor& y) { return dropout(y, c.hidden_dropout, is_training()); };
  const Tensor first = c.pre_norm ? call_at(*this, attention_norm(c, f), x) : x;
  Tensor seen = attend(first, rotation, mask, bias, place);
  if (f.drops_attention) seen = kept(seen);
  if (!f.mlp_norm || c.use_parallel_residual) {
    const char* own = mlp_norm(c, f);
    const Tensor same = own ? call_at(*this, own, x) : first;
    return x + seen + kept(feed_forward(same));
  }
  if (!c.pre_norm) {
    const Tensor y = call_at(*this, f.attention_norm, x + seen);
    return call_at(*this, f.mlp_norm, y + kept(feed_forward(y)));
  }
  const Tensor y = (c.residual_behind_norm ? first : x) + seen;
  const Tensor second = call_at(*this, f.mlp_norm, y);
  return (c.residual_behind_norm ? second : y) + kept(feed_forward(second));
}

NormedDecoderModel::NormedDecoderModel(const DecoderConfig& config)
    : config_(config), family_(family_of(config)) {
  check(config);
  const DecoderConfig& c = config_;
  const DecoderFamily& f = family_;
  const int64_t h = c.hidden_size, words = embedding_size(c);
  add_at(
      *this, f.words,
      std::make_shared<nn::Embedding>(c.vocab_size, words, f.pads ? c.pad_token_id : std::nullopt));
  if (f.places)
    add_at(*this, f.places,
           std::make_shared<nn::Embedding>(c.max_position_embeddings + f.skipped, h));
  if (f.first_norm) add_norm(*this, f.first_norm, h, c);
  if (words != h) {
    add_at(*this, "decoder.project_in", std::make_shared<nn::Linear>(words, h, false));
    add_at(*this, "decoder.project_out", std::make_shared<nn::Linear>(h, words, false));
  }
  const auto layers = std::make_shared<nn::ModuleList>();
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    layers->append(std::make_shared<NormedDecoderLayer>(c, i));
  add_at(*this, f.layers, layers);
  if (c.has_last_norm) add_norm(*this, f.last_norm, h, c);
  init_weights(*this, c.initializer_range);
}

std::string NormedDecoderModel::type_name() const {
  return std::string(family_.class_prefix) + "Model";
}

Tensor NormedDecoderModel::embed(const TextInput& input, const Tensor& first,
                                 const Tensor& positions) {
  const DecoderFamily& f = family_;
  Tensor x = present(input.inputs_embeds) ? first : call_at(*this, f.words, first);
  if (embedding_size(config_) != config_.hidden_size) x = call_at(*this, "decoder.project_in", x);
  if (f.places) {
    Tensor at = positions;
    // OPT counts real tokens.
    if (f.skipped > 0 && !input.cache && !present(input.position_ids) &&
        present(input.attention_mask)) {
      const Tensor real = to_dtype(*input.attention_mask, DType::i64);
      at = cumsum(real, 1) * real - 1;
    }
    x = x + call_at(*this, f.places, f.skipped > 0 ? at + f.skipped : at);
  }
  if (present(input.token_type_ids)) x = x + call_at(*this, f.words, *input.token_type_ids);
  if (f.first_norm) x = call_at(*this, f.first_norm, x);
  return dropout(x, config_.embedding_dropout, is_training());
}

Output NormedDecoderModel::forward(const TextInput& input) {
  const DecoderConfig& c = config_;
  const std::string name = type_name();
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first = embedded
                            ? *input.inputs_embeds
                            : given(name.c_str(), "input_ids or inputs_embeds", input.input_ids);
  // Padding in front of a cached prompt takes no positions.
  const bool any = input.cache || family_.position == Position::slopes;
  checked_length(name.c_str(), first, any ? first.size(1) : c.max_position_embeddings);
  const Tensor at = positions_of(first, input.cache, input.position_ids);
  Tensor x = embed(input, first, at);
  std::optional<Rotation> rotation;
  std::optional<Tensor> bias;
  if (family_.position == Position::slopes) {
    // Scores differ by distances alone, so slots do for positions.
    const int64_t keys = input.cache ? input.cache->mask().size(-1) : first.size(1);
    Tensor place = arange(keys, DType::f32, first.device());
    if (!input.cache && present(input.attention_mask) && input.attention_mask->dim() == 2) {
      const Tensor real = to_dtype(*input.attention_mask, DType::f32);
      place = reshape((cumsum(real, 1) - 1) * real, {real.size(0), 1, 1, keys});
    }
    const std::vector<float> slopes = slopes_of(c.num_attention_heads);
    bias = to_dtype(Tensor::from_host(slopes.data(), {DType::f32, {1, c.num_attention_heads, 1, 1}},
                                      first.device()) *
                        place,
                    x.dtype());
  } else if (family_.position != Position::table) {
    const auto turned =
        static_cast<int64_t>(static_cast<double>(head_dim(c)) * c.rope.partial_rotary_factor);
    rotation =
        Rotation(c.rope, turned, at, x.dtype(),
                 {input.cache ? input.cache->longest() : first.size(1), c.max_position_embeddings});
  }
  const std::optional<Tensor> mask = attention_mask(input.attention_mask);
  Output out;
  const nn::ModulePtr layers = get_submodule(family_.layers);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    if (is_training() && leaves_out_layer(c.layerdrop)) continue;
    auto& layer = layers->child_as<NormedDecoderLayer>(std::to_string(i));
    x = through_layer(x, [&](const Tensor& before) {
      return layer.forward(before, rotation, mask, bias,
                           {input.cache, static_cast<size_t>(i),
                            input.output_attentions ? &out.attentions : nullptr});
    });
  }
  if (c.has_last_norm) x = call_at(*this, family_.last_norm, x);
  if (embedding_size(c) != c.hidden_size) x = call_at(*this, "decoder.project_out", x);
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

HeadSetting NormedDecoderModel::head_setting() const {
  const DecoderConfig& c = config_;
  const int64_t size = embedding_size(c);
  const bool any = family_.position == Position::slopes;
  return {.labels = c,
          .model_type = c.model_type,
          .hidden_size = size,
          .embedding_size = size,
          .vocab_size = c.vocab_size,
          .max_positions = any ? std::nullopt : std::optional(c.max_position_embeddings),
          .pad_token_id = c.pad_token_id,
          .table = family_.words,
          .tied = c.tie_word_embeddings,
          .initializer_range = c.initializer_range,
          .classifier_dropout = c.classifier_dropout.value_or(0.1)};
}

}  // namespace ds::hub
