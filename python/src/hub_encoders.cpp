// SPDX-License-Identifier: Apache-2.0
// Encoders of text without a head, in the submodule _hub.
#include "ds/hub/deberta.h"
#include "ds/hub/encoder.h"
#include "ds/hub/modernbert.h"
#include "hub_config.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

void bind_encoder_config(nb::module_& m) {
  using E = hub::EncoderConfig;
  ConfigClass<E>(m, "EncoderConfig")
      .key("model_type", &E::model_type)
      .key("vocab_size", &E::vocab_size)
      .key("hidden_size", &E::hidden_size)
      .key("num_hidden_layers", &E::num_hidden_layers)
      .key("num_attention_heads", &E::num_attention_heads)
      .key("intermediate_size", &E::intermediate_size)
      .key("max_position_embeddings", &E::max_position_embeddings)
      .key("type_vocab_size", &E::type_vocab_size)
      .key("hidden_act", &E::hidden_act)
      .key("hidden_dropout_prob", &E::hidden_dropout_prob)
      .key("attention_probs_dropout_prob", &E::attention_probs_dropout_prob)
      .key("layer_norm_eps", &E::layer_norm_eps)
      .key("initializer_range", &E::initializer_range)
      .key("pad_token_id", &E::pad_token_id)
      .key("tie_word_embeddings", &E::tie_word_embeddings)
      .key("is_decoder", &E::is_decoder)
      .key("relative_attention_num_buckets", &E::relative_attention_num_buckets)
      .key("embedding_size", &E::embedding_size)
      .key("num_hidden_groups", &E::num_hidden_groups)
      .key("inner_group_num", &E::inner_group_num)
      .head_keys();
}

void bind_deberta_config(nb::module_& m) {
  using D = hub::DebertaConfig;
  ConfigClass<D>(m, "DebertaConfig")
      .key("vocab_size", &D::vocab_size)
      .key("hidden_size", &D::hidden_size)
      .key("num_hidden_layers", &D::num_hidden_layers)
      .key("num_attention_heads", &D::num_attention_heads)
      .key("intermediate_size", &D::intermediate_size)
      .key("max_position_embeddings", &D::max_position_embeddings)
      .key("type_vocab_size", &D::type_vocab_size)
      .key("embedding_size", &D::embedding_size)
      .key("hidden_act", &D::hidden_act)
      .key("hidden_dropout_prob", &D::hidden_dropout_prob)
      .key("attention_probs_dropout_prob", &D::attention_probs_dropout_prob)
      .key("layer_norm_eps", &D::layer_norm_eps)
      .key("initializer_range", &D::initializer_range)
      .key("pad_token_id", &D::pad_token_id)
      .key("tie_word_embeddings", &D::tie_word_embeddings)
      .key("position_biased_input", &D::position_biased_input)
      .key("relative_attention", &D::relative_attention)
      .key("pos_att_type", &D::pos_att_type)
      .key("share_att_key", &D::share_att_key)
      .key("max_relative_positions", &D::max_relative_positions)
      .key("position_buckets", &D::position_buckets)
      .key("norm_rel_ebd", &D::norm_rel_ebd)
      .key("conv_kernel_size", &D::conv_kernel_size)
      .key("conv_groups", &D::conv_groups)
      .key("conv_act", &D::conv_act)
      .head_keys();
}

void bind_modernbert_config(nb::module_& m) {
  using M = hub::ModernBertConfig;
  ConfigClass<M>(m, "ModernBertConfig")
      .key("vocab_size", &M::vocab_size)
      .key("hidden_size", &M::hidden_size)
      .key("intermediate_size", &M::intermediate_size)
      .key("num_hidden_layers", &M::num_hidden_layers)
      .key("num_attention_heads", &M::num_attention_heads)
      .key("max_position_embeddings", &M::max_position_embeddings)
      .key("hidden_activation", &M::hidden_activation)
      .key("classifier_activation", &M::classifier_activation)
      .key("initializer_range", &M::initializer_range)
      .key("initializer_cutoff_factor", &M::initializer_cutoff_factor)
      .key("norm_eps", &M::norm_eps)
      .key("embedding_dropout", &M::embedding_dropout)
      .key("attention_dropout", &M::attention_dropout)
      .key("mlp_dropout", &M::mlp_dropout)
      .key("norm_bias", &M::norm_bias)
      .key("attention_bias", &M::attention_bias)
      .key("mlp_bias", &M::mlp_bias)
      .key("classifier_bias", &M::classifier_bias)
      .key("decoder_bias", &M::decoder_bias)
      .key("classifier_pooling", &M::classifier_pooling)
      .key("pad_token_id", &M::pad_token_id)
      .key("tie_word_embeddings", &M::tie_word_embeddings)
      .key("layer_types", &M::layer_types)
      .key("local_attention", &M::local_attention)
      .key("rope", &M::rope)
      .key("sliding_rope", &M::sliding_rope)
      .head_keys();
}

template <class M>
void bind_forward(LayerClass<M>& type) {
  const nb::none none;
  type.def(
      "forward",
      [](M& self, Input ids, Input mask, Input types, Input positions, Input embeds, bool hidden,
         bool attentions, bool return_dict) {
        return to_python(self.forward({ids, mask, types, positions, embeds, hidden, attentions}),
                         return_dict);
      },
      "input_ids"_a = none, "attention_mask"_a = none, "token_type_ids"_a = none,
      "position_ids"_a = none, "inputs_embeds"_a = none, "output_hidden_states"_a = false,
      "output_attentions"_a = false, "return_dict"_a = true);
}

/// forward(), and the making of a model from its configuration alone.
template <class M, class Config>
void bind_encoder(nb::module_& m, const char* name, const char* doc) {
  LayerClass<M> type(m, name, doc);
  type.init([](const Config& config) { return std::make_shared<M>(config); }, "config"_a);
  bind_forward(type);
}

}  // namespace

void bind_encoders(nb::module_& m) {
  bind_encoder_config(m);
  using E = hub::EncoderModel;
  LayerClass<E> encoder(m, "EncoderModel", "An encoder of text without a head.");
  encoder.init([](const hub::EncoderConfig& config,
                  bool pooling) { return std::make_shared<E>(config, pooling); },
               "config"_a, "add_pooling_layer"_a = true);
  bind_forward(encoder);
  bind_deberta_config(m);
  bind_encoder<hub::DebertaModel, hub::DebertaConfig>(m, "DebertaModel", "DeBERTa without a head.");
  bind_modernbert_config(m);
  bind_encoder<hub::ModernBertModel, hub::ModernBertConfig>(m, "ModernBertModel",
                                                            "ModernBERT without a head.");
}
