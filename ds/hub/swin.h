// SPDX-License-Identifier: Apache-2.0
// Swin Transformer; names of parameters as in timm.
#pragma once

#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct SwinConfig {
  int64_t img_size = 224, patch_size = 4, in_channels = 3, num_classes = 1000;
  int64_t embed_dim = 96;                   // doubled by every further stage
  std::vector<int64_t> depths{2, 2, 6, 2};  // blocks of the stages
  std::vector<int64_t> num_heads{3, 6, 12, 24};
  int64_t window_size = 7;  // a stage of fewer patches has one window of all
  double mlp_ratio = 4.0;
  double drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0.1;
};

/// timm's sizes: swin_*.
const NamedSizes<SwinConfig>& swins();

struct SwinBlockOptions {
  int64_t dim, heads;
  int64_t size;    // patches of a row and of a column
  int64_t window;  // likewise of a window
  int64_t shift;   // by how many patches the windows are shifted
  double mlp_ratio, attention_dropout, drop_path;
};

/// Attention within windows and a network of each patch: x [N, size, size, dim].
class SwinBlock : public nn::Module {
 public:
  explicit SwinBlock(const SwinBlockOptions& options);
  std::string type_name() const override { return "SwinTransformerBlock"; }
  Tensor forward(const Tensor& x) override;

 private:
  Tensor windowed(const Tensor& x);
  Tensor attend(const Tensor& windows, int64_t batch);
  /// What is added to the scores: [1 or windows, heads, patches, patches].
  Tensor bias() const;

  SwinBlockOptions options_;
};

/// Joins 2x2 patches into one of twice the channels: [N, H, W, C] -> [N, H/2, W/2, 2 C].
class PatchMerging : public nn::Module {
 public:
  explicit PatchMerging(int64_t dim);
  std::string type_name() const override { return "PatchMerging"; }
  Tensor forward(const Tensor& x) override;
};

/// Children `downsample` (where there is one) and `blocks`.
class SwinStage : public nn::Module {
 public:
  std::string type_name() const override { return "SwinTransformerStage"; }
  Tensor forward(const Tensor& x) override;
};

/// Liu et al., "Swin Transformer", 2021: x [N, in_channels, img_size, img_size] -> logits
/// [N, num_classes].
class SwinTransformer : public nn::Module {
 public:
  explicit SwinTransformer(const SwinConfig& config);
  std::string type_name() const override { return "SwinTransformer"; }
  /// ShapeError for images of another size.
  Tensor forward(const Tensor& x) override;
  const SwinConfig& config() const { return config_; }

 private:
  void add_stages();

  SwinConfig config_;
};

}  // namespace ds::hub
