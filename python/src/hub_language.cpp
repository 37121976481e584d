// SPDX-License-Identifier: Apache-2.0
// Language models, in the submodule _hub.
#include "ds/hub/encoder.h"
#include "ds/hub/gpt2.h"
#include "hub.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

/// A deepseek.models.ModelOutput, or the tuple of what is there.
nb::object to_python(const hub::Output& output, bool return_dict) {
  nb::dict values;
  for (const auto& [name, tensor] : output.values) values[name.c_str()] = tensor;
  nb::object hidden = nb::none();
  if (!output.hidden_states.empty()) hidden = nb::tuple(nb::cast(output.hidden_states));
  values["hidden_states"] = hidden;
  const nb::object type = nb::module_::import_("deepseek.models._output").attr("ModelOutput");
  const nb::object result = type(values);
  return return_dict ? result : result.attr("to_tuple")();
}

/// Every key of a config as an attribute; their names as `fields`.
template <class C>
class ConfigClass {
 public:
  ConfigClass(nb::module_& m, const char* name) : type_(m, name) { type_.def(nb::init<>()); }
  ~ConfigClass() { type_.attr("fields") = nb::tuple(names_); }
  template <class V>
  ConfigClass& key(const char* name, V C::*member) {
    type_.def_rw(name, member, nb::for_setter("value"_a.none()));
    names_.append(name);
    return *this;
  }

 private:
  nb::class_<C> type_;
  nb::list names_;
};

void bind_configs(nb::module_& m) {
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
      .key("classifier_dropout", &E::classifier_dropout)
      .key("layer_norm_eps", &E::layer_norm_eps)
      .key("initializer_range", &E::initializer_range)
      .key("pad_token_id", &E::pad_token_id)
      .key("tie_word_embeddings", &E::tie_word_embeddings)
      .key("num_labels", &E::num_labels)
      .key("problem_type", &E::problem_type);
  using G = hub::GPT2Config;
  ConfigClass<G>(m, "GPT2Config")
      .key("vocab_size", &G::vocab_size)
      .key("n_positions", &G::n_positions)
      .key("n_embd", &G::n_embd)
      .key("n_layer", &G::n_layer)
      .key("n_head", &G::n_head)
      .key("n_inner", &G::n_inner)
      .key("activation_function", &G::activation_function)
      .key("resid_pdrop", &G::resid_pdrop)
      .key("embd_pdrop", &G::embd_pdrop)
      .key("attn_pdrop", &G::attn_pdrop)
      .key("layer_norm_epsilon", &G::layer_norm_epsilon)
      .key("initializer_range", &G::initializer_range)
      .key("scale_attn_weights", &G::scale_attn_weights)
      .key("scale_attn_by_inverse_layer_idx", &G::scale_attn_by_inverse_layer_idx)
      .key("tie_word_embeddings", &G::tie_word_embeddings);
}

void bind_encoders(nb::module_& m) {
  const nb::none none;
  using M = hub::EncoderModel;
  LayerClass<M>(m, "EncoderModel", "BERT, RoBERTa or DistilBERT without a head.")
      .init([](const hub::EncoderConfig& config,
               bool pooling) { return std::make_shared<M>(config, pooling); },
            "config"_a, "add_pooling_layer"_a = true)
      .def(
          "forward",
          [](M& self, Input ids, Input mask, Input types, Input positions, Input embeds,
             bool hidden, bool return_dict) {
            return to_python(self.forward({ids, mask, types, positions, embeds, hidden}),
                             return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "token_type_ids"_a = none,
          "position_ids"_a = none, "inputs_embeds"_a = none, "output_hidden_states"_a = false,
          "return_dict"_a = true);
  using H = hub::EncoderWithHead;
  LayerClass<H> head(m, "EncoderWithHead", "An encoder below a head.");
  head.init(
      [](const hub::EncoderConfig& config, int task) {
        return std::make_shared<H>(config, static_cast<hub::EncoderTask>(task));
      },
      "config"_a, "task"_a);
  head.def(
      "forward",
      [](H& self, Input ids, Input mask, Input types, Input positions, Input embeds, Input labels,
         Input start_positions, Input end_positions, bool hidden, bool return_dict) {
        const bool question = self.task() == hub::EncoderTask::question_answering;
        return to_python(self.forward({ids, mask, types, positions, embeds, hidden},
                                      question ? start_positions : labels, end_positions),
                         return_dict);
      },
      "input_ids"_a = none, "attention_mask"_a = none, "token_type_ids"_a = none,
      "position_ids"_a = none, "inputs_embeds"_a = none, "labels"_a = none,
      "start_positions"_a = none, "end_positions"_a = none, "output_hidden_states"_a = false,
      "return_dict"_a = true);
}

void bind_gpt2(nb::module_& m) {
  const nb::none none;
  using M = hub::GPT2Model;
  LayerClass<M>(m, "GPT2Model", "GPT-2 without a head.")
      .init([](const hub::GPT2Config& config) { return std::make_shared<M>(config); }, "config"_a)
      .def(
          "forward",
          [](M& self, Input ids, Input mask, Input positions, Input embeds, bool hidden,
             bool return_dict) {
            return to_python(self.forward({ids, mask, positions, embeds, hidden}), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "position_ids"_a = none,
          "inputs_embeds"_a = none, "output_hidden_states"_a = false, "return_dict"_a = true);
  using L = hub::GPT2LMHeadModel;
  LayerClass<L>(m, "GPT2LMHeadModel", "GPT-2 that predicts the next token.")
      .init([](const hub::GPT2Config& config) { return std::make_shared<L>(config); }, "config"_a)
      .def(
          "forward",
          [](L& self, Input ids, Input mask, Input positions, Input embeds, Input labels,
             bool hidden, bool return_dict) {
            return to_python(self.forward({ids, mask, positions, embeds, hidden}, labels),
                             return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "position_ids"_a = none,
          "inputs_embeds"_a = none, "labels"_a = none, "output_hidden_states"_a = false,
          "return_dict"_a = true);
}

}  // namespace

void bind_language_models(nb::module_& m) {
  LayerClass<hub::Group>(m, "Group", "Children under one part of a dotted name.").init([] {
    return std::make_shared<hub::Group>();
  });
  LayerClass<hub::Conv1D>(m, "Conv1D", "Linear whose weight is stored [in, out].")
      .init([](int64_t nf, int64_t nx) { return std::make_shared<hub::Conv1D>(nx, nf); }, "nf"_a,
            "nx"_a)
      .field("nf", &hub::Conv1D::out_features)
      .field("nx", &hub::Conv1D::in_features)
      .forward();
  LayerClass<hub::TransformerBlock>(m, "TransformerBlock", "Attention and a feed-forward network.")
      .def(
          "forward",
          [](hub::TransformerBlock& self, const ds::Tensor& x, Input mask) {
            return self.forward(x, mask);
          },
          "hidden_states"_a, "attention_mask"_a = nb::none());
  bind_configs(m);
  bind_encoders(m);
  bind_gpt2(m);
  bind_generation(m);
}
