// SPDX-License-Identifier: Apache-2.0
// Language models, in the submodule _hub.
#include <nanobind/stl/variant.h>

#include "ds/base/error.h"
#include "ds/hub/deberta.h"
#include "ds/hub/decoder.h"
#include "ds/hub/deepseek.h"
#include "ds/hub/encoder.h"
#include "ds/hub/gpt2.h"
#include "ds/hub/heads.h"
#include "ds/hub/llama.h"
#include "ds/hub/modernbert.h"
#include "ds/hub/t5.h"
#include "hub_config.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

/// The keys that Llama and what derives from it have.
template <class C>
ConfigClass<C>& llama_keys(ConfigClass<C>& config) {
  using L = hub::LlamaConfig;
  return config.key("model_type", &L::model_type)
      .key("vocab_size", &L::vocab_size)
      .key("hidden_size", &L::hidden_size)
      .key("intermediate_size", &L::intermediate_size)
      .key("num_hidden_layers", &L::num_hidden_layers)
      .key("num_attention_heads", &L::num_attention_heads)
      .key("num_key_value_heads", &L::num_key_value_heads)
      .key("head_dim", &L::head_dim)
      .key("hidden_act", &L::hidden_act)
      .key("max_position_embeddings", &L::max_position_embeddings)
      .key("rms_norm_eps", &L::rms_norm_eps)
      .key("initializer_range", &L::initializer_range)
      .key("attention_dropout", &L::attention_dropout)
      .key("attention_bias", &L::attention_bias)
      .key("mlp_bias", &L::mlp_bias)
      .key("tie_word_embeddings", &L::tie_word_embeddings)
      .key("pad_token_id", &L::pad_token_id)
      .key("sliding_window", &L::sliding_window)
      .key("max_window_layers", &L::max_window_layers)
      .key("rope", &L::rope)
      .key("sliding_rope", &L::sliding_rope)
      .key("layer_types", &L::layer_types)
      .key("no_rope_layers", &L::no_rope_layers)
      .key("embedding_multiplier", &L::embedding_multiplier)
      .key("residual_multiplier", &L::residual_multiplier)
      .key("attention_multiplier", &L::attention_multiplier)
      .key("logits_scaling", &L::logits_scaling)
      .key("attn_logit_softcapping", &L::attn_logit_softcapping)
      .key("final_logit_softcapping", &L::final_logit_softcapping)
      .key("clip_qkv", &L::clip_qkv)
      .key("resid_pdrop", &L::resid_pdrop)
      .key("num_experts", &L::num_experts)
      .key("decoder_sparse_step", &L::decoder_sparse_step)
      .key("num_experts_per_tok", &L::num_experts_per_tok)
      .key("moe_intermediate_size", &L::moe_intermediate_size)
      .key("mlp_only_layers", &L::mlp_only_layers)
      .key("norm_topk_prob", &L::norm_topk_prob)
      .key("shared_expert_intermediate_size", &L::shared_expert_intermediate_size)
      .key("router_aux_loss_coef", &L::router_aux_loss_coef)
      .head_keys();
}

void bind_llama_configs(nb::module_& m) {
  ConfigClass<hub::LlamaConfig> llama(m, "LlamaConfig");
  llama_keys(llama);
  using D = hub::DeepseekConfig;
  ConfigClass<D> deepseek(m, "DeepseekConfig");
  llama_keys(deepseek)
      .key("q_lora_rank", &D::q_lora_rank)
      .key("kv_lora_rank", &D::kv_lora_rank)
      .key("qk_nope_head_dim", &D::qk_nope_head_dim)
      .key("qk_rope_head_dim", &D::qk_rope_head_dim)
      .key("v_head_dim", &D::v_head_dim)
      .key("rope_interleave", &D::rope_interleave)
      .key("n_routed_experts", &D::n_routed_experts)
      .key("n_shared_experts", &D::n_shared_experts)
      .key("n_group", &D::n_group)
      .key("topk_group", &D::topk_group)
      .key("first_k_dense_replace", &D::first_k_dense_replace)
      .key("routed_scaling_factor", &D::routed_scaling_factor)
      .key("topk_method", &D::topk_method);
}

void bind_decoder_config(nb::module_& m) {
  using D = hub::DecoderConfig;
  ConfigClass<D>(m, "DecoderConfig")
      .key("model_type", &D::model_type)
      .key("vocab_size", &D::vocab_size)
      .key("hidden_size", &D::hidden_size)
      .key("num_hidden_layers", &D::num_hidden_layers)
      .key("num_attention_heads", &D::num_attention_heads)
      .key("num_key_value_heads", &D::num_key_value_heads)
      .key("intermediate_size", &D::intermediate_size)
      .key("embedding_size", &D::embedding_size)
      .key("hidden_act", &D::hidden_act)
      .key("max_position_embeddings", &D::max_position_embeddings)
      .key("layer_norm_eps", &D::layer_norm_eps)
      .key("initializer_range", &D::initializer_range)
      .key("attention_dropout", &D::attention_dropout)
      .key("hidden_dropout", &D::hidden_dropout)
      .key("embedding_dropout", &D::embedding_dropout)
      .key("attention_bias", &D::attention_bias)
      .key("out_bias", &D::out_bias)
      .key("mlp_bias", &D::mlp_bias)
      .key("use_parallel_residual", &D::use_parallel_residual)
      .key("qk_layernorm", &D::qk_layernorm)
      .key("two_norms", &D::two_norms)
      .key("pre_norm", &D::pre_norm)
      .key("has_last_norm", &D::has_last_norm)
      .key("norms_learn", &D::norms_learn)
      .key("residual_behind_norm", &D::residual_behind_norm)
      .key("tie_word_embeddings", &D::tie_word_embeddings)
      .key("pad_token_id", &D::pad_token_id)
      .key("rope", &D::rope)
      .key("window", &D::window)
      .key("layer_types", &D::layer_types)
      .key("layerdrop", &D::layerdrop)
      .key("clip_qkv", &D::clip_qkv)
      .head_keys();
}

void bind_gpt2_config(nb::module_& m) {
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
      .key("tie_word_embeddings", &G::tie_word_embeddings)
      .key("pad_token_id", &G::pad_token_id)
      .key("summary_first_dropout", &G::summary_first_dropout)
      .head_keys();
}

/// rope_parameters as an object; keys that are not given keep their defaults.
void bind_rope(nb::module_& m) {
  using R = hub::RopeConfig;
  ConfigClass<R>(m, "RopeConfig")
      .key("rope_type", &R::type)
      .key("rope_theta", &R::theta)
      .key("factor", &R::factor)
      .key("low_freq_factor", &R::low_freq_factor)
      .key("high_freq_factor", &R::high_freq_factor)
      .key("original_max_position_embeddings", &R::original_max_position_embeddings)
      .key("beta_fast", &R::beta_fast)
      .key("beta_slow", &R::beta_slow)
      .key("mscale", &R::mscale)
      .key("mscale_all_dim", &R::mscale_all_dim)
      .key("attention_factor", &R::attention_factor)
      .key("short_factor", &R::short_factor)
      .key("long_factor", &R::long_factor)
      .key("partial_rotary_factor", &R::partial_rotary_factor);
}

/// past_key_values, a new Cache without one. What a pass with it has no use for must be absent.
nb::object cache_of(const std::string& model, const Input& ids, const nb::object& given,
                    std::initializer_list<const Input*> unused, bool asked) {
  bool plain = ids.has_value() && !asked;
  for (const Input* input : unused) plain = plain && !input->has_value();
  DS_CHECK(plain, ValueError, model,
           ": with use_cache or past_key_values give input_ids, and no token_type_ids, "
           "position_ids, inputs_embeds, labels, output_attentions or output_router_logits");
  return given.is_none() ? nb::cast(Cache{}) : given;
}

/// A decoder without a head: past_key_values are as of one that predicts next words.
template <class M, class Config>
void bind_decoder(nb::module_& m, const char* name) {
  const nb::none none;
  LayerClass<M> type(m, name, "A decoder without a head.");
  type.init([](const Config& config) { return std::make_shared<M>(config); }, "config"_a);
  type.def(
      "forward",
      [](M& self, Input ids, Input mask, Input types, Input positions, Input embeds, bool hidden,
         bool attentions, bool return_dict, nb::object past, bool use_cache, bool routers) {
        if (past.is_none() && !use_cache)
          return to_python(self.forward({ids, mask, types, positions, embeds, hidden, attentions,
                                         nullptr, routers}),
                           return_dict);
        past = cache_of(self.type_name(), ids, past, {&types, &positions, &embeds},
                        attentions || routers);
        const auto forward = [&](const hub::TextInput& input) { return self.forward(input); };
        return to_python(
            hub::run_cached(forward, self.type_name(), self.head_setting().max_positions, *ids,
                            mask, begun(nb::cast<Cache&>(past), *ids, mask), hidden),
            return_dict, past);
      },
      "input_ids"_a = none, "attention_mask"_a = none, "token_type_ids"_a = none,
      "position_ids"_a = none, "inputs_embeds"_a = none, "output_hidden_states"_a = false,
      "output_attentions"_a = false, "return_dict"_a = true, "past_key_values"_a = none,
      "use_cache"_a = false, "output_router_logits"_a = false,
      "The last layer's states. use_cache and past_key_values are as of the model that predicts "
      "next tokens.");
}

template <class M, class Config>
std::shared_ptr<hub::TextModel> body_of(nb::handle config) {
  if (!nb::isinstance<Config>(config)) return nullptr;
  return std::make_shared<M>(nb::cast<const Config&>(config));
}

/// The model below a head, of the configuration's family.
std::shared_ptr<hub::TextModel> make_body(nb::handle config, hub::Task task) {
  if (nb::isinstance<hub::EncoderConfig>(config)) {
    const auto& encoder = nb::cast<const hub::EncoderConfig&>(config);
    return std::make_shared<hub::EncoderModel>(encoder,
                                               hub::looks_at_pooled(encoder.model_type, task));
  }
  for (auto* make :
       {body_of<hub::GPT2Model, hub::GPT2Config>, body_of<hub::DeepseekModel, hub::DeepseekConfig>,
        body_of<hub::LlamaModel, hub::LlamaConfig>, body_of<hub::T5EncoderModel, hub::T5Config>,
        body_of<hub::NormedDecoderModel, hub::DecoderConfig>,
        body_of<hub::DebertaModel, hub::DebertaConfig>,
        body_of<hub::ModernBertModel, hub::ModernBertConfig>})
    if (auto body = make(config)) return body;
  throw nb::type_error("config: a configuration of a model of text is expected");
}

/// A head's forward(), whose labels bear transformers' names.
template <class M>
void bind_head_forward(LayerClass<M>& type) {
  const nb::none none;
  type.def(
      "forward",
      [](M& self, Input ids, Input mask, Input types, Input positions, Input embeds, Input labels,
         Input next_sentence, Input sentence_order, Input start, Input end, Input choice_tokens,
         Input choice_labels, bool hidden, bool attentions, bool return_dict) {
        const Input pairs = next_sentence ? next_sentence : sentence_order;
        return to_python(self.forward({ids, mask, types, positions, embeds, hidden, attentions},
                                      {labels, pairs, start, end, choice_labels, choice_tokens}),
                         return_dict);
      },
      "input_ids"_a = none, "attention_mask"_a = none, "token_type_ids"_a = none,
      "position_ids"_a = none, "inputs_embeds"_a = none, "labels"_a = none,
      "next_sentence_label"_a = none, "sentence_order_label"_a = none, "start_positions"_a = none,
      "end_positions"_a = none, "mc_token_ids"_a = none, "mc_labels"_a = none,
      "output_hidden_states"_a = false, "output_attentions"_a = false, "return_dict"_a = true);
}

/// forward() of a model that predicts next words.
void bind_causal_forward(LayerClass<hub::CausalLM>& type) {
  const nb::none none;
  type.def(
      "forward",
      [](hub::CausalLM& self, Input ids, Input mask, Input types, Input positions, Input embeds,
         Input labels, bool hidden, bool attentions, bool return_dict, nb::object past,
         bool use_cache, bool routers, const hub::LogitsToKeep& keep) {
        hub::Labels given;
        given.labels = labels;
        if (past.is_none() && !use_cache)
          return to_python(self.forward({ids, mask, types, positions, embeds, hidden, attentions,
                                         nullptr, routers},
                                        given, keep),
                           return_dict);
        past = cache_of(self.type_name(), ids, past, {&types, &positions, &embeds, &labels},
                        attentions || routers);
        hub::KeyValueCache& cache = begun(nb::cast<Cache&>(past), *ids, mask);
        return to_python(self.forward_cached(*ids, mask, cache, hidden, keep), return_dict, past);
      },
      "input_ids"_a = none, "attention_mask"_a = none, "token_type_ids"_a = none,
      "position_ids"_a = none, "inputs_embeds"_a = none, "labels"_a = none,
      "output_hidden_states"_a = false, "output_attentions"_a = false, "return_dict"_a = true,
      "past_key_values"_a = none, "use_cache"_a = false, "output_router_logits"_a = false,
      "logits_to_keep"_a = 0,
      "Logits, and the loss where there are labels: with output_router_logits, and the one that "
      "balances experts. logits_to_keep: so many last tokens, or positions or marks of tokens.\n\n"
      "With use_cache or past_key_values (of an earlier call) the output has past_key_values, and "
      "input_ids are the tokens behind those it remembers; attention_mask is about all of them. No "
      "gradients are recorded then.");
}

void bind_heads(nb::module_& m) {
  using H = hub::TextModelWithHead;
  LayerClass<H> head(m, "TextModelWithHead", "A model of text below the head of a task.");
  head.init(
      [](nb::object config, int task) {
        const auto which = static_cast<hub::Task>(task);
        return std::make_shared<H>(make_body(config, which), which);
      },
      "config"_a, "task"_a);
  bind_head_forward(head);
  using C = hub::CausalLM;
  LayerClass<C> causal(m, "CausalLM", "A model of text that predicts the next token.");
  causal.init(
      [](nb::object config) {
        return std::make_shared<C>(make_body(config, hub::Task::causal_lm));
      },
      "config"_a);
  bind_causal_forward(causal);
  m.def(
      "heads_of",
      [](const std::string& model_type) {
        nb::list all;
        for (const auto& [task, name, body] : hub::heads_of(model_type))
          all.append(nb::make_tuple(static_cast<int>(task), name, body));
        return all;
      },
      "model_type"_a);
}

void bind_text_models(nb::module_& m) {
  bind_decoder<hub::GPT2Model, hub::GPT2Config>(m, "GPT2Model");
  bind_decoder<hub::LlamaModel, hub::LlamaConfig>(m, "LlamaModel");
  bind_decoder<hub::DeepseekModel, hub::DeepseekConfig>(m, "DeepseekModel");
  bind_decoder<hub::NormedDecoderModel, hub::DecoderConfig>(m, "NormedDecoderModel");
}

}  // namespace

nb::object model_output(const nb::dict& values, bool return_dict) {
  const nb::object type = nb::module_::import_("deepseek.models._output").attr("ModelOutput");
  const nb::object result = type(values);
  return return_dict ? result : result.attr("to_tuple")();
}

nb::object tuple_of(const std::vector<ds::Tensor>& tensors) {
  return tensors.empty() ? nb::none() : nb::object(nb::tuple(nb::cast(tensors)));
}

nb::object to_python(const hub::Output& output, bool return_dict, nb::handle cache) {
  nb::dict values;
  for (const auto& [name, tensor] : output.values) values[name.c_str()] = tensor;
  if (cache.is_valid()) values["past_key_values"] = cache;
  values["hidden_states"] = tuple_of(output.hidden_states);
  values["attentions"] = tuple_of(output.attentions);
  if (!output.pictures.empty()) values["reshaped_hidden_states"] = tuple_of(output.pictures);
  if (output.router_logits) values["router_logits"] = tuple_of(*output.router_logits);
  return model_output(values, return_dict);
}

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
  bind_rope(m);
  bind_encoders(m);
  bind_gpt2_config(m);
  bind_llama_configs(m);
  bind_decoder_config(m);
  bind_text_models(m);
  bind_seq2seq(m);
  bind_heads(m);
  bind_generation(m);
}
