// SPDX-License-Identifier: Apache-2.0
// Residual networks; names of parameters as in torchvision.
#pragma once

#include <memory>
#include <vector>

#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct ResNetConfig {
  std::vector<int64_t> layers{2, 2, 2, 2};  // blocks per stage, of 1 to 4 stages
  bool bottleneck = false;
  int64_t num_classes = 1000;
  int64_t in_channels = 3;
  int64_t width = 64;        // channels of the first stage
  bool small_input = false;  // a 3x3 stem without pooling, for images of some 32 pixels and less
  // Of the 3x3 convolution of a bottleneck: groups, and channels a group where `width` is 64.
  int64_t cardinality = 1, base_width = 64;
  bool deep_stem = false;  // three 3x3 convolutions instead of one 7x7
  bool avg_down = false;   // shortcuts average pixels where a stage skips them
  bool squeeze = false;    // squeeze-and-excitation behind each block (Hu et al., 2018)
};

/// Sizes by the names of timm and torchvision: resnet18 to wide_resnet101_2, and small ones.
const NamedSizes<ResNetConfig>& resnets();

struct ResNetBlockOptions {
  int64_t in_channels = 0, width = 0, stride = 1;
  bool bottleneck = false;
  int64_t inner = 0,
          groups = 1;  // channels (0: width) and groups of a bottleneck's 3x3 convolution
  bool avg_down = false, squeeze = false;
};

/// Two 3x3 convolutions, or 1x1, 3x3, 1x1 that widen four times, beside a shortcut. Children are
/// found by name when it runs, so that one may be replaced.
class ResNetBlock : public nn::Module {
 public:
  explicit ResNetBlock(const ResNetBlockOptions& options);
  std::string type_name() const override { return bottleneck ? "Bottleneck" : "BasicBlock"; }
  Tensor forward(const Tensor& x) override;

  int64_t in_channels, width, stride;
  bool bottleneck;

 private:
  void add_shortcut(int64_t out, bool avg_down);
};

/// He et al., "Deep Residual Learning for Image Recognition", 2016; Xie et al., "Aggregated
/// Residual Transformations", 2017 (groups); Zagoruyko and Komodakis, "Wide Residual Networks",
/// 2016: x [N, C, H, W] -> logits [N, num_classes].
class ResNet : public nn::Module {
 public:
  explicit ResNet(const ResNetConfig& config = {});
  std::string type_name() const override { return "ResNet"; }
  Tensor forward(const Tensor& x) override;
  const ResNetConfig& config() const { return config_; }

 private:
  void add_stem();

  ResNetConfig config_;
};

std::shared_ptr<ResNet> resnet18(int64_t num_classes = 1000);
std::shared_ptr<ResNet> resnet34(int64_t num_classes = 1000);
std::shared_ptr<ResNet> resnet50(int64_t num_classes = 1000);
std::shared_ptr<ResNet> resnet101(int64_t num_classes = 1000);
std::shared_ptr<ResNet> resnet152(int64_t num_classes = 1000);
/// Three stages of one block each for images of 8 to 40 pixels: 0.3 million parameters.
std::shared_ptr<ResNet> resnet8(int64_t num_classes = 10, int64_t in_channels = 1);

}  // namespace ds::hub
