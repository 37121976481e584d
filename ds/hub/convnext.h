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
  /// shape: of the parameters, with as many numbers as there are channels.
  GlobalResponseNorm(const Shape& shape, bool channels_first);
  std::string type_name() const override { return "GlobalResponseNorm"; }
  Tensor forward(const Tensor& x) override;

 private:
  bool channels_first_;
};

/// Dotted names below a block.
struct ConvNeXtNames {
  const char *depthwise = "conv_dw", *norm = "norm";
  const char *up = "mlp.fc1", *response_norm = "mlp.grn", *down = "mlp.fc2", *scale = "gamma";
  bool wide_norm = false;  // the response norm's parameters are [1, 1, 1, C], else [C]
};

/// A 7x7 depthwise convolution, then a network of each pixel, beside a shortcut: x [N, C, H, W].
class ConvNeXtBlock : public nn::Module {
 public:
  ConvNeXtBlock(int64_t channels, const ConvNeXtConfig& config, double drop_path,
                const ConvNeXtNames& names = {}, std::string activation = "gelu");
  std::string type_name() const override { return "ConvNeXtBlock"; }
  Tensor forward(const Tensor& x) override;

 private:
  bool conv_mlp_, response_norm_;
  double drop_path_;
  ConvNeXtNames names_;
  std::string activation_;
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
