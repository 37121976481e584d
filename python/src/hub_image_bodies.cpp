// SPDX-License-Identifier: Apache-2.0
// transformers' ResNet, ConvNeXt, Swin, MobileNetV2, EfficientNet and SegFormer, in the submodule
// _hub.
#include "hub_image.h"

namespace {

namespace hub = ds::hub;

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

void bind_mobile_configs(nb::module_& m) {
  using C = hub::MobileNetV2ModelConfig;
  ConfigClass<C>(m, "MobileNetV2ModelConfig")
      .key("num_channels", &C::num_channels)
      .key("depth_multiplier", &C::depth_multiplier)
      .key("depth_divisible_by", &C::depth_divisible_by)
      .key("min_depth", &C::min_depth)
      .key("expand_ratio", &C::expand_ratio)
      .key("output_stride", &C::output_stride)
      .key("first_layer_is_expansion", &C::first_layer_is_expansion)
      .key("finegrained_output", &C::finegrained_output)
      .key("hidden_act", &C::hidden_act)
      .key("tf_padding", &C::tf_padding)
      .key("classifier_dropout_prob", &C::classifier_dropout_prob)
      .key("layer_norm_eps", &C::layer_norm_eps)
      .key("initializer_range", &C::initializer_range)
      .head_keys();
  using E = hub::EfficientNetModelConfig;
  ConfigClass<E>(m, "EfficientNetModelConfig")
      .key("num_channels", &E::num_channels)
      .key("width_coefficient", &E::width_coefficient)
      .key("depth_coefficient", &E::depth_coefficient)
      .key("depth_divisor", &E::depth_divisor)
      .key("kernel_sizes", &E::kernel_sizes)
      .key("in_channels", &E::in_channels)
      .key("out_channels", &E::out_channels)
      .key("depthwise_padding", &E::depthwise_padding)
      .key("strides", &E::strides)
      .key("num_block_repeats", &E::num_block_repeats)
      .key("expand_ratios", &E::expand_ratios)
      .key("squeeze_expansion_ratio", &E::squeeze_expansion_ratio)
      .key("hidden_act", &E::hidden_act)
      .key("hidden_dim", &E::hidden_dim)
      .key("pooling_type", &E::pooling_type)
      .key("initializer_range", &E::initializer_range)
      .key("batch_norm_eps", &E::batch_norm_eps)
      .key("batch_norm_momentum", &E::batch_norm_momentum)
      .key("dropout_rate", &E::dropout_rate)
      .key("drop_connect_rate", &E::drop_connect_rate)
      .head_keys();
}

void bind_segformer(nb::module_& m) {
  using C = hub::SegformerConfig;
  ConfigClass<C>(m, "SegformerConfig")
      .key("num_channels", &C::num_channels)
      .key("num_encoder_blocks", &C::num_encoder_blocks)
      .key("depths", &C::depths)
      .key("hidden_sizes", &C::hidden_sizes)
      .key("sr_ratios", &C::sr_ratios)
      .key("patch_sizes", &C::patch_sizes)
      .key("strides", &C::strides)
      .key("num_attention_heads", &C::num_attention_heads)
      .key("mlp_ratios", &C::mlp_ratios)
      .key("hidden_act", &C::hidden_act)
      .key("hidden_dropout_prob", &C::hidden_dropout_prob)
      .key("attention_probs_dropout_prob", &C::attention_probs_dropout_prob)
      .key("classifier_dropout_prob", &C::classifier_dropout_prob)
      .key("initializer_range", &C::initializer_range)
      .key("drop_path_rate", &C::drop_path_rate)
      .key("decoder_hidden_size", &C::decoder_hidden_size)
      .key("semantic_loss_ignore_index", &C::semantic_loss_ignore_index)
      .key("reshape_last_stage", &C::reshape_last_stage)
      .head_keys();
  using M = hub::SegformerForSemanticSegmentation;
  LayerClass<M> told(m, "SegformerForSemanticSegmentation",
                     "SegFormer that tells the class of every pixel.");
  told.init([](const C& config) { return std::make_shared<M>(config); }, "config"_a);
  bind_labelled_forward(told);
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
  bind_forward(body);
  bind_classifier<Body>(m, name);
}

}  // namespace

void bind_image_bodies(nb::module_& m) {
  bind_configs(m);
  bind_mobile_configs(m);
  bind_segformer(m);
  bind_family<hub::ResNetModel>(m, "ResNet");
  bind_family<hub::ConvNextModel>(m, "ConvNext");
  bind_family<hub::SwinModel>(m, "Swin");
  bind_family<hub::MobileNetV2Model>(m, "MobileNetV2");
  bind_family<hub::EfficientNetModel>(m, "EfficientNet");
  bind_family<hub::SegformerModel>(m, "Segformer");
}
