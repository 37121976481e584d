// SPDX-License-Identifier: Apache-2.0
// VGG; names of parameters as in timm.
#pragma once

#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct VGGConfig {
  std::vector<int64_t> layers{1, 1, 2, 2, 2};  // 3x3 convolutions of the five stages
  bool batch_norm = false;
  int64_t num_classes = 1000, in_channels = 3;
  double mlp_ratio = 1.0;  // channels of the first of the two wide layers over those of the second
  double drop_rate = 0.0;
};

/// vgg11 to vgg19, with and without _bn.
const NamedSizes<VGGConfig>& vggs();

/// Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015: x [N, in_channels, H, W] ->
/// logits [N, num_classes].
class VGG : public nn::Module {
 public:
  explicit VGG(const VGGConfig& config);
  std::string type_name() const override { return "VGG"; }
  Tensor forward(const Tensor& x) override;
  const VGGConfig& config() const { return config_; }

 private:
  VGGConfig config_;
};

}  // namespace ds::hub
