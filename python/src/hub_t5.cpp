// SPDX-License-Identifier: Apache-2.0
// T5, in the submodule _hub.
#include "ds/hub/t5.h"
#include "hub_config.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;
using Named = std::vector<std::pair<const char*, nb::object>>;

nb::object tuple_of(const std::vector<ds::Tensor>& tensors) {
  return tensors.empty() ? nb::none() : nb::object(nb::tuple(nb::cast(tensors)));
}

/// Results in transformers' order; `first` are those of the head or of the decoder.
nb::object seq2seq_output(const hub::T5Output& out, const Named& first, bool return_dict) {
  nb::dict values;
  for (const auto& [name, value] : first) values[name] = value;
  values["decoder_hidden_states"] = tuple_of(out.decoder.hidden_states);
  values["encoder_last_hidden_state"] = out.encoder.values[0].second;
  values["encoder_hidden_states"] = tuple_of(out.encoder.hidden_states);
  return model_output(values, return_dict);
}

/// The states in encoder_outputs: a tensor, an output or a tuple.
Input encoded_of(nb::handle given) {
  if (given.is_none()) return std::nullopt;
  if (nb::hasattr(given, "last_hidden_state"))
    return nb::cast<ds::Tensor>(given.attr("last_hidden_state"));
  return nb::cast<ds::Tensor>(nb::isinstance<nb::tuple>(given) ? nb::object(given[0])
                                                               : nb::borrow(given));
}

void bind_config(nb::module_& m) {
  using C = hub::T5Config;
  ConfigClass<C>(m, "T5Config")
      .key("vocab_size", &C::vocab_size)
      .key("d_model", &C::d_model)
      .key("d_kv", &C::d_kv)
      .key("d_ff", &C::d_ff)
      .key("num_layers", &C::num_layers)
      .key("num_decoder_layers", &C::num_decoder_layers)
      .key("num_heads", &C::num_heads)
      .key("relative_attention_num_buckets", &C::relative_attention_num_buckets)
      .key("relative_attention_max_distance", &C::relative_attention_max_distance)
      .key("dropout_rate", &C::dropout_rate)
      .key("layer_norm_epsilon", &C::layer_norm_epsilon)
      .key("initializer_factor", &C::initializer_factor)
      .key("feed_forward_proj", &C::feed_forward_proj)
      .key("tie_word_embeddings", &C::tie_word_embeddings)
      .key("scale_decoder_outputs", &C::scale_decoder_outputs)
      .key("pad_token_id", &C::pad_token_id)
      .key("decoder_start_token_id", &C::decoder_start_token_id);
}

void bind_encoder(nb::module_& m) {
  const nb::none none;
  LayerClass<hub::T5Stack>(m, "T5Stack", "The layers of T5's encoder or decoder.");
  using E = hub::T5EncoderModel;
  LayerClass<E>(m, "T5EncoderModel", "T5's encoder alone.")
      .init([](const hub::T5Config& config) { return std::make_shared<E>(config); }, "config"_a)
      .def(
          "forward",
          [](E& self, Input ids, Input mask, Input embeds, bool hidden, bool return_dict) {
            return to_python(self.forward({ids, mask, embeds, hidden}), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "inputs_embeds"_a = none,
          "output_hidden_states"_a = false, "return_dict"_a = true);
}

}  // namespace

void bind_t5(nb::module_& m) {
  const nb::none none;
  bind_config(m);
  bind_encoder(m);
  using M = hub::T5Model;
  LayerClass<M>(m, "T5Model", "T5 without a head.")
      .init([](const hub::T5Config& config) { return std::make_shared<M>(config); }, "config"_a)
      .def(
          "forward",
          [](M& self, Input ids, Input mask, Input decoder_ids, Input decoder_mask, Input embeds,
             Input decoder_embeds, bool hidden, bool return_dict, nb::object encoded) {
            const hub::T5Output out = self.forward({ids, mask, decoder_ids, decoder_mask, embeds,
                                                    decoder_embeds, hidden, encoded_of(encoded)});
            return seq2seq_output(
                out, {{"last_hidden_state", nb::cast(out.decoder.values[0].second)}}, return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "decoder_input_ids"_a = none,
          "decoder_attention_mask"_a = none, "inputs_embeds"_a = none,
          "decoder_inputs_embeds"_a = none, "output_hidden_states"_a = false,
          "return_dict"_a = true, "encoder_outputs"_a = none);
  using G = hub::T5ForConditionalGeneration;
  LayerClass<G>(m, "T5ForConditionalGeneration", "T5 that writes an answer.")
      .init([](const hub::T5Config& config) { return std::make_shared<G>(config); }, "config"_a)
      .def(
          "forward",
          [](G& self, Input ids, Input mask, Input decoder_ids, Input decoder_mask, Input embeds,
             Input decoder_embeds, Input labels, bool hidden, bool return_dict,
             nb::object encoded) {
            const hub::T5Output out = self.forward({ids, mask, decoder_ids, decoder_mask, embeds,
                                                    decoder_embeds, hidden, encoded_of(encoded)},
                                                   labels);
            return seq2seq_output(
                out, {{"loss", nb::cast(out.loss)}, {"logits", nb::cast(out.logits)}}, return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "decoder_input_ids"_a = none,
          "decoder_attention_mask"_a = none, "inputs_embeds"_a = none,
          "decoder_inputs_embeds"_a = none, "labels"_a = none, "output_hidden_states"_a = false,
          "return_dict"_a = true, "encoder_outputs"_a = none);
}
