// SPDX-License-Identifier: Apache-2.0
// transformers' ResNet, ConvNeXt and Swin, in the submodule _hub.
#include "ds/hub/image_bodies.h"
#include "hub_config.h"

namespace {

namespace hub = ds::hub;
using Input = std::optional<ds::Tensor>;

void bind_configs(nb::module_& m) {
  using R = hub::ResNetModelConfig;
  ConfigClass<R>(m, "ResNetModelConfig")
      .key("model_type", &R::model_type)
      .key("num_channels", &R::num_channels)
      .key("embedding_size", &R::embedding_size)
      .key("hidden_sizes", &R::hidden_sizes)
      .key("depths", &R::depths)
      .key("layer_type", &R::layer_type)
      .key("hidden_act", &R::hidden_act)
      .key("downsample_in_first_stage", &R::downsample_in_first_stage)
      .key("downsample_in_bottleneck", &R::downsample_in_bottleneck)
      .head_keys();
  using C = hub::ConvNextModelConfig;
  ConfigClass<C>(m, "ConvNextModelConfig")
      .key("model_type", &C::model_type)
      .key("num_channels", &C::num_channels)
      .key("patch_size", &C::patch_size)
      .key("hidden_sizes", &C::hidden_sizes)
      .key("depths", &C::depths)
      .key("hidden_act", &C::hidden_act)
      .key("initializer_range", &C::initializer_range)
      .key("layer_norm_eps", &C::layer_norm_eps)
      .key("layer_scale_init_value", &C::layer_scale_init_value)
      .key("drop_path_rate", &C::drop_path_rate)
      .head_keys();
  using S = hub::SwinModelConfig;
  ConfigClass<S>(m, "SwinModelConfig")
      .key("model_type", &S::model_type)
      .key("image_size", &S::image_size)
      .key("patch_size", &S::patch_size)
      .key("num_channels", &S::num_channels)
      .key("embed_dim", &S::embed_dim)
      .key("depths", &S::depths)
      .key("num_heads", &S::num_heads)
      .key("window_size", &S::window_size)
      .key("mlp_ratio", &S::mlp_ratio)
      .key("qkv_bias", &S::qkv_bias)
      .key("use_absolute_embeddings", &S::use_absolute_embeddings)
      .key("hidden_dropout_prob", &S::hidden_dropout_prob)
      .key("attention_probs_dropout_prob", &S::attention_probs_dropout_prob)
      .key("drop_path_rate", &S::drop_path_rate)
      .key("hidden_act", &S::hidden_act)
      .key("initializer_range", &S::initializer_range)
      .key("layer_norm_eps", &S::layer_norm_eps)
      .head_keys();
}

/// A body and what tells classes above it. What a family has none of, such as attentions, is not
/// in its output.
template <class Body>
void bind_family(nb::module_& m, const std::string& name) {
  LayerClass<Body> body(m, (name + "Model").c_str(), "A model of images without a head.");
  if constexpr (std::is_constructible_v<Body, const typename Body::Config&, bool>)
    body.init([](const typename Body::Config& config,
                 bool pooling) { return std::make_shared<Body>(config, pooling); },
              "config"_a, "add_pooling_layer"_a = true);
  else
    body.init([](const typename Body::Config& config) { return std::make_shared<Body>(config); },
              "config"_a);
  body.def(
      "forward",
      [](Body& self, Input images, bool hidden, bool attentions, bool interpolate,
         bool return_dict) {
        return to_python(self.forward({images, hidden, attentions, interpolate}), return_dict);
      },
      "pixel_values"_a = nb::none(), "output_hidden_states"_a = false,
      "output_attentions"_a = false, "interpolate_pos_encoding"_a = false, "return_dict"_a = true);
  using Head = hub::ImageClassifier<Body>;
  LayerClass<Head>(m, (name + "ForImageClassification").c_str(), "Tells classes of images.")
      .init([](const typename Body::Config& config) { return std::make_shared<Head>(config); },
            "config"_a)
      .def(
          "forward",
          [](Head& self, Input images, Input labels, bool hidden, bool attentions, bool interpolate,
             bool return_dict) {
            return to_python(self.forward({images, hidden, attentions, interpolate}, labels),
                             return_dict);
          },
          "pixel_values"_a = nb::none(), "labels"_a = nb::none(), "output_hidden_states"_a = false,
          "output_attentions"_a = false, "interpolate_pos_encoding"_a = false,
          "return_dict"_a = true);
}

}  // namespace

void bind_image_bodies(nb::module_& m) {
  bind_configs(m);
  bind_family<hub::ResNetModel>(m, "ResNet");
  bind_family<hub::ConvNextModel>(m, "ConvNext");
  bind_family<hub::SwinModel>(m, "Swin");
}
