// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/efficientnet.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/efficientnet_plans.h"
#include "ds/hub/transformer_block.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// Rows of one stage with their repeats multiplied: the stage's number is rounded up and shared
/// out from its end, where the rows that matter most are.
std::vector<MobileRow> scaled_depth(std::vector<MobileRow> stage, double multiplier) {
  int64_t left = 0;
  for (const MobileRow& row : stage) left += row.repeats;
  auto scaled = static_cast<int64_t>(std::ceil(static_cast<double>(left) * multiplier));
  for (auto row = stage.rbegin(); row != stage.rend(); ++row) {
    const double share = static_cast<double>(row->repeats) / static_cast<double>(left);
    left -= row->repeats;
    row->repeats = std::max<int64_t>(1, std::llrint(share * static_cast<double>(scaled)));
    scaled -= row->repeats;
  }
  return stage;
}

std::vector<std::vector<MobileRow>> stages_of(const EfficientNetConfig& c, const MobilePlan& plan) {
  std::vector<std::vector<MobileRow>> stages(static_cast<size_t>(plan.rows.back().stage) + 1);
  for (const MobileRow& row : plan.rows) stages[static_cast<size_t>(row.stage)].push_back(row);
  const bool fixed_ends = plan.fixed_ends || c.fix_stem_head;
  for (size_t i = 0; i < stages.size(); ++i) {
    const bool end = i == 0 || i + 1 == stages.size();
    stages[i] = scaled_depth(std::move(stages[i]), fixed_ends && end ? 1.0 : c.depth_multiplier);
    for (MobileRow& row : stages[i]) {
      row.out = rounded_channels(static_cast<double>(row.out) * c.channel_multiplier, plan.kept);
      if (!*row.activation) row.activation = plan.activation;
    }
  }
  return stages;
}

int64_t stem_channels(const EfficientNetConfig& c, const MobilePlan& plan) {
  // MobileNetV3's stem stays as wide as it is in narrow networks.
  const bool narrow = plan.head_after_pooling && c.channel_multiplier < 0.75;
  if (plan.fixed_ends || c.fix_stem_head || narrow) return plan.stem;
  return rounded_channels(static_cast<double>(plan.stem) * c.channel_multiplier, plan.kept);
}

int64_t head_channels(const EfficientNetConfig& c, const MobilePlan& plan) {
  const int64_t scaled =
      rounded_channels(static_cast<double>(plan.head) * c.channel_multiplier, plan.kept);
  if (plan.head_width == HeadWidth::fixed || c.fix_stem_head) return plan.head;
  return plan.head_width == HeadWidth::scaled ? scaled : std::max(plan.head, scaled);
}

}  // namespace

MobileBlock::MobileBlock(const MobileRow& row, int64_t in, const MobileStyle& style, double drop)
    : row_(row), in_(in), style_(style), drop_path_(drop) {
  const auto conv = [&](const char* name, int64_t from, int64_t to, int64_t kernel, int64_t stride,
                        int64_t groups = 1) {
    register_module(name, image_conv({.in = from,
                                      .out = to,
                                      .kernel = kernel,
                                      .stride = stride,
                                      .groups = groups,
                                      .same = style.same_padding}));
  };
  const auto norm = [&](const char* name, int64_t channels) {
    add<nn::BatchNorm2d>(name, channels, style.bn_eps);
  };
  const int64_t middle = rounded_channels(static_cast<double>(in) * row.expand);
  switch (row.kind) {
    case MobileKind::plain:
      conv("conv", in, row.out, row.kernel, row.stride);
      norm("bn1", row.out);
      return;
    case MobileKind::separable:
      conv("conv_dw", in, in, row.kernel, row.stride, in);
      norm("bn1", in);
      add_squeeze(in);
      conv("conv_pw", in, row.out, 1, 1);
      norm("bn2", row.out);
      return;
    case MobileKind::fused:
      conv("conv_exp", in, middle, row.kernel, row.stride);
      norm("bn1", middle);
      add_squeeze(middle);
      conv("conv_pwl", middle, row.out, 1, 1);
      norm("bn2", row.out);
      return;
    case MobileKind::inverted:
      conv("conv_pw", in, middle, 1, 1);
      norm("bn1", middle);
      conv("conv_dw", middle, middle, row.kernel, row.stride, middle);
      norm("bn2", middle);
      add_squeeze(middle);
      conv("conv_pwl", middle, row.out, 1, 1);
      norm("bn3", row.out);
      return;
  }
}

std::string MobileBlock::type_name() const {
  switch (row_.kind) {
    case MobileKind::plain: return "ConvBnAct";
    case MobileKind::separable: return "DepthwiseSeparableConv";
    case MobileKind::fused: return "EdgeResidual";
    case MobileKind::inverted: return "InvertedResidual";
  }
  return "MobileBlock";
}

void MobileBlock::add_squeeze(int64_t channels) {
  if (row_.squeeze == 0) return;
  const auto width = static_cast<double>(channels);
  const int64_t reduced =
      style_.squeeze_of_expanded
          ? rounded_channels(width * row_.squeeze)
          : static_cast<int64_t>(std::nearbyint(width * (row_.squeeze / row_.expand)));
  add_at(*this, "se.conv_reduce", image_conv({.in = channels, .out = reduced, .bias = true}));
  add_at(*this, "se.conv_expand", image_conv({.in = reduced, .out = channels, .bias = true}));
}

Tensor MobileBlock::squeeze(const Tensor& x) {
  if (!has_child("se")) return x;
  const Tensor pooled = adaptive_avg_pool2d(x, 1);
  const bool v3 = style_.squeeze_of_expanded;
  const Tensor reduced =
      activate(v3 ? "relu" : row_.activation, call_at(*child("se"), "conv_reduce", pooled));
  const Tensor gate = call_at(*child("se"), "conv_expand", reduced);
  return x * (v3 ? hardsigmoid(gate) : sigmoid(gate));
}

Tensor MobileBlock::forward(const Tensor& x) {
  const auto unit = [&](const char* conv, const char* norm, const Tensor& in) {
    return (*child(norm))((*child(conv))(in));
  };
  const auto act = [&](const Tensor& in) { return activate(row_.activation, in); };
  Tensor y;
  switch (row_.kind) {
    case MobileKind::plain: y = act(unit("conv", "bn1", x)); break;
    case MobileKind::separable:
      y = unit("conv_pw", "bn2", squeeze(act(unit("conv_dw", "bn1", x))));
      break;
    case MobileKind::fused:
      y = unit("conv_pwl", "bn2", squeeze(act(unit("conv_exp", "bn1", x))));
      break;
    case MobileKind::inverted:
      y = act(unit("conv_dw", "bn2", act(unit("conv_pw", "bn1", x))));
      y = unit("conv_pwl", "bn3", squeeze(y));
      break;
  }
  const bool shortcut = row_.kind != MobileKind::plain || row_.plain_shortcut;
  if (!shortcut || row_.stride != 1 || in_ != row_.out) return y;
  return drop_path(y, drop_path_, is_training()) + x;
}

void EfficientNet::add_blocks(int64_t in) {
  const MobilePlan& plan = mobile_plan(config_.variant);
  const auto stages = stages_of(config_, plan);
  const MobileStyle style{.same_padding = config_.same_padding,
                          .squeeze_of_expanded = plan.head_after_pooling,
                          .bn_eps = config_.bn_eps};
  int64_t count = 0, index = 0;
  for (const auto& stage : stages)
    for (const MobileRow& row : stage) count += row.repeats;
  const auto all = add<nn::Sequential>("blocks");
  for (const auto& stage : stages) {
    const auto blocks = std::make_shared<nn::Sequential>();
    for (size_t r = 0; r < stage.size(); ++r) {
      MobileRow row = stage[r];
      for (int64_t i = 0; i < row.repeats; ++i, ++index) {
        const double rate =
            config_.drop_path_rate * static_cast<double>(index) / static_cast<double>(count);
        // Only a stage's first block skips pixels.
        if (r > 0 || i > 0) row.stride = 1;
        blocks->append(std::make_shared<MobileBlock>(row, in, style, rate));
        in = row.out;
      }
    }
    all->append(blocks);
  }
  const int64_t head = head_channels(config_, plan);
  register_module(
      "conv_head",
      image_conv(
          {.in = in, .out = head, .bias = plan.head_after_pooling, .same = config_.same_padding}));
  if (!plan.head_after_pooling) add<nn::BatchNorm2d>("bn2", head, config_.bn_eps);
  register_module("classifier", classifier(head, config_.num_classes));
}

EfficientNet::EfficientNet(const EfficientNetConfig& config) : config_(config) {
  check_image_model("EfficientNet", config.in_channels, config.num_classes);
  DS_CHECK(config.channel_multiplier > 0 && config.depth_multiplier > 0, ValueError,
           "EfficientNet: channel_multiplier ", config.channel_multiplier, " and depth_multiplier ",
           config.depth_multiplier, " must be positive");
  const int64_t stem = stem_channels(config, mobile_plan(config.variant));
  register_module("conv_stem", image_conv({.in = config.in_channels,
                                           .out = stem,
                                           .kernel = 3,
                                           .stride = 2,
                                           .same = config.same_padding}));
  add<nn::BatchNorm2d>("bn1", stem, config.bn_eps);
  add_blocks(stem);
}

Tensor EfficientNet::forward(const Tensor& x) {
  check_images("EfficientNet", x, config_.in_channels);
  const MobilePlan& plan = mobile_plan(config_.variant);
  Tensor y = activate(plan.activation, (*child("bn1"))((*child("conv_stem"))(x)));
  y = (*child("blocks"))(y);
  if (plan.head_after_pooling) {
    y = (*child("conv_head"))(adaptive_avg_pool2d(y, 1));
    y = flatten(activate(plan.activation, y), 1);
  } else {
    y = average_pixels(activate(plan.activation, (*child("bn2"))((*child("conv_head"))(y))));
  }
  return (*child("classifier"))(dropout(y, config_.drop_rate, is_training()));
}

}  // namespace ds::hub
