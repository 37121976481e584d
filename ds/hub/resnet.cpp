// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/resnet.h"

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// Without bias, drawn for the ReLU behind it.
std::shared_ptr<nn::Conv2d> conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  nn::ConvOptions o{in, out, kernel};
  o.stride = stride;
  o.padding = kernel / 2;
  o.bias = false;
  auto layer = std::make_shared<nn::Conv2d>(o);
  nn::init::kaiming_normal_(layer->parameter("weight"), 0, "fan_out", "relu");
  return layer;
}

std::shared_ptr<ResNet> make(std::array<int64_t, 4> layers, bool bottleneck, int64_t num_classes) {
  ResNetOptions options;
  options.layers = layers;
  options.bottleneck = bottleneck;
  options.num_classes = num_classes;
  return std::make_shared<ResNet>(options);
}

}  // namespace

ResNetBlock::ResNetBlock(int64_t in, int64_t w, int64_t step, bool wide)
    : in_channels(in), width(w), stride(step), bottleneck(wide) {
  const int64_t out = bottleneck ? 4 * width : width;
  const auto unit = [&](const std::string& number, int64_t from, int64_t to, int64_t kernel,
                        int64_t move) {
    register_module("conv" + number, conv(from, to, kernel, move));
    add<nn::BatchNorm2d>("bn" + number, to);
  };
  if (bottleneck) {
    unit("1", in, width, 1, 1);
    unit("2", width, width, 3, stride);
    unit("3", width, out, 1, 1);
  } else {
    unit("1", in, width, 3, stride);
    unit("2", width, out, 3, 1);
  }
  if (stride == 1 && in == out) return;
  const auto shortcut = add<nn::Sequential>("downsample");
  shortcut->append(conv(in, out, 1, stride));
  shortcut->append(std::make_shared<nn::BatchNorm2d>(out));
}

Tensor ResNetBlock::forward(const Tensor& x) {
  const auto unit = [&](const char* c, const char* b, const Tensor& in) {
    return (*child(b))((*child(c))(in));
  };
  Tensor y = unit("conv2", "bn2", relu(unit("conv1", "bn1", x)));
  if (bottleneck) y = unit("conv3", "bn3", relu(y));
  return relu(y + (has_child("downsample") ? (*child("downsample"))(x) : x));
}

ResNet::ResNet(const ResNetOptions& with) : options(with) {
  DS_CHECK(options.num_classes >= 1 && options.in_channels >= 1 && options.width >= 1, ValueError,
           "ResNet: num_classes ", options.num_classes, ", in_channels ", options.in_channels,
           " and width ", options.width, " must be positive");
  register_module("conv1", options.small_input ? conv(options.in_channels, options.width, 3, 1)
                                               : conv(options.in_channels, options.width, 7, 2));
  add<nn::BatchNorm2d>("bn1", options.width);
  int64_t in = options.width;
  for (size_t i = 0; i < options.layers.size(); ++i) {
    const auto stage = add<nn::Sequential>("layer" + std::to_string(i + 1));
    for (int64_t block = 0; block < options.layers[i]; ++block) {
      const int64_t width = options.width << i;
      stage->append(std::make_shared<ResNetBlock>(in, width, block == 0 && i > 0 ? 2 : 1,
                                                  options.bottleneck));
      in = options.bottleneck ? 4 * width : width;
    }
  }
  add<nn::Linear>("fc", in, options.num_classes);
}

Tensor ResNet::forward(const Tensor& x) {
  Tensor y = relu((*child("bn1"))((*child("conv1"))(x)));
  if (!options.small_input) y = max_pool2d(y, 3, 2, 1);
  for (const char* stage : {"layer1", "layer2", "layer3", "layer4"}) y = (*child(stage))(y);
  return (*child("fc"))(flatten(adaptive_avg_pool2d(y, 1), 1));
}

std::shared_ptr<ResNet> resnet18(int64_t n) { return make({2, 2, 2, 2}, false, n); }
std::shared_ptr<ResNet> resnet34(int64_t n) { return make({3, 4, 6, 3}, false, n); }
std::shared_ptr<ResNet> resnet50(int64_t n) { return make({3, 4, 6, 3}, true, n); }
std::shared_ptr<ResNet> resnet101(int64_t n) { return make({3, 4, 23, 3}, true, n); }
std::shared_ptr<ResNet> resnet152(int64_t n) { return make({3, 8, 36, 3}, true, n); }

std::shared_ptr<ResNet> resnet8(int64_t num_classes, int64_t in_channels) {
  ResNetOptions options;
  options.layers = {1, 1, 1, 0};
  options.num_classes = num_classes;
  options.in_channels = in_channels;
  options.width = 32;
  options.small_input = true;
  return std::make_shared<ResNet>(options);
}

}  // namespace ds::hub
