// SPDX-License-Identifier: Apache-2.0
// Vision transformers: ViT, DeiT and DINOv2; names of parameters as in timm.
#pragma once

#include <optional>

#include "ds/hub/transformer_block.h"
#include "ds/hub/vision_parts.h"

namespace ds::hub {

struct VisionTransformerConfig {
  int64_t img_size = 224, patch_size = 16, in_channels = 3, num_classes = 1000;
  int64_t embed_dim = 768, depth = 12, num_heads = 12;
  double mlp_ratio = 4.0;
  std::string global_pool = "token";       // token: the class token is classified; avg: all patches
  std::optional<double> init_values = {};  // LayerScale's start; without one there is none
  bool no_embed_class = false;             // only patches have positions
  bool distilled = false;  // a second token with a head of its own; the two are averaged
  int64_t reg_tokens = 0;  // registers beside the class token (Darcet et al., 2023)
  bool pre_norm = false;   // normalise the embeddings, whose projection then has no bias
  std::string act_layer = "gelu";
  double norm_eps = 1e-6;
  double drop_rate = 0, pos_drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0;
};

/// timm's sizes: vit_*, deit_*, deit3_*.
const NamedSizes<VisionTransformerConfig>& vision_transformers();

/// Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020; Touvron et al., "Training
/// data-efficient image transformers", 2020: x [N, in_channels, img_size, img_size] -> logits
/// [N, num_classes].
class VisionTransformer : public nn::Module {
 public:
  explicit VisionTransformer(const VisionTransformerConfig& config);
  std::string type_name() const override { return "VisionTransformer"; }
  /// ShapeError for images of another size.
  Tensor forward(const Tensor& x) override;
  /// [N, tokens, embed_dim]: after the last norm.
  Tensor forward_features(const Tensor& x);
  const VisionTransformerConfig& config() const { return config_; }

 private:
  Tensor embed(const Tensor& x);
  int64_t prefix_tokens() const { return 1 + config_.reg_tokens + (config_.distilled ? 1 : 0); }

  VisionTransformerConfig config_;
};

}  // namespace ds::hub
