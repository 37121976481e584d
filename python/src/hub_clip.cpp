// SPDX-License-Identifier: Apache-2.0
// CLIP, in the submodule _hub.
#include "ds/hub/clip.h"
#include "hub_config.h"

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
      .key("initializer_factor", &C::initializer_factor);
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

}  // namespace

void bind_clip(nb::module_& m) {
  const nb::none none;
  bind_configs(m);
  using T = hub::CLIPTextModel;
  LayerClass<T>(m, "CLIPTextModel", "CLIP's encoder of texts.")
      .init([](const hub::CLIPTextConfig& config) { return std::make_shared<T>(config); },
            "config"_a)
      .def(
          "forward",
          [](T& self, Input ids, Input mask, Input positions, bool hidden, bool return_dict) {
            return to_python(self.forward({ids, mask, positions, hidden}), return_dict);
          },
          "input_ids"_a = none, "attention_mask"_a = none, "position_ids"_a = none,
          "output_hidden_states"_a = false, "return_dict"_a = true);
  using V = hub::CLIPVisionModel;
  LayerClass<V>(m, "CLIPVisionModel", "CLIP's encoder of images.")
      .init([](const hub::CLIPVisionConfig& config) { return std::make_shared<V>(config); },
            "config"_a)
      .def(
          "forward",
          [](V& self, Input images, bool hidden, bool return_dict) {
            return to_python(self.forward({images, hidden}), return_dict);
          },
          "pixel_values"_a = none, "output_hidden_states"_a = false, "return_dict"_a = true);
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
             bool hidden, bool return_dict) {
            return clip_output(
                self.forward({ids, mask, positions, hidden}, {images, hidden}, return_loss),
                return_dict);
          },
          "input_ids"_a = none, "pixel_values"_a = none, "attention_mask"_a = none,
          "position_ids"_a = none, "return_loss"_a = false, "output_hidden_states"_a = false,
          "return_dict"_a = true);
}
