// SPDX-License-Identifier: Apache-2.0
// Networks of depthwise convolutions: MobileNetV2 and V3, EfficientNet, EfficientNet-Lite and
// EfficientNetV2; names of parameters as in timm.
#pragma once

#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct EfficientNetConfig {
  /// The plan of blocks: mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small, their _minimal
  /// forms, efficientnet, efficientnet_lite, efficientnetv2_base, _s, _m or _l.
  std::string variant = "efficientnet";
  double channel_multiplier = 1.0, depth_multiplier = 1.0;  // of the plan's channels and repeats
  bool fix_stem_head = false;  // the first and the last layers are not multiplied
  int64_t in_channels = 3, num_classes = 1000;
  bool same_padding = false;  // as TensorFlow pads: for weights that were trained there
  double bn_eps = 1e-5;
  double drop_rate = 0, drop_path_rate = 0;
};

/// timm's sizes: mobilenetv2_*, mobilenetv3_*, efficientnet*_*, and the tf_ forms of them.
const NamedSizes<EfficientNetConfig>& efficientnets();

enum class MobileKind {
  separable,  // a depthwise convolution and a 1x1 one
  inverted,   // 1x1 that expands, depthwise, 1x1 that projects
  fused,      // a full convolution that expands, 1x1 that projects
  plain       // one convolution
};

/// A row of a plan: `repeats` blocks of a stage, of which only the first has the stride.
struct MobileRow {
  int stage = 0;
  MobileKind kind = MobileKind::inverted;
  int64_t repeats = 1, kernel = 3, stride = 1;
  double expand = 1;
  int64_t out = 0;
  double squeeze = 0;           // squeeze-and-excitation's channels over the block's input
  const char* activation = "";  // the plan's when empty
  bool plain_shortcut = false;  // a plain block has a shortcut too
};

/// What all blocks of a network share, beside their row.
struct MobileStyle {
  bool same_padding = false, squeeze_of_expanded = false;  // squeeze: over the expanded channels
  double bn_eps = 1e-5;
};

/// A block beside a shortcut where input and output have the same shape.
class MobileBlock : public nn::Module {
 public:
  MobileBlock(const MobileRow& row, int64_t in, const MobileStyle& style, double drop_path);
  std::string type_name() const override;
  Tensor forward(const Tensor& x) override;

 private:
  void add_squeeze(int64_t channels);
  Tensor squeeze(const Tensor& x);

  MobileRow row_;
  int64_t in_;
  MobileStyle style_;
  double drop_path_;
};

/// Sandler et al., "MobileNetV2", 2018; Howard et al., "Searching for MobileNetV3", 2019; Tan and
/// Le, "EfficientNet", 2019, and "EfficientNetV2", 2021: x [N, in_channels, H, W] -> logits
/// [N, num_classes].
class EfficientNet : public nn::Module {
 public:
  explicit EfficientNet(const EfficientNetConfig& config);
  std::string type_name() const override { return "EfficientNet"; }
  Tensor forward(const Tensor& x) override;
  const EfficientNetConfig& config() const { return config_; }

 private:
  void add_blocks(int64_t in);

  EfficientNetConfig config_;
};

}  // namespace ds::hub
