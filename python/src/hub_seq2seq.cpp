// SPDX-License-Identifier: Apache-2.0
// Models with encoder and decoder, in the submodule _hub: T5, BART and its kin.
#include "ds/base/error.h"
#include "ds/hub/bart.h"
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

void bind_t5_config(nb::module_& m) {
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

void bind_bart_config(nb::module_& m) {
  using C = hub::BartConfig;
  ConfigClass<C>(m, "BartConfig")
      .key("model_type", &C::model_type)
      .key("vocab_size", &C::vocab_size)
      .key("d_model", &C::d_model)
      .key("max_position_embeddings", &C::max_position_embeddings)
      .key("encoder_layers", &C::encoder_layers)
      .key("encoder_attention_heads", &C::encoder_attention_heads)
      .key("encoder_ffn_dim", &C::encoder_ffn_dim)
      .key("decoder_layers", &C::decoder_layers)
      .key("decoder_attention_heads", &C::decoder_attention_heads)
      .key("decoder_ffn_dim", &C::decoder_ffn_dim)
      .key("activation_function", &C::activation_function)
      .key("dropout", &C::dropout)
      .key("attention_dropout", &C::attention_dropout)
      .key("activation_dropout", &C::activation_dropout)
      .key("init_std", &C::init_std)
      .key("encoder_layerdrop", &C::encoder_layerdrop)
      .key("decoder_layerdrop", &C::decoder_layerdrop)
      .key("scale_embedding", &C::scale_embedding)
      .key("tie_word_embeddings", &C::tie_word_embeddings)
      .key("share_encoder_decoder_embeddings", &C::share_encoder_decoder_embeddings)
      .key("decoder_vocab_size", &C::decoder_vocab_size)
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
template <class M, class Config, class Run>
void bind_both(nb::module_& m, const char* name, const char* doc, Run run) {
  const nb::none none;
  LayerClass<M>(m, name, doc)
      .init([](const Config& config) { return std::make_shared<M>(config); }, "config"_a)
      .def(
          "forward",
          [run](M& self, Input ids, Input mask, Input decoder_ids, Input decoder_mask, Input embeds,
                Input decoder_embeds, Input labels, Input start, Input end, bool hidden,
                bool attentions, bool return_dict, nb::object encoded) {
            const hub::Seq2SeqInput input{ids,          mask,       decoder_ids,
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

nb::object seq2seq_output(const hub::Seq2SeqOutput& out, bool return_dict) {
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

namespace {

using In = hub::Seq2SeqInput;

/// The classes of a family: M without a head, and with heads G that writes, S that tells classes of
/// texts and Q that finds answers.
template <class Config, class M, class G, class S, class Q>
void bind_family(nb::module_& m, const std::string& prefix) {
  const auto bind = [&]<class C>(std::type_identity<C>, const char* suffix, const char* what,
                                 auto run) {
    bind_both<C, Config>(m, (prefix + suffix).c_str(), (prefix + what).c_str(),
                         [name = prefix + suffix, run](C& self, const In& in, const Input& labels,
                                                       const Input& start, const Input& end) {
                           return run(name.c_str(), self, in, labels, start, end);
                         });
  };
  bind(std::type_identity<M>(), "Model", " without a head.",
       [](const char* name, M& self, const In& in, const auto&... labels) {
         refuse(name, {labels...});
         return self.forward(in);
       });
  bind(std::type_identity<G>(), "ForConditionalGeneration", " that writes an answer.",
       [](const char* name, G& self, const In& in, const Input& labels, const Input& start,
          const Input& end) {
         refuse(name, {start, end});
         return self.write(in, labels);
       });
  bind(std::type_identity<S>(), "ForSequenceClassification", " that tells classes of texts.",
       [](const char* name, S& self, const In& in, const Input& labels, const Input& start,
          const Input& end) {
         refuse(name, {start, end});
         return self.forward(in, labels);
       });
  bind(std::type_identity<Q>(), "ForQuestionAnswering", " that finds an answer in a text.",
       [](const char* name, Q& self, const In& in, const Input& labels, const Input& start,
          const Input& end) {
         refuse(name, {labels});
         return self.forward(in, start, end);
       });
}

}  // namespace

void bind_seq2seq(nb::module_& m) {
  bind_t5_config(m);
  bind_encoder(m);
  bind_family<hub::T5Config, hub::T5Model, hub::T5ForConditionalGeneration,
              hub::T5ForSequenceClassification, hub::T5ForQuestionAnswering>(m, "T5");
  bind_bart_config(m);
  LayerClass<hub::BartStack>(m, "BartStack", "The layers of BART's encoder or decoder.");
  bind_family<hub::BartConfig, hub::BartModel, hub::BartForConditionalGeneration,
              hub::BartForSequenceClassification, hub::BartForQuestionAnswering>(m, "Bart");
}
