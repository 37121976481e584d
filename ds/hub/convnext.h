// SPDX-License-Identifier: Apache-2.0
// ConvNeXt and ConvNeXt V2; names of parameters as in timm.
#pragma once

#include <optional>

#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct ConvNeXtConfig {
  int64_t in_channels = 3, num_classes = 1000;
  std::vector<int64_t> depths{3, 3, 9, 3};       // blocks of the four stages
  std::vector<int64_t> dims{96, 192, 384, 768};  // their channels
  std::optional<double> ls_init_value = 1e-6;    // LayerScale's start; without one there is none
  bool conv_mlp = false;                         // 1x1 convolutions instead of linear layers
  bool use_grn = false;                          // V2: global response normalisation
  int64_t head_hidden_size = 0;                  // of a layer below the classifier; 0: none
  double norm_eps = 1e-6;
  double drop_rate = 0, drop_path_rate = 0;
};

/// timm's sizes: convnext_*, convnextv2_*.
const NamedSizes<ConvNeXtConfig>& convnexts();

/// Divides each channel's norm over the pixels by the mean of all channels' (Woo et al., "ConvNeXt
/// V2", 2023): x [N, H, W, C], or [N, C, H, W] with channels_first.
class GlobalResponseNorm : public nn::Module {
 public:
  GlobalResponseNorm(int64_t channels, bool channels_first);
  std::string type_name() const override { return "GlobalResponseNorm"; }
  Tensor forward(const Tensor& x) override;

 private:
  bool channels_first_;
};

/// A 7x7 depthwise convolution, then a network of each pixel, beside a shortcut: x [N, C, H, W].
class ConvNeXtBlock : public nn::Module {
 public:
  ConvNeXtBlock(int64_t channels, const ConvNeXtConfig& config, double drop_path);
  std::string type_name() const override { return "ConvNeXtBlock"; }
  Tensor forward(const Tensor& x) override;

 private:
  bool conv_mlp_;
  double drop_path_;
};

/// Children `downsample` (where there is one) and `blocks`.
class ConvNeXtStage : public nn::Module {
 public:
  ConvNeXtStage(int64_t in, int64_t out, const ConvNeXtConfig& config,
                const std::vector<double>& drop_paths);
  std::string type_name() const override { return "ConvNeXtStage"; }
  Tensor forward(const Tensor& x) override;
};

/// Liu et al., "A ConvNet for the 2020s", 2022: x [N, in_channels, H, W] -> logits
/// [N, num_classes].
class ConvNeXt : public nn::Module {
 public:
  explicit ConvNeXt(const ConvNeXtConfig& config);
  std::string type_name() const override { return "ConvNeXt"; }
  Tensor forward(const Tensor& x) override;
  const ConvNeXtConfig& config() const { return config_; }

 private:
  ConvNeXtConfig config_;
};

}  // namespace ds::hub
