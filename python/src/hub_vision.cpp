// SPDX-License-Identifier: Apache-2.0
// Image models, in the submodule _hub.
#include "ds/hub/convnext.h"
#include "ds/hub/densenet.h"
#include "ds/hub/efficientnet.h"
#include "ds/hub/resnet.h"
#include "ds/hub/swin.h"
#include "ds/hub/vgg.h"
#include "ds/hub/vision_transformer.h"
#include "hub_config.h"

namespace {

namespace hub = ds::hub;

/// A model that is made of its configuration.
template <class M, class C>
void bind_model(nb::module_& m, const char* name, const char* doc) {
  LayerClass<M>(m, name, doc)
      .init([](const C& config) { return std::make_shared<M>(config); }, "config"_a)
      .argument("config", [](const M& self) { return self.config(); })
      .forward();
}

void bind_transformers(nb::module_& m) {
  using V = hub::VisionTransformerConfig;
  ConfigClass<V>(m, "VisionTransformerConfig")
      .key("img_size", &V::img_size)
      .key("patch_size", &V::patch_size)
      .key("in_channels", &V::in_channels)
      .key("num_classes", &V::num_classes)
      .key("global_pool", &V::global_pool)
      .key("embed_dim", &V::embed_dim)
      .key("depth", &V::depth)
      .key("num_heads", &V::num_heads)
      .key("mlp_ratio", &V::mlp_ratio)
      .key("init_values", &V::init_values)
      .key("no_embed_class", &V::no_embed_class)
      .key("distilled", &V::distilled)
      .key("reg_tokens", &V::reg_tokens)
      .key("pre_norm", &V::pre_norm)
      .key("act_layer", &V::act_layer)
      .key("norm_eps", &V::norm_eps)
      .key("drop_rate", &V::drop_rate)
      .key("pos_drop_rate", &V::pos_drop_rate)
      .key("attn_drop_rate", &V::attn_drop_rate)
      .key("drop_path_rate", &V::drop_path_rate)
      .sizes(hub::vision_transformers());
  bind_model<hub::VisionTransformer, V>(m, "VisionTransformer", "ViT, DeiT and DINOv2.");
  using S = hub::SwinConfig;
  ConfigClass<S>(m, "SwinTransformerConfig")
      .key("img_size", &S::img_size)
      .key("patch_size", &S::patch_size)
      .key("in_channels", &S::in_channels)
      .key("num_classes", &S::num_classes)
      .key("embed_dim", &S::embed_dim)
      .key("depths", &S::depths)
      .key("num_heads", &S::num_heads)
      .key("window_size", &S::window_size)
      .key("mlp_ratio", &S::mlp_ratio)
      .key("drop_rate", &S::drop_rate)
      .key("attn_drop_rate", &S::attn_drop_rate)
      .key("drop_path_rate", &S::drop_path_rate)
      .sizes(hub::swins());
  bind_model<hub::SwinTransformer, S>(m, "SwinTransformer", "Swin Transformer.");
  LayerClass<hub::LayerScale>(m, "LayerScale", "A learned number a channel.").forward();
  LayerClass<hub::SwinBlock>(m, "SwinTransformerBlock", "Attention within windows.").forward();
  LayerClass<hub::PatchMerging>(m, "PatchMerging", "Joins 2x2 patches.").forward();
  LayerClass<hub::SwinStage>(m, "SwinTransformerStage", "Blocks of one size.").forward();
}

void bind_resnet(nb::module_& m) {
  using hub::ResNetBlock;
  LayerClass<ResNetBlock>(m, "ResNetBlock", "A block of a residual network.")
      .factory(
          [](int64_t in_channels, int64_t width, int64_t stride, bool bottleneck) {
            return std::make_shared<ResNetBlock>(
                hub::ResNetBlockOptions{in_channels, width, stride, bottleneck});
          },
          "in_channels"_a, "width"_a, "stride"_a = 1, "bottleneck"_a = false)
      .field("in_channels", &ResNetBlock::in_channels)
      .field("width", &ResNetBlock::width)
      .field("stride", &ResNetBlock::stride)
      .field("bottleneck", &ResNetBlock::bottleneck)
      .forward();
  using R = hub::ResNetConfig;
  ConfigClass<R>(m, "ResNetConfig")
      .key("layers", &R::layers)
      .key("bottleneck", &R::bottleneck)
      .key("num_classes", &R::num_classes)
      .key("in_channels", &R::in_channels)
      .key("width", &R::width)
      .key("small_input", &R::small_input)
      .key("cardinality", &R::cardinality)
      .key("base_width", &R::base_width)
      .key("deep_stem", &R::deep_stem)
      .key("avg_down", &R::avg_down)
      .key("squeeze", &R::squeeze)
      .sizes(hub::resnets());
  bind_model<hub::ResNet, R>(m, "ResNet", "Residual network, ResNeXt and Wide ResNet.");
}

void bind_older(nb::module_& m) {
  using V = hub::VGGConfig;
  ConfigClass<V>(m, "VGGConfig")
      .key("layers", &V::layers)
      .key("batch_norm", &V::batch_norm)
      .key("num_classes", &V::num_classes)
      .key("in_channels", &V::in_channels)
      .key("mlp_ratio", &V::mlp_ratio)
      .key("drop_rate", &V::drop_rate)
      .sizes(hub::vggs());
  bind_model<hub::VGG, V>(m, "VGG", "VGG.");
  using D = hub::DenseNetConfig;
  ConfigClass<D>(m, "DenseNetConfig")
      .key("growth_rate", &D::growth_rate)
      .key("block_config", &D::block_config)
      .key("num_classes", &D::num_classes)
      .key("in_channels", &D::in_channels)
      .key("drop_rate", &D::drop_rate)
      .sizes(hub::densenets());
  bind_model<hub::DenseNet, D>(m, "DenseNet", "DenseNet.");
  LayerClass<hub::DenseLayer>(m, "DenseLayer", "Adds channels to its input.").forward();
  LayerClass<hub::DenseTransition>(m, "DenseTransition", "Halves channels and pixels.").forward();
}

void bind_convolutional(nb::module_& m) {
  using E = hub::EfficientNetConfig;
  ConfigClass<E>(m, "EfficientNetConfig")
      .key("variant", &E::variant)
      .key("channel_multiplier", &E::channel_multiplier)
      .key("depth_multiplier", &E::depth_multiplier)
      .key("fix_stem_head", &E::fix_stem_head)
      .key("in_channels", &E::in_channels)
      .key("num_classes", &E::num_classes)
      .key("same_padding", &E::same_padding)
      .key("bn_eps", &E::bn_eps)
      .key("drop_rate", &E::drop_rate)
      .key("drop_path_rate", &E::drop_path_rate)
      .sizes(hub::efficientnets());
  bind_model<hub::EfficientNet, E>(m, "EfficientNet", "MobileNetV2 and V3, EfficientNet.");
  using C = hub::ConvNeXtConfig;
  ConfigClass<C>(m, "ConvNeXtConfig")
      .key("in_channels", &C::in_channels)
      .key("num_classes", &C::num_classes)
      .key("depths", &C::depths)
      .key("dims", &C::dims)
      .key("ls_init_value", &C::ls_init_value)
      .key("conv_mlp", &C::conv_mlp)
      .key("use_grn", &C::use_grn)
      .key("head_hidden_size", &C::head_hidden_size)
      .key("norm_eps", &C::norm_eps)
      .key("drop_rate", &C::drop_rate)
      .key("drop_path_rate", &C::drop_path_rate)
      .sizes(hub::convnexts());
  bind_model<hub::ConvNeXt, C>(m, "ConvNeXt", "ConvNeXt and ConvNeXt V2.");
  LayerClass<hub::LayerNorm2d>(m, "LayerNorm2d", "LayerNorm over channels.").forward();
  LayerClass<hub::Conv2dSame>(m, "Conv2dSame", "Convolution padded as TensorFlow does.").forward();
  LayerClass<hub::MobileBlock>(m, "MobileBlock", "A depthwise block.").forward();
  LayerClass<hub::GlobalResponseNorm>(m, "GlobalResponseNorm", "Norms over their mean.").forward();
  LayerClass<hub::ConvNeXtBlock>(m, "ConvNeXtBlock", "A 7x7 convolution and a network.").forward();
  LayerClass<hub::ConvNeXtStage>(m, "ConvNeXtStage", "Blocks of one size.").forward();
}

}  // namespace

void bind_image_models(nb::module_& m) {
  bind_transformers(m);
  bind_resnet(m);
  bind_convolutional(m);
  bind_older(m);
}
