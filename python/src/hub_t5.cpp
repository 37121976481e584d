// SPDX-License-Identifier: Apache-2.0
// T5, in the submodule _hub.
#include "ds/base/error.h"
#include "ds/hub/t5.h"
#include "hub_config.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

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
      .key("decoder_start_token_id", &C::decoder_start_token_id)
      .key("eos_token_id", &C::eos_token_id)
      .head_keys();
}

void bind_encoder(nb::module_& m) {
  const nb::none none;
  LayerClass<hub::T5Stack>(m, "T5Stack", "The layers of T5's encoder or decoder.");
  using E = hub::T5EncoderModel;
  LayerClass<E>(m, "T5EncoderModel", "T5's encoder alone.")
      .init([](const hub::T5Config& config) { return std::make_shared<E>(config); }, "config"_a)
      .def(
          "forward",
          [](E& self, Input ids, Input mask, Input embeds, bool hidden, bool attentions,
             bool return_dict) {
            return to_python(self.forward({ids, mask, {}, {}, embeds, hidden, attentions}),
                             return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "inputs_embeds"_a = none,
          "output_hidden_states"_a = false, "output_attentions"_a = false, "return_dict"_a = true);
}

/// A class with encoder and decoder; `run(model, input, labels, start_positions, end_positions)`.
template <class M, class Run>
void bind_both(nb::module_& m, const char* name, const char* doc, Run run) {
  const nb::none none;
  LayerClass<M>(m, name, doc)
      .init([](const hub::T5Config& config) { return std::make_shared<M>(config); }, "config"_a)
      .def(
          "forward",
          [run](M& self, Input ids, Input mask, Input decoder_ids, Input decoder_mask, Input embeds,
                Input decoder_embeds, Input labels, Input start, Input end, bool hidden,
                bool attentions, bool return_dict, nb::object encoded) {
            const hub::T5Input input{ids,          mask,       decoder_ids,
                                     decoder_mask, embeds,     decoder_embeds,
                                     hidden,       attentions, encoded_of(encoded)};
            return seq2seq_output(run(self, input, labels, start, end), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "decoder_input_ids"_a = none,
          "decoder_attention_mask"_a = none, "inputs_embeds"_a = none,
          "decoder_inputs_embeds"_a = none, "labels"_a = none, "start_positions"_a = none,
          "end_positions"_a = none, "output_hidden_states"_a = false, "output_attentions"_a = false,
          "return_dict"_a = true, "encoder_outputs"_a = none);
}

/// ValueError for labels that a class has no use for.
void refuse(const char* name, std::initializer_list<Input> labels) {
  for (const Input& given : labels)
    DS_CHECK(!given, ValueError, name, ": there is no use for labels of this kind; leave them out");
}

}  // namespace

nb::object seq2seq_output(const hub::T5Output& out, bool return_dict) {
  nb::dict values;
  for (const auto& [name, value] : out.values) values[name.c_str()] = value;
  values["decoder_hidden_states"] = tuple_of(out.decoder.hidden_states);
  values["decoder_attentions"] = tuple_of(out.decoder.attentions);
  values["cross_attentions"] = tuple_of(out.decoder.cross_attentions);
  values["encoder_last_hidden_state"] = out.encoder.values[0].second;
  values["encoder_hidden_states"] = tuple_of(out.encoder.hidden_states);
  values["encoder_attentions"] = tuple_of(out.encoder.attentions);
  return model_output(values, return_dict);
}

void bind_t5(nb::module_& m) {
  bind_config(m);
  bind_encoder(m);
  using In = hub::T5Input;
  bind_both<hub::T5Model>(
      m, "T5Model", "T5 without a head.",
      [](hub::T5Model& self, const In& in, Input labels, Input start, Input end) {
        refuse("T5Model", {labels, start, end});
        return self.forward(in);
      });
  using G = hub::T5ForConditionalGeneration;
  bind_both<G>(m, "T5ForConditionalGeneration", "T5 that writes an answer.",
               [](G& self, const In& in, Input labels, Input start, Input end) {
                 refuse("T5ForConditionalGeneration", {start, end});
                 return self.forward(in, labels);
               });
  using S = hub::T5ForSequenceClassification;
  bind_both<S>(m, "T5ForSequenceClassification", "T5 that tells classes of texts.",
               [](S& self, const In& in, Input labels, Input start, Input end) {
                 refuse("T5ForSequenceClassification", {start, end});
                 return self.forward(in, labels);
               });
  using Q = hub::T5ForQuestionAnswering;
  bind_both<Q>(m, "T5ForQuestionAnswering", "T5 that finds an answer in a text.",
               [](Q& self, const In& in, Input labels, Input start, Input end) {
                 refuse("T5ForQuestionAnswering", {labels});
                 return self.forward(in, start, end);
               });
}
