// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/bart.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/hub/layer_drop.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// What tells one family from another.
struct BartFamily {
  const char *model_type, *class_prefix;
  bool pre_norm = false;          // normalise before each part of a layer, not after the sums
  bool embedding_norm = false;    // normalise embeddings
  bool last_norm = false;         // normalise what comes out of the last layer
  bool sinusoidal = false;        // positions are not learned
  bool reads_its_text = false;    // the decoder, where nothing else is given
  bool starts_with_last = false;  // labels are written from their last token on, a language
};

namespace {

constexpr BartFamily kFamilies[] = {
    {.model_type = "bart", .class_prefix = "Bart", .embedding_norm = true, .reads_its_text = true},
    {.model_type = "mbart",
     .class_prefix = "MBart",
     .pre_norm = true,
     .embedding_norm = true,
     .last_norm = true,
     .reads_its_text = true,
     .starts_with_last = true},
    {.model_type = "pegasus",
     .class_prefix = "Pegasus",
     .pre_norm = true,
     .last_norm = true,
     .sinusoidal = true},
    {.model_type = "marian", .class_prefix = "Marian", .sinusoidal = true},
};

/// Learned positions begin at this row of their table.
constexpr int64_t kFirstPosition = 2;

const BartFamily& family_of(const BartConfig& config) {
  std::string known;
  for (const BartFamily& family : kFamilies) {
    if (config.model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw ValueError(
      str("config: the model '", config.model_type, "' is unknown; there are ", known));
}

void check(const BartConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.decoder_vocab_size.value_or(1) > 0 && c.d_model > 0 &&
               c.max_position_embeddings > 0 && c.encoder_ffn_dim > 0 && c.decoder_ffn_dim > 0 &&
               c.encoder_layers >= 0 && c.decoder_layers >= 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", d_model ", c.d_model,
           ", max_position_embeddings ", c.max_position_embeddings, ", encoder_ffn_dim ",
           c.encoder_ffn_dim, " and decoder_ffn_dim ", c.decoder_ffn_dim,
           " must be positive, encoder_layers ", c.encoder_layers, " and decoder_layers ",
           c.decoder_layers, " not negative");
  for (const int64_t heads : {c.encoder_attention_heads, c.decoder_attention_heads})
    DS_CHECK(heads > 0 && c.d_model % heads == 0, ValueError, "config: ", heads,
             " attention heads do not divide d_model ", c.d_model);
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
  activate(c.activation_function, zeros({1}));
}

/// Rows of the decoder's table and of the head.
int64_t written_words(const BartConfig& c) {
  return c.share_encoder_decoder_embeddings ? c.vocab_size
                                            : c.decoder_vocab_size.value_or(c.vocab_size);
}

/// f64 [rows, size]: sines of a position at falling frequencies, then cosines.
Tensor sinusoids(int64_t rows, int64_t size) {
  const Tensor at = arange((size + 1) / 2, DType::f64);
  const Tensor angle = outer(arange(rows, DType::f64),
                             exp(at * (-2.0 * std::log(10000.0) / static_cast<double>(size))));
  return cat({sin(angle), narrow(cos(angle), 1, 0, size / 2)}, 1);
}

void add_norm(nn::Module& root, const char* name, const BartConfig& c) {
  root.add<nn::LayerNorm>(name, Shape{c.d_model});
}

nn::ModulePtr make_layer(const BartConfig& c, bool decoder) {
  auto layer = std::make_shared<Group>();
  for (const char* attention : {"self_attn", "encoder_attn"}) {
    if (!decoder && std::string(attention) == "encoder_attn") continue;
    const auto group = layer->add<Group>(attention);
    for (const char* name : {"k_proj", "v_proj", "q_proj", "out_proj"})
      group->add<nn::Linear>(name, c.d_model, c.d_model);
    add_norm(*layer, str(attention, "_layer_norm").c_str(), c);
  }
  const int64_t inner = decoder ? c.decoder_ffn_dim : c.encoder_ffn_dim;
  layer->add<nn::Linear>("fc1", c.d_model, inner);
  layer->add<nn::Linear>("fc2", inner, c.d_model);
  add_norm(*layer, "final_layer_norm", c);
  return layer;
}

}  // namespace

struct BartStack::Step {
  std::optional<Tensor> mask;  // of padding
  Tensor memory;
  std::optional<Tensor> memory_mask;
  KeyValueCache* cache;
  std::vector<Tensor>*attentions, *cross_attentions;  // where they go, when asked for
};

BartStack::BartStack(const BartConfig& config, bool decoder)
    : config_(config),
      family_(family_of(config)),
      decoder_(decoder),
      heads_(decoder ? config.decoder_attention_heads : config.encoder_attention_heads) {
  const BartConfig& c = config_;
  add<nn::Embedding>("embed_tokens", decoder ? written_words(c) : c.vocab_size, c.d_model,
                     c.pad_token_id);
  add<nn::Embedding>("embed_positions",
                     c.max_position_embeddings + (family_.sinusoidal ? 0 : kFirstPosition),
                     c.d_model);
  const auto layers = add<nn::ModuleList>("layers");
  for (int64_t i = 0; i < (decoder ? c.decoder_layers : c.encoder_layers); ++i)
    layers->append(make_layer(c, decoder));
  if (family_.embedding_norm) add_norm(*this, "layernorm_embedding", c);
  if (family_.last_norm) add_norm(*this, "layer_norm", c);
}

Tensor BartStack::embed(const TextInput& text) {
  const std::string name = str(family_.class_prefix, decoder_ ? " decoder" : " encoder");
  const bool embedded = present(text.inputs_embeds);
  const Tensor& first = embedded
                            ? *text.inputs_embeds
                            : given(name.c_str(), "input_ids or inputs_embeds", text.input_ids);
  // Padding in front of a cached prompt takes no positions.
  const int64_t limit =
      text.cache && first.dim() > 1 ? first.size(1) : config_.max_position_embeddings;
  const int64_t tokens = checked_length(name.c_str(), first, limit)[1];
  Tensor x = embedded ? first : call_at(*this, "embed_tokens", first);
  if (config_.scale_embedding && (!embedded || (decoder_ && family_.sinusoidal)))
    x = x * std::sqrt(static_cast<double>(config_.d_model));
  const int64_t offset = family_.sinusoidal ? 0 : kFirstPosition;
  const int64_t before = text.cache ? text.cache->length() - tokens : 0;
  std::vector<int64_t> places;
  for (int64_t i = 0; i < tokens; ++i) places.push_back(offset + std::max<int64_t>(0, before + i));
  const Tensor index = Tensor::from_host(places.data(), {DType::i64, {1, tokens}}, first.device());
  x = x + call_at(*this, "embed_positions", index);
  if (family_.embedding_norm) x = call_at(*this, "layernorm_embedding", x);
  return dropout(x, config_.dropout, is_training());
}

Tensor BartStack::self_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step) {
  const auto heads = [&](const char* name) { return split_heads(call_at(layer, name, x), heads_); };
  Attention attention{step.mask, decoder_, is_training() ? config_.attention_dropout : 0.0};
  attention.place = {step.cache, static_cast<size_t>(index), step.attentions};
  return call_at(
      layer, "self_attn.out_proj",
      attention(heads("self_attn.q_proj"), heads("self_attn.k_proj"), heads("self_attn.v_proj")));
}

Tensor BartStack::cross_attend(nn::Module& layer, int64_t index, const Tensor& x,
                               const Step& step) {
  const auto heads = [&](const char* name, const Tensor& from) {
    return split_heads(call_at(layer, name, from), heads_);
  };
  const auto make = [&]() -> std::pair<Tensor, Tensor> {
    return {heads("encoder_attn.k_proj", step.memory), heads("encoder_attn.v_proj", step.memory)};
  };
  const auto [k, v] = step.cache ? step.cache->fixed(static_cast<size_t>(index), make) : make();
  Attention attention{step.memory_mask, false, is_training() ? config_.attention_dropout : 0.0};
  attention.place.weights = step.cross_attentions;
  return call_at(layer, "encoder_attn.out_proj", attention(heads("encoder_attn.q_proj", x), k, v));
}

Tensor BartStack::feed_forward(nn::Module& layer, const Tensor& x) {
  const Tensor inner = activate(config_.activation_function, call_at(layer, "fc1", x));
  return call_at(layer, "fc2", dropout(inner, config_.activation_dropout, is_training()));
}

Tensor BartStack::run_layer(int64_t index, const Tensor& x, const Step& step) {
  nn::Module& layer = *child("layers")->child(std::to_string(index));
  const auto beside = [&](const char* norm, const Tensor& from, const auto& part) {
    const Tensor out = part(family_.pre_norm ? call_at(layer, norm, from) : from);
    const Tensor sum = from + dropout(out, config_.dropout, is_training());
    return family_.pre_norm ? sum : call_at(layer, norm, sum);
  };
  Tensor y = beside("self_attn_layer_norm", x,
                    [&](const Tensor& in) { return self_attend(layer, index, in, step); });
  if (decoder_)
    y = beside("encoder_attn_layer_norm", y,
               [&](const Tensor& in) { return cross_attend(layer, index, in, step); });
  return beside("final_layer_norm", y, [&](const Tensor& in) { return feed_forward(layer, in); });
}

Output BartStack::forward(const StackInput& input) {
  const TextInput& text = input.text;
  Tensor x = embed(text);
  Output out;
  const bool looks = text.output_attentions;
  const auto count = static_cast<int64_t>(child("layers")->named_children().size());
  const Step step{attention_mask(text.attention_mask), input.memory,
                  memory_mask(input, count),           text.cache,
                  looks ? &out.attentions : nullptr,   looks ? &out.cross_attentions : nullptr};
  const double skipped = decoder_ ? config_.decoder_layerdrop : config_.encoder_layerdrop;
  for (int64_t i = 0; i < count; ++i) {
    if (text.output_hidden_states) out.hidden_states.push_back(x);
    if (is_training() && leaves_out_layer(skipped)) continue;
    x = through_layer(x, [&](const Tensor& before) { return run_layer(i, before, step); });
  }
  if (family_.last_norm) x = call_at(*this, "layer_norm", x);
  if (text.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

BartModel::BartModel(const BartConfig& config) : config_(config), family_(family_of(config)) {
  check(config);
  const auto shared =
      config.share_encoder_decoder_embeddings
          ? add<nn::Embedding>("shared", config.vocab_size, config.d_model, config.pad_token_id)
          : nullptr;
  for (const bool decoder : {false, true}) {
    const auto stack = add<BartStack>(decoder ? "decoder" : "encoder", config, decoder);
    if (shared && config.tie_word_embeddings)
      stack->child("embed_tokens")->set_parameter("weight", shared->parameter("weight"));
  }
  init_weights(*this, config.init_std);
  if (!family_.sinusoidal) return;
  for (const char* stack : {"encoder", "decoder"}) {
    const nn::ModulePtr positions = child(stack)->child("embed_positions");
    const GradMode no_grad(false);
    const Tensor table = positions->parameter("weight");
    table.assign(to_dtype(sinusoids(table.size(0), table.size(1)), table.dtype()).value());
    positions->requires_grad_(false);
  }
}

std::string BartModel::type_name() const { return str(family_.class_prefix, "Model"); }

bool BartModel::reads_its_text() const { return family_.reads_its_text; }

Tensor BartModel::shift_right(const Tensor& labels) const {
  const BartConfig& c = config_;
  if (!family_.starts_with_last)
    return hub::shift_right(type_name(), labels, c.decoder_start_token_id, c.pad_token_id);
  DS_CHECK(c.pad_token_id, ValueError, type_name(),
           ": pad_token_id is not in the configuration, so the decoder's input cannot be made; "
           "set it, or give decoder_input_ids");
  const Tensor written = masked_fill(labels, eq(labels, -100), *c.pad_token_id);
  const Tensor real = sum(to_dtype(ne(written, *c.pad_token_id), DType::i64), {1}, true);
  // A row of padding alone starts with its last token.
  const Tensor last = remainder(real - 1, labels.size(1));
  return cat({gather(written, 1, last), narrow(written, 1, 0, labels.size(1) - 1)}, 1);
}

BartForConditionalGeneration::BartForConditionalGeneration(const BartConfig& config) {
  const auto model = add<BartModel>("model", config);
  const int64_t words = written_words(config);
  register_buffer("final_logits_bias", clone(zeros({1, words})));
  const auto head = add<nn::Linear>("lm_head", config.d_model, words, false);
  if (config.tie_word_embeddings)
    head->set_parameter("weight", model->decoder().child("embed_tokens")->parameter("weight"));
  else
    init_weights(*head, config.init_std);
}

Tensor BartForConditionalGeneration::logits(const Tensor& hidden) {
  return call_at(*this, "lm_head", hidden) + buffer("final_logits_bias");
}

BartForSequenceClassification::BartForSequenceClassification(const BartConfig& config)
    : config_(config) {
  add<BartModel>("model", config);
  add_classifier(*this, "classification_head.dense", config.d_model, config.d_model,
                 config.init_std);
  add_classifier(*this, "classification_head.out_proj", config.d_model, config.num_labels,
                 config.init_std);
}

Seq2SeqOutput BartForSequenceClassification::forward(const Seq2SeqInput& input,
                                                     const std::optional<Tensor>& labels) {
  return classify_text(*this, child_as<BartModel>("model"), config_, config_.eos_token_id, input,
                       labels);
}

BartForQuestionAnswering::BartForQuestionAnswering(const BartConfig& config) {
  add<BartModel>("model", config);
  add_classifier(*this, "qa_outputs", config.d_model, 2, config.init_std);
}

Seq2SeqOutput BartForQuestionAnswering::forward(const Seq2SeqInput& input,
                                                const std::optional<Tensor>& start_positions,
                                                const std::optional<Tensor>& end_positions) {
  return find_answer(*this, child_as<BartModel>("model"), input, start_positions, end_positions);
}

}  // namespace ds::hub
