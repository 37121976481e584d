// SPDX-License-Identifier: Apache-2.0
// MobileNetV2 and EfficientNet as transformers has them: names of parameters are its own.
// efficientnet.h has those of timm.
#pragma once

#include <string>
#include <vector>

#include "ds/hub/image_bodies.h"

namespace ds::hub {

/// Keys of config.json.
struct MobileNetV2ModelConfig : HeadConfig {
  int64_t num_channels = 3;
  double depth_multiplier = 1;  // of channels, which are then multiples of depth_divisible_by
  int64_t depth_divisible_by = 8, min_depth = 8;
  double expand_ratio = 6;
  int64_t output_stride = 32;  // pixels a place of the result; 8 and 16 are reached by dilation
  bool first_layer_is_expansion = true;
  bool finegrained_output = true;  // the last layer is not narrower than 1280 channels
  std::string hidden_act = "relu6";
  bool tf_padding = true;
  double classifier_dropout_prob = 0.8, layer_norm_eps = 0.001, initializer_range = 0.02;

  /// Of the last layer.
  int64_t head_channels() const;
  /// So many of the paper's channels.
  int64_t channels(int64_t published) const;
};

struct EfficientNetModelConfig : HeadConfig {
  int64_t num_channels = 3;
  double width_coefficient = 2.0, depth_coefficient = 3.1;
  int64_t depth_divisor = 8;
  std::vector<int64_t> kernel_sizes{3, 3, 5, 3, 5, 5, 3};
  std::vector<int64_t> in_channels{32, 16, 24, 40, 80, 112, 192};
  std::vector<int64_t> out_channels{16, 24, 40, 80, 112, 192, 320};
  std::vector<int64_t> depthwise_padding;  // blocks that pad both sides alike
  std::vector<int64_t> strides{1, 2, 2, 2, 1, 2, 1};
  std::vector<int64_t> num_block_repeats{1, 2, 2, 3, 3, 4, 1};
  std::vector<int64_t> expand_ratios{1, 6, 6, 6, 6, 6, 6};
  double squeeze_expansion_ratio = 0.25;
  std::string hidden_act = "swish";
  int64_t hidden_dim = 2560;
  std::string pooling_type = "mean";  // or max
  double initializer_range = 0.02, batch_norm_eps = 0.001, batch_norm_momentum = 0.99;
  double dropout_rate = 0.5, drop_connect_rate = 0.2;
};

/// Sandler et al., "MobileNetV2", 2018: last_hidden_state [N, C, H, W] and, with pooling,
/// pooler_output [N, C]. hidden_states are those behind every layer.
class MobileNetV2Model : public ImageBody {
 public:
  using Config = MobileNetV2ModelConfig;
  explicit MobileNetV2Model(const MobileNetV2ModelConfig& config, bool pooling = true);
  std::string type_name() const override { return "MobileNetV2Model"; }
  using ImageBody::forward;
  Output forward(const ImageInput& input) override;

 private:
  MobileNetV2ModelConfig config_;
  bool pooling_;
};

/// Tan and Le, "EfficientNet", 2019: last_hidden_state [N, hidden_dim, H, W] and pooler_output
/// [N, hidden_dim].
class EfficientNetModel : public ImageBody {
 public:
  using Config = EfficientNetModelConfig;
  explicit EfficientNetModel(const EfficientNetModelConfig& config);
  std::string type_name() const override { return "EfficientNetModel"; }
  using ImageBody::forward;
  Output forward(const ImageInput& input) override;

 private:
  void add_blocks();

  EfficientNetModelConfig config_;
};

}  // namespace ds::hub
