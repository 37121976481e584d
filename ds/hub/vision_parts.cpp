// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/vision_parts.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// An activation by transformers' name.
class NamedActivation : public nn::Module {
 public:
  explicit NamedActivation(std::string name) : name_(std::move(name)) {
    activate(name_, zeros({1}));  // an unknown one is told now
  }
  std::string type_name() const override { return "Activation"; }
  std::string extra_repr() const override { return name_; }
  Tensor forward(const Tensor& x) override { return activate(name_, x); }

 private:
  std::string name_;
};

}  // namespace

Tensor LayerNorm2d::forward(const Tensor& x) {
  return permute(nn::LayerNorm::forward(permute(x, {0, 2, 3, 1})), {0, 3, 1, 2});
}

LayerScale::LayerScale(int64_t dim, double initial) {
  nn::init::constant_(register_parameter("gamma", empty({dim})), initial);
}

Tensor LayerScale::forward(const Tensor& x) { return x * parameter("gamma"); }

Tensor Conv2dSame::forward(const Tensor& x) {
  DS_CHECK(x.dim() == 4, ShapeError, "Conv2dSame: the input ", x.type(), " must be [N, C, H, W]");
  const int64_t kernel = options().kernel_size.given()[0], stride = options().stride.given()[0];
  const auto missing = [&](int64_t size) {
    const int64_t out = (size + stride - 1) / stride;
    return std::max<int64_t>(0, (out - 1) * stride + kernel - size);
  };
  const int64_t h = missing(x.size(2)), w = missing(x.size(3));
  return nn::Conv2d::forward(pad(x, {w / 2, w - w / 2, h / 2, h - h / 2}));
}

std::shared_ptr<nn::Conv2d> image_conv(const ImageConv& with) {
  nn::ConvOptions o{with.in, with.out, with.kernel};
  o.stride = with.stride;
  o.groups = with.groups;
  o.dilation = with.dilation;
  o.bias = with.bias;
  DS_CHECK(with.dilation == 1 || with.stride == 1, ValueError, "a convolution of stride ",
           with.stride, " can not have dilation ", with.dilation);
  // An odd kernel that does not skip pixels needs the same border at both ends.
  const bool varies = with.same && (with.stride > 1 || with.kernel % 2 == 0);
  if (!varies) o.padding = (with.kernel - 1) / 2 * with.dilation;
  const std::shared_ptr<nn::Conv2d> layer =
      varies ? std::make_shared<Conv2dSame>(o) : std::make_shared<nn::Conv2d>(o);
  // An output channel goes to the kernel's pixels of its group only.
  const double fan_out =
      static_cast<double>(with.kernel * with.kernel * with.out) / static_cast<double>(with.groups);
  nn::init::normal_(layer->parameter("weight"), 0.0, std::sqrt(2.0 / fan_out));
  if (with.bias) nn::init::zeros_(layer->parameter("bias"));
  return layer;
}

std::shared_ptr<nn::Sequential> conv_unit(const ConvUnit& with) {
  const auto made = std::make_shared<nn::Sequential>();
  made->register_module("convolution", image_conv(with.conv));
  made->add<nn::BatchNorm2d>("normalization", with.conv.out, with.eps, with.momentum);
  if (!with.activation.empty()) made->add<NamedActivation>("activation", with.activation);
  return made;
}

int64_t rounded_channels(double channels, double kept, int64_t divisor, int64_t least) {
  const auto half = static_cast<double>(divisor) / 2;
  const int64_t nearest =
      std::max(least, static_cast<int64_t>(channels + half) / divisor * divisor);
  return static_cast<double>(nearest) < kept * channels ? nearest + divisor : nearest;
}

Tensor resized_positions(const Tensor& positions, Grid from, Grid to) {
  if (from.rows == to.rows && from.columns == to.columns) return positions;
  const Tensor grid = reshape(positions, {1, from.rows, from.columns, positions.size(2)});
  const Tensor resized =
      interpolate(permute(grid, {0, 3, 1, 2}), PerDim{to.rows, to.columns}, {}, "bicubic", false);
  return transpose(flatten(resized, 2), 1, 2);
}

Tensor drop_path(const Tensor& x, double p, bool training) {
  if (p == 0 || !training) return x;
  std::vector<int64_t> one_each(static_cast<size_t>(x.dim()), 1);
  one_each[0] = x.size(0);
  return x * dropout(ones(Shape(one_each), x.dtype(), x.device()), p, true);
}

double drop_path_rate_of(double rate, int64_t i, int64_t count) {
  return count > 1 ? rate * static_cast<double>(i) / static_cast<double>(count - 1) : 0.0;
}

Tensor average_pixels(const Tensor& x) { return flatten(adaptive_avg_pool2d(x, 1), 1); }

nn::ModulePtr classifier(int64_t in, int64_t num_classes) {
  if (num_classes == 0) return std::make_shared<nn::Identity>();
  const auto layer = std::make_shared<nn::Linear>(in, num_classes);
  nn::init::trunc_normal_(layer->parameter("weight"), 0.0, 0.02);
  nn::init::zeros_(layer->parameter("bias"));
  return layer;
}

void check_image_model(const char* model, int64_t in_channels, int64_t num_classes) {
  DS_CHECK(in_channels >= 1, ValueError, model, ": in_channels ", in_channels, " must be positive");
  DS_CHECK(num_classes >= 0, ValueError, model, ": num_classes ", num_classes,
           " must be positive, or 0 for features without a classifier");
}

void check_images(const char* model, const Tensor& x, int64_t in_channels) {
  DS_CHECK(x.dim() == 4 && x.size(1) == in_channels, ShapeError, model, ": the images ", x.type(),
           " must be [batch, ", in_channels, ", height, width]");
}

}  // namespace ds::hub
