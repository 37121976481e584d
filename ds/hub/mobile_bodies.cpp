// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/mobile_bodies.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// 1x1 that expands, depthwise, 1x1 that projects; beside a shortcut where shapes allow.
class InvertedResidual : public nn::Sequential {
 public:
  explicit InvertedResidual(bool shortcut) : shortcut_(shortcut) {}
  std::string type_name() const override { return "MobileNetV2InvertedResidual"; }
  Tensor forward(const Tensor& x) override {
    const Tensor y = nn::Sequential::forward(x);
    return shortcut_ ? x + y : y;
  }

 private:
  bool shortcut_;
};

std::shared_ptr<nn::Sequential> mobile_unit(const MobileNetV2ModelConfig& c, ImageConv conv,
                                            bool activated = true) {
  conv.same = c.tf_padding;
  return conv_unit({.conv = conv,
                    .activation = activated ? c.hidden_act : "",
                    .eps = c.layer_norm_eps,
                    .momentum = 0.997});
}

struct MobileLayer {
  int64_t out, stride;
};
/// Behind the stem.
constexpr MobileLayer kMobileLayers[] = {{24, 2},  {24, 1},  {32, 2},  {32, 1}, {32, 1}, {64, 2},
                                         {64, 1},  {64, 1},  {64, 1},  {96, 1}, {96, 1}, {96, 1},
                                         {160, 2}, {160, 1}, {160, 1}, {320, 1}};

int64_t width_of(const EfficientNetModelConfig& c, int64_t channels) {
  return rounded_channels(static_cast<double>(channels) * c.width_coefficient, 0.9, c.depth_divisor,
                          c.depth_divisor);
}

struct EfficientRow {
  int64_t in, out, kernel, stride, expand;
  bool first = false, adjusted = true;  // adjusted: padded one more at the end
  double dropout = 0;
};

/// A block with squeeze-and-excitation (Hu et al., "Squeeze-and-Excitation Networks", 2018).
class EfficientNetBlock : public nn::Module {
 public:
  EfficientNetBlock(const EfficientNetModelConfig& c, const EfficientRow& row)
      : row_(row), activation_(c.hidden_act) {
    const int64_t wide = row.in * row.expand;
    const auto norm = [&](const char* name, int64_t channels, double momentum) {
      add_at(*this, name, std::make_shared<nn::BatchNorm2d>(channels, c.batch_norm_eps, momentum));
    };
    if (row.expand != 1) {
      add_at(*this, "expansion.expand_conv", image_conv({.in = row.in, .out = wide}));
      norm("expansion.expand_bn", wide, 0.1);
    }
    nn::ConvOptions depthwise{wide, wide, row.kernel};
    depthwise.groups = wide;
    depthwise.stride = row.stride;
    depthwise.bias = false;
    if (row.stride == 1 || !row.adjusted) depthwise.padding = row.kernel / 2;
    add_at(*this, "depthwise_conv.depthwise_conv", std::make_shared<nn::Conv2d>(depthwise));
    norm("depthwise_conv.depthwise_norm", wide, c.batch_norm_momentum);
    const auto reduced = std::max<int64_t>(
        1, static_cast<int64_t>(static_cast<double>(row.in) * c.squeeze_expansion_ratio));
    add_at(*this, "squeeze_excite.reduce", image_conv({.in = wide, .out = reduced, .bias = true}));
    add_at(*this, "squeeze_excite.expand", image_conv({.in = reduced, .out = wide, .bias = true}));
    add_at(*this, "projection.project_conv", image_conv({.in = wide, .out = row.out}));
    norm("projection.project_bn", row.out, c.batch_norm_momentum);
  }
  std::string type_name() const override { return "EfficientNetBlock"; }
  Tensor forward(const Tensor& x) override {
    const auto unit = [&](const char* conv, const char* norm, const Tensor& in) {
      return call_at(*this, norm, call_at(*this, conv, in));
    };
    Tensor y = x;
    if (row_.expand != 1)
      y = activate(activation_, unit("expansion.expand_conv", "expansion.expand_bn", y));
    if (row_.stride != 1 && row_.adjusted) {
      const int64_t half = row_.kernel / 2;
      y = pad(y, {half - 1, half, half - 1, half});
    }
    y = activate(activation_,
                 unit("depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm", y));
    const Tensor pooled = call_at(*this, "squeeze_excite.reduce", adaptive_avg_pool2d(y, 1));
    y = y * sigmoid(call_at(*this, "squeeze_excite.expand", activate(activation_, pooled)));
    y = unit("projection.project_conv", "projection.project_bn", y);
    return row_.first || row_.stride != 1 ? y : dropout(y, row_.dropout, is_training()) + x;
  }

 private:
  EfficientRow row_;
  std::string activation_;
};

void check(const EfficientNetModelConfig& c) {
  check_image_model("EfficientNetModel", c.num_channels, 0);
  const size_t count = c.in_channels.size();
  DS_CHECK(count > 0 && c.kernel_sizes.size() == count && c.out_channels.size() == count &&
               c.strides.size() == count && c.num_block_repeats.size() == count &&
               c.expand_ratios.size() == count,
           ValueError, "config: kernel_sizes, in_channels, out_channels, strides, ",
           "num_block_repeats and expand_ratios must be of one length");
  for (size_t i = 0; i < count; ++i) {
    DS_CHECK(c.strides[i] == 1 || c.strides[i] == 2, ValueError, "config: strides holds ",
             c.strides[i], "; use 1 and 2");
    DS_CHECK(c.kernel_sizes[i] >= 1 && c.expand_ratios[i] >= 1 && c.num_block_repeats[i] >= 0 &&
                 c.in_channels[i] >= 1 && c.out_channels[i] >= 1,
             ValueError,
             "config: kernel_sizes, expand_ratios and channels must be positive, "
             "num_block_repeats not negative");
  }
  DS_CHECK(c.depth_divisor >= 1 && c.width_coefficient > 0 && c.depth_coefficient > 0, ValueError,
           "config: depth_divisor ", c.depth_divisor, ", width_coefficient ", c.width_coefficient,
           " and depth_coefficient ", c.depth_coefficient, " must be positive");
  DS_CHECK(c.pooling_type == "mean" || c.pooling_type == "max", ValueError,
           "config: pooling_type '", c.pooling_type, "' is unknown; use mean or max");
  DS_CHECK(c.hidden_dim == width_of(c, 1280), ValueError, "config: hidden_dim ", c.hidden_dim,
           " is not the ", width_of(c, 1280), " channels that width_coefficient makes of 1280");
  activate(c.hidden_act, zeros({1}));
}

}  // namespace

int64_t MobileNetV2ModelConfig::channels(int64_t published) const {
  return rounded_channels(std::nearbyint(static_cast<double>(published) * depth_multiplier), 0.9,
                          depth_divisible_by, min_depth);
}

int64_t MobileNetV2ModelConfig::head_channels() const {
  return finegrained_output && depth_multiplier < 1.0 ? 1280 : channels(1280);
}

MobileNetV2Model::MobileNetV2Model(const MobileNetV2ModelConfig& config, bool pooling)
    : config_(config), pooling_(pooling) {
  const MobileNetV2ModelConfig& c = config_;
  check_image_model("MobileNetV2Model", c.num_channels, 0);
  DS_CHECK(
      c.depth_multiplier > 0 && c.expand_ratio > 0 && c.depth_divisible_by >= 1 && c.min_depth >= 1,
      ValueError, "config: depth_multiplier ", c.depth_multiplier, ", expand_ratio ",
      c.expand_ratio, ", depth_divisible_by ", c.depth_divisible_by, " and min_depth ", c.min_depth,
      " must be positive");
  const int64_t stem_width = c.channels(32);
  int64_t in = c.channels(16), stride = 2, dilation = 1;
  const auto stem = add<nn::Sequential>("conv_stem");
  stem->register_module(
      "first_conv",
      mobile_unit(c, {.in = c.num_channels, .out = stem_width, .kernel = 3, .stride = 2}));
  if (!c.first_layer_is_expansion)
    stem->register_module("expand_1x1", mobile_unit(c, {.in = stem_width, .out = stem_width}));
  stem->register_module(
      "conv_3x3",
      mobile_unit(c, {.in = stem_width, .out = stem_width, .kernel = 3, .groups = stem_width}));
  stem->register_module("reduce_1x1", mobile_unit(c, {.in = stem_width, .out = in}, false));
  const auto layers = add<nn::ModuleList>("layer");
  for (const MobileLayer& layer : kMobileLayers) {
    const bool fine = stride == c.output_stride;  // enough pixels are skipped
    const int64_t out = c.channels(layer.out), step = fine ? 1 : layer.stride;
    const int64_t wide = rounded_channels(std::nearbyint(static_cast<double>(in) * c.expand_ratio),
                                          0.9, c.depth_divisible_by, c.min_depth);
    const auto made = std::make_shared<InvertedResidual>(step == 1 && in == out);
    made->register_module("expand_1x1", mobile_unit(c, {.in = in, .out = wide}));
    made->register_module("conv_3x3", mobile_unit(c, {.in = wide,
                                                      .out = wide,
                                                      .kernel = 3,
                                                      .stride = step,
                                                      .groups = wide,
                                                      .dilation = fine ? dilation : 1}));
    made->register_module("reduce_1x1", mobile_unit(c, {.in = wide, .out = out}, false));
    layers->append(made);
    if (fine)
      dilation *= layer.stride;  // from the next layer on
    else
      stride *= layer.stride;
    in = out;
  }
  register_module("conv_1x1", mobile_unit(c, {.in = in, .out = c.head_channels()}));
}

Output MobileNetV2Model::forward(const ImageInput& input) {
  Output out;
  Tensor x = (*child("conv_stem"))(images_of(*this, input, config_.num_channels));
  for (const auto& [name, layer] : child("layer")->named_children()) {
    x = (*layer)(x);
    if (input.output_hidden_states) out.hidden_states.push_back(x);
  }
  x = (*child("conv_1x1"))(x);
  out.values = {{"last_hidden_state", x},
                {"pooler_output", pooling_ ? average_pixels(x) : Tensor()}};
  return out;
}

EfficientNetModel::EfficientNetModel(const EfficientNetModelConfig& config) : config_(config) {
  const EfficientNetModelConfig& c = config_;
  check(c);
  const int64_t stem = width_of(c, 32);
  nn::ConvOptions first{c.num_channels, stem, 3};
  first.stride = 2;
  first.bias = false;
  add_at(*this, "embeddings.convolution", std::make_shared<nn::Conv2d>(first));
  add_at(*this, "embeddings.batchnorm",
         std::make_shared<nn::BatchNorm2d>(stem, c.batch_norm_eps, c.batch_norm_momentum));
  add_blocks();
}

void EfficientNetModel::add_blocks() {
  const EfficientNetModelConfig& c = config_;
  const auto repeats = [&c](size_t i) {
    return static_cast<int64_t>(
        std::ceil(c.depth_coefficient * static_cast<double>(c.num_block_repeats[i])));
  };
  int64_t count = 0, index = 0;
  for (size_t i = 0; i < c.num_block_repeats.size(); ++i) count += repeats(i);
  const auto blocks = std::make_shared<nn::ModuleList>();
  for (size_t i = 0; i < c.in_channels.size(); ++i) {
    EfficientRow row{.in = width_of(c, c.in_channels[i]),
                     .out = width_of(c, c.out_channels[i]),
                     .kernel = c.kernel_sizes[i],
                     .stride = c.strides[i],
                     .expand = c.expand_ratios[i]};
    for (int64_t n = 0; n < repeats(i); ++n, ++index) {
      row.first = n == 0;
      if (n > 0) {
        row.stride = 1;
        row.in = row.out;
      }
      row.adjusted = std::count(c.depthwise_padding.begin(), c.depthwise_padding.end(), index) == 0;
      row.dropout = c.drop_connect_rate * static_cast<double>(index) / static_cast<double>(count);
      blocks->append(std::make_shared<EfficientNetBlock>(c, row));
    }
  }
  add_at(*this, "encoder.blocks", blocks);
  add_at(*this, "encoder.top_conv",
         image_conv({.in = width_of(c, c.out_channels.back()), .out = c.hidden_dim}));
  add_at(*this, "encoder.top_bn",
         std::make_shared<nn::BatchNorm2d>(c.hidden_dim, c.batch_norm_eps, c.batch_norm_momentum));
}

Output EfficientNetModel::forward(const ImageInput& input) {
  const EfficientNetModelConfig& c = config_;
  Output out;
  const Tensor padded = pad(images_of(*this, input, c.num_channels), {0, 1, 0, 1});
  Tensor x = call_at(*this, "embeddings.convolution", padded);
  x = activate(c.hidden_act, call_at(*this, "embeddings.batchnorm", x));
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  for (const auto& [name, block] : get_submodule("encoder.blocks")->named_children()) {
    x = (*block)(x);
    if (input.output_hidden_states) out.hidden_states.push_back(x);
  }
  x = call_at(*this, "encoder.top_bn", call_at(*this, "encoder.top_conv", x));
  x = activate(c.hidden_act, x);
  out.values = {{"last_hidden_state", x},
                {"pooler_output", c.pooling_type == "mean" ? average_pixels(x) : amax(x, {2, 3})}};
  return out;
}

}  // namespace ds::hub
