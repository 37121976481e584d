// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/t5.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/distance_bucket.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

bool is_gated(const T5Config& c) { return c.feed_forward_proj.rfind("gated-", 0) == 0; }

std::string activation_of(const T5Config& c) {
  if (!is_gated(c)) return c.feed_forward_proj;
  const std::string name = c.feed_forward_proj.substr(std::string("gated-").size());
  return name == "gelu" ? "gelu_new" : name;
}

void check(const T5Config& c) {
  DS_CHECK(c.vocab_size > 0 && c.d_model > 0 && c.d_kv > 0 && c.d_ff > 0 && c.num_heads > 0 &&
               c.num_layers >= 0 && c.num_decoder_layers.value_or(0) >= 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", d_model ", c.d_model, ", d_kv ",
           c.d_kv, ", d_ff ", c.d_ff, " and num_heads ", c.num_heads,
           " must be positive, num_layers ", c.num_layers, " not negative");
  DS_CHECK(c.relative_attention_num_buckets >= 4 &&
               c.relative_attention_max_distance > c.relative_attention_num_buckets / 2,
           ValueError, "config: relative_attention_num_buckets ", c.relative_attention_num_buckets,
           " must be at least 4 and relative_attention_max_distance ",
           c.relative_attention_max_distance, " more than half of it");
  activate(activation_of(c), zeros({1}));
}

void draw(nn::Module& root, const std::string& name, double deviation) {
  nn::init::normal_(root.get_submodule(name)->parameter("weight"), 0.0, deviation);
}

double inverse_root(int64_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); }

/// Draws the weights of a block as upstream does.
void init_block(nn::Module& block, const T5Config& c, int64_t sublayers) {
  const double f = c.initializer_factor;
  for (int64_t i = 0; i + 1 < sublayers; ++i) {
    const std::string at =
        "layer." + std::to_string(i) + (i == 0 ? ".SelfAttention." : ".EncDecAttention.");
    draw(block, at + "q", f * inverse_root(c.d_model * c.d_kv));
    draw(block, at + "k", f * inverse_root(c.d_model));
    draw(block, at + "v", f * inverse_root(c.d_model));
    draw(block, at + "o", f * inverse_root(c.num_heads * c.d_kv));
  }
  const std::string last = "layer." + std::to_string(sublayers - 1) + ".DenseReluDense.";
  for (const char* name : {"wi", "wi_0", "wi_1"})
    if (block.get_submodule(last.substr(0, last.size() - 1))->has_child(name))
      draw(block, last + name, f * inverse_root(c.d_model));
  draw(block, last + "wo", f * inverse_root(c.d_ff));
}

nn::ModulePtr make_block(const T5Config& c, bool decoder, bool with_bias) {
  auto block = std::make_shared<Group>();
  const auto dense = [&](const std::string& name, int64_t in, int64_t out) {
    add_at(*block, name, std::make_shared<nn::Linear>(in, out, false));
  };
  const int64_t inner = c.num_heads * c.d_kv, sublayers = decoder ? 3 : 2;
  for (int64_t i = 0; i < sublayers; ++i) {
    const std::string at = "layer." + std::to_string(i) + ".";
    if (i + 1 == sublayers) {
      const std::string network = at + "DenseReluDense.";
      for (const char* name : {"wi_0", "wi_1"})
        if (is_gated(c)) dense(network + name, c.d_model, c.d_ff);
      if (!is_gated(c)) dense(network + "wi", c.d_model, c.d_ff);
      dense(network + "wo", c.d_ff, c.d_model);
    } else {
      const std::string attention = at + (i == 0 ? "SelfAttention." : "EncDecAttention.");
      for (const char* name : {"q", "k", "v"}) dense(attention + name, c.d_model, inner);
      dense(attention + "o", inner, c.d_model);
      if (i == 0 && with_bias)
        add_at(*block, attention + "relative_attention_bias",
               std::make_shared<nn::Embedding>(c.relative_attention_num_buckets, c.num_heads));
    }
    add_at(*block, at + "layer_norm",
           std::make_shared<nn::RMSNorm>(Shape{c.d_model}, c.layer_norm_epsilon));
  }
  return block;
}

/// The table that encoder and decoder share.
void add_shared(nn::Module& root, const T5Config& c) {
  check(c);
  const auto table = root.add<nn::Embedding>("shared", c.vocab_size, c.d_model);
  nn::init::normal_(table->parameter("weight"), 0.0, c.initializer_factor);
}

void add_stack(nn::Module& root, const char* name, const T5Config& c, bool decoder) {
  const auto stack = root.add<T5Stack>(name, c, decoder);
  stack->child("embed_tokens")->set_parameter("weight", root.child("shared")->parameter("weight"));
}

}  // namespace

struct T5Stack::Step {
  std::optional<Tensor> mask;  // of padding
  Tensor bias;                 // [1, heads, T, S]
  Tensor memory;
  std::optional<Tensor> memory_mask;
  KeyValueCache* cache;
  std::vector<Tensor>*attentions, *cross_attentions;  // where they go, when asked for
};

T5Stack::T5Stack(const T5Config& config, bool decoder) : config_(config), decoder_(decoder) {
  const T5Config& c = config_;
  add<nn::Embedding>("embed_tokens", c.vocab_size, c.d_model);
  const auto blocks = add<nn::ModuleList>("block");
  const int64_t count = decoder ? c.num_decoder_layers.value_or(c.num_layers) : c.num_layers;
  for (int64_t i = 0; i < count; ++i) {
    const nn::ModulePtr block = make_block(c, decoder, i == 0);
    init_block(*block, c, decoder ? 3 : 2);
    if (i == 0)
      draw(*block, "layer.0.SelfAttention.relative_attention_bias",
           c.initializer_factor * inverse_root(c.d_model));
    blocks->append(block);
  }
  add<nn::RMSNorm>("final_layer_norm", Shape{c.d_model}, c.layer_norm_epsilon);
}

Tensor T5Stack::position_bias(int64_t first, int64_t tokens, int64_t keys) {
  std::vector<int64_t> buckets;
  for (int64_t t = first; t < first + tokens; ++t)
    for (int64_t s = 0; s < keys; ++s)
      buckets.push_back(distance_bucket(s - t, !decoder_, config_.relative_attention_num_buckets,
                                        config_.relative_attention_max_distance));
  nn::Module& table =
      *child("block")->get_submodule("0.layer.0.SelfAttention.relative_attention_bias");
  const Device device = table.parameter("weight").device();
  const Tensor index = Tensor::from_host(buckets.data(), {DType::i64, {tokens, keys}}, device);
  return unsqueeze(permute(table(index), {2, 0, 1}), 0);
}

Tensor T5Stack::self_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step) {
  const auto heads = [&](const char* name) {
    return split_heads(call_at(layer, name, x), config_.num_heads);
  };
  Attention attention{step.mask, decoder_, is_training() ? config_.dropout_rate : 0.0, 1.0};
  attention.bias = step.bias;
  attention.place = {step.cache, static_cast<size_t>(index), step.attentions};
  return call_at(
      layer, "SelfAttention.o",
      attention(heads("SelfAttention.q"), heads("SelfAttention.k"), heads("SelfAttention.v")));
}

Tensor T5Stack::cross_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step) {
  const auto heads = [&](const char* name, const Tensor& from) {
    return split_heads(call_at(layer, name, from), config_.num_heads);
  };
  const auto make = [&]() -> std::pair<Tensor, Tensor> {
    return {heads("EncDecAttention.k", step.memory), heads("EncDecAttention.v", step.memory)};
  };
  const auto [k, v] = step.cache ? step.cache->fixed(static_cast<size_t>(index), make) : make();
  Attention attention;
  attention.mask = step.memory_mask;
  attention.scale = 1.0;
  attention.place.weights = step.cross_attentions;
  attention.dropout = is_training() ? config_.dropout_rate : 0.0;
  return call_at(layer, "EncDecAttention.o", attention(heads("EncDecAttention.q", x), k, v));
}

Tensor T5Stack::feed_forward(nn::Module& layer, const Tensor& x) {
  const std::string act = activation_of(config_), at = "DenseReluDense.";
  const Tensor inner = is_gated(config_) ? activate(act, call_at(layer, at + "wi_0", x)) *
                                               call_at(layer, at + "wi_1", x)
                                         : activate(act, call_at(layer, at + "wi", x));
  return call_at(layer, at + "wo", dropout(inner, config_.dropout_rate, is_training()));
}

Tensor T5Stack::run_block(int64_t index, const Tensor& x, const Step& step) {
  const nn::ModulePtr layers = child("block")->child(std::to_string(index))->child("layer");
  const auto beside = [&](const char* name, const Tensor& from, const auto& f) {
    nn::Module& layer = *layers->child(name);
    const Tensor out = f(layer, call_at(layer, "layer_norm", from));
    return from + dropout(out, config_.dropout_rate, is_training());
  };
  Tensor y = beside("0", x, [&](nn::Module& layer, const Tensor& normed) {
    return self_attend(layer, index, normed, step);
  });
  if (decoder_)
    y = beside("1", y, [&](nn::Module& layer, const Tensor& normed) {
      return cross_attend(layer, index, normed, step);
    });
  return beside(decoder_ ? "2" : "1", y, [&](nn::Module& layer, const Tensor& normed) {
    return feed_forward(layer, normed);
  });
}

Output T5Stack::forward(const StackInput& input) {
  const TextInput& text = input.text;
  const bool embedded = present(text.inputs_embeds);
  const char* name = decoder_ ? "T5 decoder" : "T5 encoder";
  const Tensor& first =
      embedded ? *text.inputs_embeds : given(name, "input_ids or inputs_embeds", text.input_ids);
  const int64_t tokens = checked_length(name, first, first.dim() > 1 ? first.size(1) : 0)[1];
  Tensor x = embedded ? first : call_at(*this, "embed_tokens", first);
  x = dropout(x, config_.dropout_rate, is_training());
  Output out;
  const bool looks = text.output_attentions;
  const auto count = static_cast<int64_t>(child("block")->named_children().size());
  Step step{attention_mask(text.attention_mask),
            {},
            input.memory,
            memory_mask(input, count),
            text.cache,
            looks ? &out.attentions : nullptr,
            looks ? &out.cross_attentions : nullptr};
  if (count > 0)
    step.bias = text.cache
                    ? position_bias(text.cache->first_slot(), tokens, text.cache->mask().size(-1))
                    : position_bias(0, tokens, tokens);
  for (int64_t i = 0; i < count; ++i) {
    if (text.output_hidden_states) out.hidden_states.push_back(x);
    x = through_layer(x, [&](const Tensor& before) { return run_block(i, before, step); });
  }
  x = dropout(call_at(*this, "final_layer_norm", x), config_.dropout_rate, is_training());
  if (text.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

T5EncoderModel::T5EncoderModel(const T5Config& config) : config_(config) {
  add_shared(*this, config);
  add_stack(*this, "encoder", config, false);
}

HeadSetting T5EncoderModel::head_setting() const {
  return {.labels = config_,
          .model_type = "t5",
          .hidden_size = config_.d_model,
          .initializer_range = config_.initializer_factor * 0.05,
          .classifier_dropout = config_.classifier_dropout.value_or(0.0)};
}

T5Model::T5Model(const T5Config& config) : config_(config) {
  add_shared(*this, config);
  add_stack(*this, "encoder", config, false);
  add_stack(*this, "decoder", config, true);
}

Tensor T5Model::shift_right(const Tensor& labels) const {
  return hub::shift_right("T5", labels, config_.decoder_start_token_id, config_.pad_token_id);
}

T5ForConditionalGeneration::T5ForConditionalGeneration(const T5Config& config) : T5Model(config) {
  const auto head = add<nn::Linear>("lm_head", config.d_model, config.vocab_size, false);
  if (config.tie_word_embeddings)
    head->set_parameter("weight", child("shared")->parameter("weight"));
  else
    nn::init::normal_(head->parameter("weight"), 0.0, config.initializer_factor);
}

Tensor T5ForConditionalGeneration::logits(const Tensor& hidden) {
  const Tensor scaled =
      config_.scale_decoder_outputs ? hidden * inverse_root(config_.d_model) : hidden;
  return (*child("lm_head"))(scaled);
}

T5ForSequenceClassification::T5ForSequenceClassification(const T5Config& config) : config_(config) {
  add<T5Model>("transformer", config);
  const double deviation = config.initializer_factor * inverse_root(config.d_model);
  add_classifier(*this, "classification_head.dense", config.d_model, config.d_model, deviation);
  add_classifier(*this, "classification_head.out_proj", config.d_model, config.num_labels,
                 deviation);
}

Seq2SeqOutput T5ForSequenceClassification::forward(const Seq2SeqInput& input,
                                                   const std::optional<Tensor>& labels) {
  return classify_text(*this, child_as<T5Model>("transformer"), config_, config_.eos_token_id,
                       input, labels);
}

T5ForQuestionAnswering::T5ForQuestionAnswering(const T5Config& config) : T5Model(config) {
  add_classifier(*this, "qa_outputs", config.d_model, 2,
                 config.initializer_factor * inverse_root(config.d_model));
}

Seq2SeqOutput T5ForQuestionAnswering::forward(const Seq2SeqInput& input,
                                              const std::optional<Tensor>& start_positions,
                                              const std::optional<Tensor>& end_positions) {
  return find_answer(*this, *this, input, start_positions, end_positions);
}

}  // namespace ds::hub
