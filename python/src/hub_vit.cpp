// SPDX-License-Identifier: Apache-2.0
// transformers' ViT, DeiT, DINOv2 and BEiT, in the submodule _hub.
#include "hub_image.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

void bind_config(nb::module_& m) {
  using C = hub::ViTConfig;
  ConfigClass<C>(m, "ViTConfig")
      .key("model_type", &C::model_type)
      .key("hidden_size", &C::hidden_size)
      .key("num_hidden_layers", &C::num_hidden_layers)
      .key("num_attention_heads", &C::num_attention_heads)
      .key("intermediate_size", &C::intermediate_size)
      .key("hidden_act", &C::hidden_act)
      .key("hidden_dropout_prob", &C::hidden_dropout_prob)
      .key("attention_probs_dropout_prob", &C::attention_probs_dropout_prob)
      .key("initializer_range", &C::initializer_range)
      .key("layer_norm_eps", &C::layer_norm_eps)
      .key("image_size", &C::image_size)
      .key("patch_size", &C::patch_size)
      .key("num_channels", &C::num_channels)
      .key("qkv_bias", &C::qkv_bias)
      .key("pooler_output_size", &C::pooler_output_size)
      .key("pooler_act", &C::pooler_act)
      .key("encoder_stride", &C::encoder_stride)
      .key("layerscale_value", &C::layerscale_value)
      .key("drop_path_rate", &C::drop_path_rate)
      .key("use_swiglu_ffn", &C::use_swiglu_ffn)
      .key("use_mask_token", &C::use_mask_token)
      .head_keys();
}

/// forward() of a model that takes images, and patches to hide in them.
template <class M>
void bind_masked_forward(LayerClass<M>& type) {
  type.def(
      "forward",
      [](M& self, Input images, Input masked, bool hidden, bool attentions, bool interpolate,
         bool return_dict) {
        return to_python(self.forward({images, hidden, attentions, interpolate, masked}),
                         return_dict);
      },
      "pixel_values"_a = nb::none(), "bool_masked_pos"_a = nb::none(),
      "output_hidden_states"_a = false, "output_attentions"_a = false,
      "interpolate_pos_encoding"_a = false, "return_dict"_a = true);
}

void bind_beit(nb::module_& m) {
  using B = hub::BeitConfig;
  ConfigClass<B>(m, "BeitConfig")
      .key("vocab_size", &B::vocab_size)
      .key("hidden_size", &B::hidden_size)
      .key("num_hidden_layers", &B::num_hidden_layers)
      .key("num_attention_heads", &B::num_attention_heads)
      .key("intermediate_size", &B::intermediate_size)
      .key("hidden_act", &B::hidden_act)
      .key("hidden_dropout_prob", &B::hidden_dropout_prob)
      .key("attention_probs_dropout_prob", &B::attention_probs_dropout_prob)
      .key("initializer_range", &B::initializer_range)
      .key("layer_norm_eps", &B::layer_norm_eps)
      .key("image_size", &B::image_size)
      .key("patch_size", &B::patch_size)
      .key("num_channels", &B::num_channels)
      .key("use_mask_token", &B::use_mask_token)
      .key("use_absolute_position_embeddings", &B::use_absolute_position_embeddings)
      .key("use_relative_position_bias", &B::use_relative_position_bias)
      .key("use_shared_relative_position_bias", &B::use_shared_relative_position_bias)
      .key("layer_scale_init_value", &B::layer_scale_init_value)
      .key("drop_path_rate", &B::drop_path_rate)
      .key("use_mean_pooling", &B::use_mean_pooling)
      .key("out_indices", &B::out_indices)
      .key("pool_scales", &B::pool_scales)
      .key("use_auxiliary_head", &B::use_auxiliary_head)
      .key("auxiliary_concat_input", &B::auxiliary_concat_input)
      .key("auxiliary_loss_weight", &B::auxiliary_loss_weight)
      .key("auxiliary_channels", &B::auxiliary_channels)
      .key("auxiliary_num_convs", &B::auxiliary_num_convs)
      .key("semantic_loss_ignore_index", &B::semantic_loss_ignore_index)
      .head_keys();
  using M = hub::BeitModel;
  LayerClass<M> model(m, "BeitModel", "BEiT without a head.");
  model.init([](const B& config, bool pooling) { return std::make_shared<M>(config, pooling); },
             "config"_a, "add_pooling_layer"_a = true);
  bind_masked_forward(model);
  bind_classifier<M>(m, "Beit");
  using S = hub::BeitForSemanticSegmentation;
  LayerClass<S> pixels(m, "BeitForSemanticSegmentation",
                       "BEiT that tells the class of every pixel.");
  pixels.init([](const B& config) { return std::make_shared<S>(config); }, "config"_a);
  bind_labelled_forward(pixels);
  using W = hub::BeitForMaskedImageModeling;
  LayerClass<W>(m, "BeitForMaskedImageModeling", "BEiT that tells what hidden patches stand for.")
      .init([](const B& config) { return std::make_shared<W>(config); }, "config"_a)
      .def(
          "forward",
          [](W& self, Input images, Input masked, Input labels, bool hidden, bool attentions,
             bool interpolate, bool return_dict) {
            return to_python(
                self.forward({images, hidden, attentions, interpolate, masked}, labels),
                return_dict);
          },
          "pixel_values"_a = nb::none(), "bool_masked_pos"_a = nb::none(), "labels"_a = nb::none(),
          "output_hidden_states"_a = false, "output_attentions"_a = false,
          "interpolate_pos_encoding"_a = false, "return_dict"_a = true);
}

}  // namespace

void bind_vit(nb::module_& m) {
  bind_config(m);
  bind_beit(m);
  using V = hub::ViTModel;
  LayerClass<V> model(m, "ViTModel", "ViT, DeiT or DINOv2 without a head.");
  model.init([](const hub::ViTConfig& config, bool pooling,
                bool mask_token) { return std::make_shared<V>(config, pooling, mask_token); },
             "config"_a, "add_pooling_layer"_a = true, "use_mask_token"_a = false);
  bind_masked_forward(model);
  using R = hub::ViTForMaskedImageModeling;
  LayerClass<R> masked(m, "ViTForMaskedImageModeling", "ViT or DeiT that makes images again.");
  masked.init([](const hub::ViTConfig& config) { return std::make_shared<R>(config); }, "config"_a);
  bind_masked_forward(masked);
  bind_classifier<V>(m, "ViT");
  using T = hub::DeiTForImageClassificationWithTeacher;
  LayerClass<T> distilled(m, "DeiTForImageClassificationWithTeacher", "DeiT with both its heads.");
  distilled.init([](const hub::ViTConfig& config) { return std::make_shared<T>(config); },
                 "config"_a);
  bind_forward(distilled);
}
