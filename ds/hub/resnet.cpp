// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/resnet.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/nn/layers_activation.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

std::shared_ptr<nn::Conv2d> conv(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                                 int64_t groups = 1) {
  return image_conv({.in = in, .out = out, .kernel = kernel, .stride = stride, .groups = groups});
}

std::shared_ptr<ResNet> named(const std::string& name, int64_t num_classes) {
  for (const auto& [size, config] : resnets()) {
    if (size != name) continue;
    ResNetConfig changed = config;
    changed.num_classes = num_classes;
    return std::make_shared<ResNet>(changed);
  }
  DS_CHECK(false, InternalError, name, " is no row of resnets()");
}

void check(const ResNetConfig& c) {
  check_image_model("ResNet", c.in_channels, c.num_classes);
  DS_CHECK(!c.layers.empty() && c.layers.size() <= 4, ValueError, "ResNet: ", c.layers.size(),
           " stages; 1 to 4 are possible");
  DS_CHECK(c.width >= 1 && c.cardinality >= 1 && c.base_width >= 1, ValueError, "ResNet: width ",
           c.width, ", cardinality ", c.cardinality, " and base_width ", c.base_width,
           " must be positive");
}

}  // namespace

ResNetBlock::ResNetBlock(const ResNetBlockOptions& o)
    : in_channels(o.in_channels), width(o.width), stride(o.stride), bottleneck(o.bottleneck) {
  const int64_t out = bottleneck ? 4 * width : width, inner = o.inner ? o.inner : width;
  const auto unit = [&](const std::string& number, int64_t from, int64_t to, int64_t kernel,
                        int64_t move, int64_t parts = 1) {
    register_module("conv" + number, conv(from, to, kernel, move, parts));
    add<nn::BatchNorm2d>("bn" + number, to);
  };
  if (bottleneck) {
    unit("1", in_channels, inner, 1, 1);
    unit("2", inner, inner, 3, stride, o.groups);
    unit("3", inner, out, 1, 1);
  } else {
    unit("1", in_channels, width, 3, stride);
    unit("2", width, out, 3, 1);
  }
  if (o.squeeze) {
    // A sixteenth of the channels, in eights.
    const int64_t reduced = std::max<int64_t>(8, (out / 16 + 4) / 8 * 8);
    add_at(*this, "se.fc1", image_conv({.in = out, .out = reduced, .bias = true}));
    add_at(*this, "se.fc2", image_conv({.in = reduced, .out = out, .bias = true}));
  }
  if (stride != 1 || in_channels != out) add_shortcut(out, o.avg_down);
}

void ResNetBlock::add_shortcut(int64_t out, bool avg_down) {
  const auto shortcut = add<nn::Sequential>("downsample");
  if (avg_down && stride == 1) shortcut->append(std::make_shared<nn::Identity>());
  if (avg_down && stride > 1) {
    nn::PoolOptions pool;
    pool.kernel_size = 2;
    pool.stride = stride;
    pool.ceil_mode = true;
    pool.count_include_pad = false;
    shortcut->append(std::make_shared<nn::AvgPool2d>(pool));
  }
  shortcut->append(conv(in_channels, out, 1, avg_down ? 1 : stride));
  shortcut->append(std::make_shared<nn::BatchNorm2d>(out));
}

Tensor ResNetBlock::forward(const Tensor& x) {
  const auto unit = [&](const char* c, const char* b, const Tensor& in) {
    return (*child(b))((*child(c))(in));
  };
  Tensor y = unit("conv2", "bn2", relu(unit("conv1", "bn1", x)));
  if (bottleneck) y = unit("conv3", "bn3", relu(y));
  if (has_child("se")) {
    nn::Module& se = *child("se");
    y = y * sigmoid(call_at(se, "fc2", relu(call_at(se, "fc1", adaptive_avg_pool2d(y, 1)))));
  }
  return relu(y + (has_child("downsample") ? (*child("downsample"))(x) : x));
}

ResNet::ResNet(const ResNetConfig& config) : config_(config) {
  const ResNetConfig& c = config_;
  check(c);
  add_stem();
  int64_t in = c.width;
  for (size_t i = 0; i < 4; ++i) {
    const auto stage = add<nn::Sequential>("layer" + std::to_string(i + 1));
    const int64_t width = c.width << i, blocks = i < c.layers.size() ? c.layers[i] : 0;
    const int64_t inner = width * c.base_width / 64 * c.cardinality;
    for (int64_t block = 0; block < blocks; ++block) {
      stage->append(
          std::make_shared<ResNetBlock>(ResNetBlockOptions{.in_channels = in,
                                                           .width = width,
                                                           .stride = block == 0 && i > 0 ? 2 : 1,
                                                           .bottleneck = c.bottleneck,
                                                           .inner = inner,
                                                           .groups = c.cardinality,
                                                           .avg_down = c.avg_down,
                                                           .squeeze = c.squeeze}));
      in = c.bottleneck ? 4 * width : width;
    }
  }
  if (c.num_classes > 0)
    add<nn::Linear>("fc", in, c.num_classes);
  else
    add<nn::Identity>("fc");
}

void ResNet::add_stem() {
  const ResNetConfig& c = config_;
  if (c.deep_stem) {
    const int64_t half = c.width / 2;
    const auto stem = add<nn::Sequential>("conv1");
    for (const auto& [from, stride] : {std::pair(c.in_channels, 2), std::pair(half, 1)}) {
      stem->append(conv(from, half, 3, stride));
      stem->append(std::make_shared<nn::BatchNorm2d>(half));
      stem->append(std::make_shared<nn::ReLU>());
    }
    stem->append(conv(half, c.width, 3, 1));
  } else {
    register_module("conv1", c.small_input ? conv(c.in_channels, c.width, 3, 1)
                                           : conv(c.in_channels, c.width, 7, 2));
  }
  add<nn::BatchNorm2d>("bn1", c.width);
}

Tensor ResNet::forward(const Tensor& x) {
  check_images("ResNet", x, config_.in_channels);
  Tensor y = relu((*child("bn1"))((*child("conv1"))(x)));
  if (!config_.small_input) y = max_pool2d(y, 3, 2, 1);
  for (const char* stage : {"layer1", "layer2", "layer3", "layer4"}) y = (*child(stage))(y);
  return (*child("fc"))(average_pixels(y));
}

std::shared_ptr<ResNet> resnet18(int64_t num_classes) { return named("resnet18", num_classes); }
std::shared_ptr<ResNet> resnet34(int64_t num_classes) { return named("resnet34", num_classes); }
std::shared_ptr<ResNet> resnet50(int64_t num_classes) { return named("resnet50", num_classes); }
std::shared_ptr<ResNet> resnet101(int64_t num_classes) { return named("resnet101", num_classes); }
std::shared_ptr<ResNet> resnet152(int64_t num_classes) { return named("resnet152", num_classes); }

std::shared_ptr<ResNet> resnet8(int64_t num_classes, int64_t in_channels) {
  ResNetConfig config = resnets().front().second;
  config.num_classes = num_classes;
  config.in_channels = in_channels;
  return std::make_shared<ResNet>(config);
}

}  // namespace ds::hub
