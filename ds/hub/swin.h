// SPDX-License-Identifier: Apache-2.0
// Swin Transformer; names of parameters as in timm.
#pragma once

#include <optional>
#include <string>
#include <vector>

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

/// Sizes of a Swin Transformer, with the model's name and its key for the image size.
struct SwinSizes {
  const char* model;
  const char* image_key;
  int64_t image_size, patch_size, window_size, embed_dim;
  const std::vector<int64_t>&depths, &num_heads;
};
/// ValueError for sizes that make no model.
void check_swin_sizes(const SwinSizes& sizes);

/// Dotted names below a block; qkv replaces query, key and value where they are one projection.
struct SwinBlockNames {
  const char *attention_norm = "norm1", *mlp_norm = "norm2";
  const char *query = nullptr, *key = nullptr, *value = nullptr, *qkv = "attn.qkv";
  const char* out = "attn.proj";
  const char* bias = "attn";  // the group of relative_position_bias_table
  const char *up = "mlp.fc1", *down = "mlp.fc2";
};

struct SwinBlockOptions {
  int64_t dim, heads;
  int64_t size;    // patches of a row and of a column
  int64_t window;  // likewise of a window
  int64_t shift;   // by how many patches the windows are shifted
  double mlp_ratio, attention_dropout, drop_path;
  double dropout = 0, eps = 1e-5;
  std::string activation = "gelu";
  bool qkv_bias = true;
  /// transformers' way: borders are added before the windows are shifted, which they are not where
  /// there is but one along an edge; no sample leaves out the network.
  bool border_first = false;
};

/// Attention within windows and a network of each patch: x [N, size, size, dim], or of other sides.
class SwinBlock : public nn::Module {
 public:
  explicit SwinBlock(const SwinBlockOptions& options, const SwinBlockNames& names = {});
  std::string type_name() const override { return "SwinTransformerBlock"; }
  Tensor forward(const Tensor& x) override { return forward(x, nullptr); }
  /// weights: takes how much patches look at each other, [N * windows, heads, window^2, window^2].
  Tensor forward(const Tensor& x, std::vector<Tensor>* weights);

 private:
  Tensor windowed(const Tensor& x, std::vector<Tensor>* weights);
  Tensor attend(const Tensor& windows, const std::optional<Tensor>& mask,
                std::vector<Tensor>* weights);
  /// What is added to the scores: [1 or windows, heads, patches, patches].
  Tensor bias(const std::optional<Tensor>& mask);

  SwinBlockOptions options_;
  SwinBlockNames names_;
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
