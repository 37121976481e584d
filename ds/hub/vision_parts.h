// SPDX-License-Identifier: Apache-2.0
// Parts that the image models share.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ds/nn/layers_conv.h"
#include "ds/nn/layers_core.h"
#include "ds/nn/layers_norm.h"

namespace ds::hub {

/// Configurations of published sizes by name: a further size is one row.
template <class Config>
using NamedSizes = std::vector<std::pair<std::string, Config>>;

/// LayerNorm over the channels of [N, C, H, W].
class LayerNorm2d : public nn::LayerNorm {
 public:
  explicit LayerNorm2d(int64_t channels, double eps = 1e-6) : nn::LayerNorm({channels}, eps) {}
  std::string type_name() const override { return "LayerNorm2d"; }
  Tensor forward(const Tensor& x) override;
};

/// x [..., dim] times one learned number a channel, `gamma` (Touvron et al., "Going deeper with
/// Image Transformers", 2021).
class LayerScale : public nn::Module {
 public:
  LayerScale(int64_t dim, double initial);
  std::string type_name() const override { return "LayerScale"; }
  Tensor forward(const Tensor& x) override;
};

/// A convolution whose output has ceil(input / stride) pixels: TensorFlow's "SAME" padding, which
/// depends on the input's size and may be one more at the end than at the beginning.
class Conv2dSame : public nn::Conv2d {
 public:
  using nn::Conv2d::Conv2d;
  std::string type_name() const override { return "Conv2dSame"; }
  Tensor forward(const Tensor& x) override;
};

struct ImageConv {
  int64_t in, out, kernel = 1, stride = 1, groups = 1, dilation = 1;
  bool bias = false, same = false;  // same: padded as Conv2dSame, else by (kernel - 1) / 2
};
/// Drawn for the activation behind it: normal with deviation sqrt(2 / fan out). ValueError for a
/// dilated one that skips pixels.
std::shared_ptr<nn::Conv2d> image_conv(const ImageConv& with);

struct ConvUnit {
  ImageConv conv;
  std::string activation = {};  // none where it is empty
  double eps = 1e-5, momentum = 0.1;
};
/// Children convolution, normalization and activation, as transformers names them.
std::shared_ptr<nn::Sequential> conv_unit(const ConvUnit& with);

/// The nearest multiple of `divisor`, at least `least`, or the next where that would leave less
/// than the share `kept`.
int64_t rounded_channels(double channels, double kept = 0.9, int64_t divisor = 8,
                         int64_t least = 8);

/// Stochastic depth (Huang et al., 2016): whole samples of x [N, ...] are zeroed with probability
/// p while training and the others divided by 1 - p.
Tensor drop_path(const Tensor& x, double p, bool training);
/// The rate of block i of `count`: it rises evenly from 0 to `rate`.
double drop_path_rate_of(double rate, int64_t i, int64_t count);

/// What is learned of the places of a grid, [1, rows * columns, C], for one of another size.
struct Grid {
  int64_t rows, columns;
};
Tensor resized_positions(const Tensor& positions, Grid from, Grid to);

/// [N, C, H, W] -> [N, C]: the mean over all pixels.
Tensor average_pixels(const Tensor& x);
/// A linear layer, or, for num_classes 0, what returns the features themselves.
nn::ModulePtr classifier(int64_t in, int64_t num_classes);
/// ValueError naming `model` unless in_channels is positive and num_classes is not negative.
void check_image_model(const char* model, int64_t in_channels, int64_t num_classes);
/// ShapeError naming `model` unless x is [N, in_channels, H, W].
void check_images(const char* model, const Tensor& x, int64_t in_channels);

}  // namespace ds::hub
