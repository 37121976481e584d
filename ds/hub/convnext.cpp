// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/convnext.h"

#include <algorithm>
#include <numeric>

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

std::shared_ptr<nn::Conv2d> conv(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                                 int64_t padding = 0, int64_t groups = 1) {
  nn::ConvOptions o{in, out, kernel};
  o.stride = stride;
  o.padding = padding;
  o.groups = groups;
  const auto layer = std::make_shared<nn::Conv2d>(o);
  nn::init::trunc_normal_(layer->parameter("weight"), 0.0, 0.02);
  nn::init::zeros_(layer->parameter("bias"));
  return layer;
}

nn::ModulePtr pixel_layer(int64_t in, int64_t out, bool as_conv) {
  if (as_conv) return conv(in, out, 1, 1);
  return classifier(in, out);
}

void check(const ConvNeXtConfig& c) {
  check_image_model("ConvNeXt", c.in_channels, c.num_classes);
  DS_CHECK(c.depths.size() == 4 && c.dims.size() == 4, ValueError, "ConvNeXt: ", c.depths.size(),
           " depths and ", c.dims.size(), " dims; 4 of each are expected");
  DS_CHECK(*std::min_element(c.depths.begin(), c.depths.end()) >= 0 &&
               *std::min_element(c.dims.begin(), c.dims.end()) >= 1,
           ValueError, "ConvNeXt: depths must not be negative and dims be positive");
}

}  // namespace

GlobalResponseNorm::GlobalResponseNorm(const Shape& shape, bool channels_first)
    : channels_first_(channels_first) {
  for (const char* name : {"weight", "bias"}) register_parameter(name, clone(zeros(shape)));
}

Tensor GlobalResponseNorm::forward(const Tensor& x) {
  const Dims pixels = channels_first_ ? Dims{2, 3} : Dims{1, 2};
  const int64_t channel = channels_first_ ? 1 : -1;
  const auto wide = [&](const char* name) {
    const Tensor& p = parameter(name);
    return channels_first_ ? reshape(p, {1, -1, 1, 1}) : p;
  };
  const Tensor norms = vector_norm(x, 2, pixels, true);
  const Tensor relative = norms / (mean(norms, channel, true) + 1e-6);
  return x + wide("bias") + wide("weight") * (x * relative);
}

ConvNeXtBlock::ConvNeXtBlock(int64_t channels, const ConvNeXtConfig& c, double drop,
                             const ConvNeXtNames& names, std::string activation)
    : conv_mlp_(c.conv_mlp),
      response_norm_(c.use_grn),
      drop_path_(drop),
      names_(names),
      activation_(std::move(activation)) {
  activate(activation_, zeros({1}));  // an unknown one is told now
  const int64_t wide = 4 * channels;
  add_at(*this, names_.depthwise, conv(channels, channels, 7, 1, 3, channels));
  if (c.conv_mlp)
    add<LayerNorm2d>(names_.norm, channels, c.norm_eps);
  else
    add<nn::LayerNorm>(names_.norm, Shape{channels}, c.norm_eps);
  add_at(*this, names_.up, pixel_layer(channels, wide, c.conv_mlp));
  if (c.use_grn)
    add_at(*this, names_.response_norm,
           std::make_shared<GlobalResponseNorm>(
               names_.wide_norm ? Shape{1, 1, 1, wide} : Shape{wide}, c.conv_mlp));
  add_at(*this, names_.down, pixel_layer(wide, channels, c.conv_mlp));
  if (c.ls_init_value)
    nn::init::constant_(register_parameter(names_.scale, empty({channels})), *c.ls_init_value);
}

Tensor ConvNeXtBlock::forward(const Tensor& x) {
  Tensor y = call_at(*this, names_.depthwise, x);
  if (!conv_mlp_) y = permute(y, {0, 2, 3, 1});
  y = activate(activation_, call_at(*this, names_.up, call_at(*this, names_.norm, y)));
  if (response_norm_) y = call_at(*this, names_.response_norm, y);
  y = call_at(*this, names_.down, y);
  if (!conv_mlp_) y = permute(y, {0, 3, 1, 2});
  if (has_parameter(names_.scale)) y = y * reshape(parameter(names_.scale), {1, -1, 1, 1});
  return drop_path(y, drop_path_, is_training()) + x;
}

ConvNeXtStage::ConvNeXtStage(int64_t in, int64_t out, const ConvNeXtConfig& config,
                             const std::vector<double>& drop_paths) {
  if (in != out) {
    const auto downsample = add<nn::Sequential>("downsample");
    downsample->append(std::make_shared<LayerNorm2d>(in, config.norm_eps));
    downsample->append(conv(in, out, 2, 2));
  }
  const auto blocks = add<nn::Sequential>("blocks");
  for (const double drop : drop_paths)
    blocks->append(std::make_shared<ConvNeXtBlock>(out, config, drop));
}

Tensor ConvNeXtStage::forward(const Tensor& x) {
  return (*child("blocks"))(has_child("downsample") ? (*child("downsample"))(x) : x);
}

ConvNeXt::ConvNeXt(const ConvNeXtConfig& config) : config_(config) {
  check(config);
  const ConvNeXtConfig& c = config_;
  const auto stem = add<nn::Sequential>("stem");
  stem->append(conv(c.in_channels, c.dims[0], 4, 4));
  stem->append(std::make_shared<LayerNorm2d>(c.dims[0], c.norm_eps));
  const auto stages = add<nn::Sequential>("stages");
  const int64_t count = std::accumulate(c.depths.begin(), c.depths.end(), int64_t{0});
  int64_t in = c.dims[0], index = 0;
  for (size_t i = 0; i < 4; ++i) {
    std::vector<double> drops;
    for (int64_t b = 0; b < c.depths[i]; ++b, ++index)
      drops.push_back(drop_path_rate_of(c.drop_path_rate, index, count));
    stages->append(std::make_shared<ConvNeXtStage>(in, c.dims[i], c, drops));
    in = c.dims[i];
  }
  add_at(*this, "head.norm", std::make_shared<LayerNorm2d>(in, c.norm_eps));
  if (c.head_hidden_size) add_at(*this, "head.pre_logits.fc", classifier(in, c.head_hidden_size));
  add_at(*this, "head.fc", classifier(c.head_hidden_size ? c.head_hidden_size : in, c.num_classes));
}

Tensor ConvNeXt::forward(const Tensor& x) {
  check_images("ConvNeXt", x, config_.in_channels);
  const Tensor features = (*child("stages"))((*child("stem"))(x));
  nn::Module& head = *child("head");
  Tensor y = flatten(call_at(head, "norm", adaptive_avg_pool2d(features, 1)), 1);
  if (config_.head_hidden_size) y = gelu(call_at(head, "pre_logits.fc", y));
  return call_at(head, "fc", dropout(y, config_.drop_rate, is_training()));
}

const NamedSizes<ConvNeXtConfig>& convnexts() {
  using List = std::vector<int64_t>;
  const auto v1 = [](List depths, int64_t width, bool conv_mlp = false, int64_t hidden = 0) {
    return ConvNeXtConfig{.depths = std::move(depths),
                          .dims = {width, 2 * width, 4 * width, 8 * width},
                          .conv_mlp = conv_mlp,
                          .head_hidden_size = hidden};
  };
  const auto v2 = [&](List depths, int64_t width, bool conv_mlp = false) {
    ConvNeXtConfig c = v1(std::move(depths), width, conv_mlp);
    c.ls_init_value = std::nullopt;
    c.use_grn = true;
    return c;
  };
  static const NamedSizes<ConvNeXtConfig> sizes = {
      {"convnext_atto", v1({2, 2, 6, 2}, 40, true)},
      {"convnext_femto", v1({2, 2, 6, 2}, 48, true)},
      {"convnext_pico", v1({2, 2, 6, 2}, 64, true)},
      {"convnext_nano", v1({2, 2, 8, 2}, 80, true)},
      {"convnext_tiny", v1({3, 3, 9, 3}, 96)},
      {"convnext_small", v1({3, 3, 27, 3}, 96)},
      {"convnext_base", v1({3, 3, 27, 3}, 128)},
      {"convnext_large", v1({3, 3, 27, 3}, 192)},
      {"convnext_large_mlp", v1({3, 3, 27, 3}, 192, false, 1536)},
      {"convnext_xlarge", v1({3, 3, 27, 3}, 256)},
      {"convnextv2_atto", v2({2, 2, 6, 2}, 40, true)},
      {"convnextv2_femto", v2({2, 2, 6, 2}, 48, true)},
      {"convnextv2_pico", v2({2, 2, 6, 2}, 64, true)},
      {"convnextv2_nano", v2({2, 2, 8, 2}, 80, true)},
      {"convnextv2_tiny", v2({3, 3, 9, 3}, 96)},
      {"convnextv2_base", v2({3, 3, 27, 3}, 128)},
      {"convnextv2_large", v2({3, 3, 27, 3}, 192)},
      {"convnextv2_huge", v2({3, 3, 27, 3}, 352)},
  };
  return sizes;
}

}  // namespace ds::hub
