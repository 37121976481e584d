// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/vgg.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/nn/layers_activation.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr int64_t kChannels[] = {64, 128, 256, 512, 512};
constexpr int64_t kWide = 4096;
constexpr int64_t kSide = 7;  // pixels of a side that the wide layers see

std::shared_ptr<nn::Conv2d> conv(int64_t in, int64_t out, int64_t kernel, int64_t padding) {
  nn::ConvOptions o{in, out, kernel};
  o.padding = padding;
  return std::make_shared<nn::Conv2d>(o);
}

}  // namespace

VGG::VGG(const VGGConfig& config) : config_(config) {
  const VGGConfig& c = config_;
  check_image_model("VGG", c.in_channels, c.num_classes);
  const auto middle = static_cast<int64_t>(kWide * c.mlp_ratio);
  DS_CHECK(c.layers.size() == 5 && middle >= 1, ValueError, "VGG: ", c.layers.size(),
           " stages and mlp_ratio ", c.mlp_ratio, "; 5 stages and a positive ratio are expected");
  const auto features = add<nn::Sequential>("features");
  int64_t in = c.in_channels;
  for (size_t stage = 0; stage < 5; ++stage) {
    for (int64_t i = 0; i < c.layers[stage]; ++i) {
      const auto layer = image_conv({.in = in, .out = kChannels[stage], .kernel = 3, .bias = true});
      features->append(layer);
      in = kChannels[stage];
      if (c.batch_norm) features->append(std::make_shared<nn::BatchNorm2d>(in));
      features->append(std::make_shared<nn::ReLU>());
    }
    nn::PoolOptions pool;
    pool.kernel_size = 2;
    pool.stride = 2;
    features->append(std::make_shared<nn::MaxPool2d>(pool));
  }
  add_at(*this, "pre_logits.fc1", conv(in, middle, kSide, 0));
  add_at(*this, "pre_logits.fc2", conv(middle, kWide, 1, 0));
  add_at(*this, "head.fc", classifier(kWide, c.num_classes));
}

Tensor VGG::forward(const Tensor& x) {
  check_images("VGG", x, config_.in_channels);
  Tensor y = (*child("features"))(x);
  if (y.size(2) < kSide || y.size(3) < kSide)
    y = adaptive_avg_pool2d(y, {std::max(kSide, y.size(2)), std::max(kSide, y.size(3))});
  y = relu(call_at(*this, "pre_logits.fc1", y));
  y = relu(call_at(*this, "pre_logits.fc2", dropout(y, config_.drop_rate, is_training())));
  return call_at(*this, "head.fc", dropout(average_pixels(y), config_.drop_rate, is_training()));
}

const NamedSizes<VGGConfig>& vggs() {
  static const NamedSizes<VGGConfig> sizes = [] {
    NamedSizes<VGGConfig> all;
    const auto both = [&](const std::string& name, std::vector<int64_t> layers) {
      all.emplace_back(name, VGGConfig{.layers = layers});
      all.emplace_back(name + "_bn", VGGConfig{.layers = layers, .batch_norm = true});
    };
    both("vgg11", {1, 1, 2, 2, 2});
    both("vgg13", {2, 2, 2, 2, 2});
    both("vgg16", {2, 2, 3, 3, 3});
    both("vgg19", {2, 2, 4, 4, 4});
    return all;
  }();
  return sizes;
}

}  // namespace ds::hub
