// SPDX-License-Identifier: Apache-2.0
// ResNet, ConvNeXt and Swin as transformers has them: names of parameters are its own. resnet.h,
// convnext.h and swin.h have those of timm.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/hub/text_model.h"
#include "ds/hub/vit.h"

namespace ds::hub {

/// Keys of config.json.
struct ResNetModelConfig : HeadConfig {
  std::string model_type = "resnet";
  int64_t num_channels = 3, embedding_size = 64;
  std::vector<int64_t> hidden_sizes{256, 512, 1024, 2048}, depths{3, 4, 6, 3};
  std::string layer_type = "bottleneck";  // or basic
  std::string hidden_act = "relu";
  bool downsample_in_first_stage = false, downsample_in_bottleneck = false;
};

struct ConvNextModelConfig : HeadConfig {
  std::string model_type = "convnext";  // or convnextv2
  int64_t num_channels = 3, patch_size = 4;
  std::vector<int64_t> hidden_sizes{96, 192, 384, 768}, depths{3, 3, 9, 3};
  std::string hidden_act = "gelu";
  double initializer_range = 0.02, layer_norm_eps = 1e-12;
  double layer_scale_init_value = 1e-6;  // 0: there is none, as in V2
  double drop_path_rate = 0;
};

struct SwinModelConfig : HeadConfig {
  std::string model_type = "swin";
  int64_t image_size = 224, patch_size = 4, num_channels = 3, embed_dim = 96;
  std::vector<int64_t> depths{2, 2, 6, 2}, num_heads{3, 6, 12, 24};
  int64_t window_size = 7;
  double mlp_ratio = 4;
  bool qkv_bias = true, use_absolute_embeddings = false;
  double hidden_dropout_prob = 0, attention_probs_dropout_prob = 0, drop_path_rate = 0.1;
  std::string hidden_act = "gelu";
  double initializer_range = 0.02, layer_norm_eps = 1e-5;
};

/// A model of images without a head: last_hidden_state and pooler_output.
class ImageBody : public nn::Module {
 public:
  using nn::Module::forward;
  virtual Output forward(const ImageInput& input) = 0;
};

/// The input's images; ValueError where there are none, ShapeError unless they are [N, channels, H,
/// W].
const Tensor& images_of(const nn::Module& model, const ImageInput& input, int64_t channels);

/// Residual networks (resnet.h): last_hidden_state [N, C, H, W], pooler_output [N, C, 1, 1].
class ResNetModel : public ImageBody {
 public:
  using Config = ResNetModelConfig;
  explicit ResNetModel(const ResNetModelConfig& config);
  std::string type_name() const override { return "ResNetModel"; }
  using ImageBody::forward;
  Output forward(const ImageInput& input) override;

 private:
  ResNetModelConfig config_;
};

/// ConvNeXt and ConvNeXt V2 (convnext.h): last_hidden_state [N, C, H, W], pooler_output [N, C].
class ConvNextModel : public ImageBody {
 public:
  using Config = ConvNextModelConfig;
  explicit ConvNextModel(const ConvNextModelConfig& config);
  std::string type_name() const override;
  using ImageBody::forward;
  Output forward(const ImageInput& input) override;

 private:
  ConvNextModelConfig config_;
};

/// Swin Transformer (swin.h): last_hidden_state [N, patches, C], and with pooling pooler_output
/// [N, C]. The attentions are those of the last block of every stage.
class SwinModel : public ImageBody {
 public:
  using Config = SwinModelConfig;
  explicit SwinModel(const SwinModelConfig& config, bool pooling = true);
  std::string type_name() const override { return "SwinModel"; }
  using ImageBody::forward;
  /// ShapeError for images of fewer patches than a window has in some stage.
  Output forward(const ImageInput& input) override;

 private:
  void add_layers();
  Tensor embed(const ImageInput& input);

  SwinModelConfig config_;
  bool pooling_;
};

}  // namespace ds::hub
