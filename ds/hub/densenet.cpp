// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/densenet.h"

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// A convolution of what is normalised and cut at zero first.
Tensor pre_activated(nn::Module& module, const char* norm, const char* conv, const Tensor& x) {
  return (*module.child(conv))(relu((*module.child(norm))(x)));
}

}  // namespace

DenseLayer::DenseLayer(int64_t in, int64_t growth) {
  // The 1x1 convolution leaves four times what is added.
  add<nn::BatchNorm2d>("norm1", in);
  register_module("conv1", image_conv({.in = in, .out = 4 * growth}));
  add<nn::BatchNorm2d>("norm2", 4 * growth);
  register_module("conv2", image_conv({.in = 4 * growth, .out = growth, .kernel = 3}));
}

Tensor DenseLayer::forward(const Tensor& x) {
  const Tensor narrow = pre_activated(*this, "norm1", "conv1", x);
  return cat({x, pre_activated(*this, "norm2", "conv2", narrow)}, 1);
}

DenseTransition::DenseTransition(int64_t in) {
  add<nn::BatchNorm2d>("norm", in);
  register_module("conv", image_conv({.in = in, .out = in / 2}));
}

Tensor DenseTransition::forward(const Tensor& x) {
  return avg_pool2d(pre_activated(*this, "norm", "conv", x), 2, 2);
}

DenseNet::DenseNet(const DenseNetConfig& config) : config_(config) {
  const DenseNetConfig& c = config_;
  check_image_model("DenseNet", c.in_channels, c.num_classes);
  DS_CHECK(c.growth_rate >= 1 && !c.block_config.empty(), ValueError, "DenseNet: growth_rate ",
           c.growth_rate, " must be positive and block_config not empty");
  const auto features = add<Group>("features");
  int64_t channels = 2 * c.growth_rate;
  features->register_module(
      "conv0", image_conv({.in = c.in_channels, .out = channels, .kernel = 7, .stride = 2}));
  features->add<nn::BatchNorm2d>("norm0", channels);
  for (size_t i = 0; i < c.block_config.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    const auto block = features->add<Group>("denseblock" + number);
    for (int64_t layer = 0; layer < c.block_config[i]; ++layer) {
      block->add<DenseLayer>("denselayer" + std::to_string(layer + 1), channels, c.growth_rate);
      channels += c.growth_rate;
    }
    if (i + 1 == c.block_config.size()) break;
    features->add<DenseTransition>("transition" + number, channels);
    channels /= 2;
  }
  features->add<nn::BatchNorm2d>("norm5", channels);
  register_module("classifier", classifier(channels, c.num_classes));
}

Tensor DenseNet::forward(const Tensor& x) {
  check_images("DenseNet", x, config_.in_channels);
  nn::Module& features = *child("features");
  Tensor y = relu(call_at(features, "norm0", call_at(features, "conv0", x)));
  y = max_pool2d(y, 3, 2, 1);
  for (size_t i = 1; i <= config_.block_config.size(); ++i) {
    for (const auto& [name, layer] :
         features.child("denseblock" + std::to_string(i))->named_children())
      y = (*layer)(y);
    const std::string transition = "transition" + std::to_string(i);
    if (features.has_child(transition)) y = call_at(features, transition, y);
  }
  y = average_pixels(relu(call_at(features, "norm5", y)));
  return (*child("classifier"))(dropout(y, config_.drop_rate, is_training()));
}

const NamedSizes<DenseNetConfig>& densenets() {
  const auto dense = [](std::vector<int64_t> blocks, int64_t growth = 32) {
    return DenseNetConfig{.growth_rate = growth, .block_config = std::move(blocks)};
  };
  static const NamedSizes<DenseNetConfig> sizes = {
      {"densenet121", dense({6, 12, 24, 16})},
      {"densenet161", dense({6, 12, 36, 24}, 48)},
      {"densenet169", dense({6, 12, 32, 32})},
      {"densenet201", dense({6, 12, 48, 32})},
  };
  return sizes;
}

}  // namespace ds::hub
