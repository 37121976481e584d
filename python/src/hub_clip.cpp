// SPDX-License-Identifier: Apache-2.0
// CLIP and SigLIP, in the submodule _hub.
#include "ds/hub/siglip.h"
#include "hub_image.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

template <class C>
void bind_encoder_keys(ConfigClass<C>& config) {
  config.key("hidden_size", &C::hidden_size)
      .key("intermediate_size", &C::intermediate_size)
      .key("projection_dim", &C::projection_dim)
      .key("num_hidden_layers", &C::num_hidden_layers)
      .key("num_attention_heads", &C::num_attention_heads)
      .key("hidden_act", &C::hidden_act)
      .key("layer_norm_eps", &C::layer_norm_eps)
      .key("attention_dropout", &C::attention_dropout)
      .key("initializer_range", &C::initializer_range)
      .key("initializer_factor", &C::initializer_factor);
}

void bind_configs(nb::module_& m) {
  using T = hub::CLIPTextConfig;
  ConfigClass<T> text(m, "CLIPTextConfig");
  bind_encoder_keys(text);
  text.key("vocab_size", &T::vocab_size)
      .key("max_position_embeddings", &T::max_position_embeddings)
      .key("eos_token_id", &T::eos_token_id);
  using V = hub::CLIPVisionConfig;
  ConfigClass<V> vision(m, "CLIPVisionConfig");
  bind_encoder_keys(vision);
  vision.key("num_channels", &V::num_channels)
      .key("image_size", &V::image_size)
      .key("patch_size", &V::patch_size);
  using C = hub::CLIPConfig;
  ConfigClass<C>(m, "CLIPConfig")
      .key("text", &C::text)
      .key("vision", &C::vision)
      .key("projection_dim", &C::projection_dim)
      .key("logit_scale_init_value", &C::logit_scale_init_value)
      .key("initializer_factor", &C::initializer_factor)
      .head_keys();
}

nb::object clip_output(const hub::CLIPOutput& out, bool return_dict) {
  nb::dict values;
  values["loss"] = out.loss;
  values["logits_per_image"] = out.logits_per_image;
  values["logits_per_text"] = out.logits_per_text;
  values["text_embeds"] = out.text_embeds;
  values["image_embeds"] = out.image_embeds;
  values["text_model_output"] = to_python(out.text, return_dict);
  values["vision_model_output"] = to_python(out.vision, return_dict);
  return model_output(values, return_dict);
}

template <class T, class Config = hub::CLIPTextConfig>
void bind_text(nb::module_& m, const char* name, const char* doc) {
  const nb::none none;
  LayerClass<T>(m, name, doc)
      .init([](const Config& config) { return std::make_shared<T>(config); }, "config"_a)
      .def(
          "forward",
          [](T& self, Input ids, Input mask, Input positions, bool hidden, bool attentions,
             bool return_dict) {
            return to_python(self.forward({ids, mask, positions, hidden, attentions}), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "position_ids"_a = none,
          "output_hidden_states"_a = false, "output_attentions"_a = false, "return_dict"_a = true);
}

template <class V>
void bind_vision(nb::module_& m, const char* name, const char* doc) {
  LayerClass<V>(m, name, doc)
      .init([](const hub::CLIPVisionConfig& config) { return std::make_shared<V>(config); },
            "config"_a)
      .def(
          "forward",
          [](V& self, Input images, bool hidden, bool attentions, bool return_dict) {
            return to_python(self.forward({images, hidden, attentions}), return_dict);
          },
          "pixel_values"_a = nb::none(), "output_hidden_states"_a = false,
          "output_attentions"_a = false, "return_dict"_a = true);
}

void bind_classifier(nb::module_& m) {
  using I = hub::CLIPForImageClassification;
  LayerClass<I>(m, "CLIPForImageClassification", "CLIP's encoder of images below a classifier.")
      .init([](const hub::CLIPConfig& config) { return std::make_shared<I>(config); }, "config"_a)
      .def(
          "forward",
          [](I& self, Input images, Input labels, bool hidden, bool attentions, bool return_dict) {
            return to_python(self.forward({images, hidden, attentions}, labels), return_dict);
          },
          "pixel_values"_a = nb::none(), "labels"_a = nb::none(), "output_hidden_states"_a = false,
          "output_attentions"_a = false, "return_dict"_a = true);
}

void bind_siglip_configs(nb::module_& m) {
  const auto encoder_keys = [](auto& config, auto* of) {
    using C = std::remove_pointer_t<decltype(of)>;
    config.key("hidden_size", &C::hidden_size)
        .key("intermediate_size", &C::intermediate_size)
        .key("num_hidden_layers", &C::num_hidden_layers)
        .key("num_attention_heads", &C::num_attention_heads)
        .key("hidden_act", &C::hidden_act)
        .key("layer_norm_eps", &C::layer_norm_eps)
        .key("attention_dropout", &C::attention_dropout);
  };
  using T = hub::SiglipTextConfig;
  ConfigClass<T> text(m, "SiglipTextConfig");
  encoder_keys(text, static_cast<T*>(nullptr));
  text.key("vocab_size", &T::vocab_size)
      .key("max_position_embeddings", &T::max_position_embeddings)
      .key("projection_size", &T::projection_size);
  using V = hub::SiglipVisionConfig;
  ConfigClass<V> vision(m, "SiglipVisionConfig");
  encoder_keys(vision, static_cast<V*>(nullptr));
  vision.key("num_channels", &V::num_channels)
      .key("image_size", &V::image_size)
      .key("patch_size", &V::patch_size)
      .key("vision_use_head", &V::vision_use_head);
  using C = hub::SiglipConfig;
  ConfigClass<C>(m, "SiglipConfig")
      .key("text", &C::text)
      .key("vision", &C::vision)
      .key("initializer_factor", &C::initializer_factor)
      .head_keys();
}

void bind_siglip(nb::module_& m) {
  const nb::none none;
  bind_siglip_configs(m);
  bind_text<hub::SiglipTextModel, hub::SiglipTextConfig>(m, "SiglipTextModel",
                                                         "SigLIP's encoder of texts.");
  using V = hub::SiglipVisionModel;
  LayerClass<V> vision(m, "SiglipVisionModel", "SigLIP's encoder of images.");
  vision.init([](const hub::SiglipVisionConfig& config) { return std::make_shared<V>(config); },
              "config"_a);
  bind_forward(vision);
  using I = hub::SiglipForImageClassification;
  LayerClass<I> told(m, "SiglipForImageClassification", "SigLIP's images below a classifier.");
  told.init([](const hub::SiglipConfig& config) { return std::make_shared<I>(config); },
            "config"_a);
  bind_labelled_forward(told);
  using M = hub::SiglipModel;
  LayerClass<M>(m, "SiglipModel", "Texts and images in one space.")
      .init([](const hub::SiglipConfig& config) { return std::make_shared<M>(config); }, "config"_a)
      .def(
          "get_text_features",
          [](M& self, Input ids, Input mask, Input positions, bool return_dict) {
            auto& text = dynamic_cast<hub::SiglipTextModel&>(*self.child("text_model"));
            return to_python(text.forward({ids, mask, positions}), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "position_ids"_a = none,
          "return_dict"_a = true)
      .def(
          "get_image_features",
          [](M& self, Input images, bool interpolate, bool return_dict) {
            auto& vision = dynamic_cast<hub::SiglipVisionModel&>(*self.child("vision_model"));
            return to_python(vision.forward({images, false, false, interpolate}), return_dict);
          },
          "pixel_values"_a = none, "interpolate_pos_encoding"_a = false, "return_dict"_a = true)
      .def(
          "forward",
          [](M& self, Input ids, Input images, Input mask, Input positions, bool return_loss,
             bool hidden, bool attentions, bool interpolate, bool return_dict) {
            return clip_output(self.forward({ids, mask, positions, hidden, attentions},
                                            {images, hidden, attentions, interpolate}, return_loss),
                               return_dict);
          },
          "input_ids"_a = none, "pixel_values"_a = none, "attention_mask"_a = none,
          "position_ids"_a = none, "return_loss"_a = false, "output_hidden_states"_a = false,
          "output_attentions"_a = false, "interpolate_pos_encoding"_a = false,
          "return_dict"_a = true);
}

}  // namespace

void bind_clip(nb::module_& m) {
  const nb::none none;
  bind_configs(m);
  bind_text<hub::CLIPTextModel>(m, "CLIPTextModel", "CLIP's encoder of texts.");
  bind_text<hub::CLIPTextModelWithProjection>(m, "CLIPTextModelWithProjection",
                                              "CLIP's encoder of texts and its projection.");
  bind_vision<hub::CLIPVisionModel>(m, "CLIPVisionModel", "CLIP's encoder of images.");
  bind_vision<hub::CLIPVisionModelWithProjection>(m, "CLIPVisionModelWithProjection",
                                                  "CLIP's encoder of images and its projection.");
  bind_classifier(m);
  using M = hub::CLIPModel;
  LayerClass<M>(m, "CLIPModel", "Texts and images in one space.")
      .init([](const hub::CLIPConfig& config) { return std::make_shared<M>(config); }, "config"_a)
      .def(
          "get_text_features",
          [](M& self, Input ids, Input mask, Input positions, bool return_dict) {
            return to_python(self.text_features({ids, mask, positions}), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "position_ids"_a = none,
          "return_dict"_a = true)
      .def(
          "get_image_features",
          [](M& self, Input images, bool return_dict) {
            return to_python(self.image_features({images}), return_dict);
          },
          "pixel_values"_a = none, "return_dict"_a = true)
      .def(
          "forward",
          [](M& self, Input ids, Input images, Input mask, Input positions, bool return_loss,
             bool hidden, bool attentions, bool return_dict) {
            return clip_output(self.forward({ids, mask, positions, hidden, attentions},
                                            {images, hidden, attentions}, return_loss),
                               return_dict);
          },
          "input_ids"_a = none, "pixel_values"_a = none, "attention_mask"_a = none,
          "position_ids"_a = none, "return_loss"_a = false, "output_hidden_states"_a = false,
          "output_attentions"_a = false, "return_dict"_a = true);
  bind_siglip(m);
}
