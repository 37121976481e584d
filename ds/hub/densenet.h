// SPDX-License-Identifier: Apache-2.0
// DenseNet; names of parameters as in timm and torchvision.
#pragma once

#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct DenseNetConfig {
  int64_t growth_rate = 32;  // channels that a layer adds; the stem makes twice as many
  std::vector<int64_t> block_config{6, 12, 24, 16};  // layers of the blocks
  int64_t num_classes = 1000, in_channels = 3;
  double drop_rate = 0.0;
};

/// densenet121 to densenet201.
const NamedSizes<DenseNetConfig>& densenets();

/// [N, in, H, W] -> [N, in + growth, H, W]: the input and what two convolutions make of it.
class DenseLayer : public nn::Module {
 public:
  DenseLayer(int64_t in, int64_t growth);
  std::string type_name() const override { return "DenseLayer"; }
  Tensor forward(const Tensor& x) override;
};

/// [N, in, H, W] -> [N, in / 2, H / 2, W / 2].
class DenseTransition : public nn::Module {
 public:
  explicit DenseTransition(int64_t in);
  std::string type_name() const override { return "DenseTransition"; }
  Tensor forward(const Tensor& x) override;
};

/// Huang et al., "Densely Connected Convolutional Networks", 2017: x [N, in_channels, H, W] ->
/// logits [N, num_classes].
class DenseNet : public nn::Module {
 public:
  explicit DenseNet(const DenseNetConfig& config);
  std::string type_name() const override { return "DenseNet"; }
  Tensor forward(const Tensor& x) override;
  const DenseNetConfig& config() const { return config_; }

 private:
  DenseNetConfig config_;
};

}  // namespace ds::hub
