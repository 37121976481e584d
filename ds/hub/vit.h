// SPDX-License-Identifier: Apache-2.0
// Vision transformers as transformers has them (ViT, DeiT and DINOv2): names of parameters are its
// own.
// vision_transformer.h has those of timm.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json.
struct ViTConfig : HeadConfig {
  std::string model_type = "vit";  // vit, deit, which has a token for distillation, or dinov2
  int64_t hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0, attention_probs_dropout_prob = 0;
  double initializer_range = 0.02, layer_norm_eps = 1e-12;
  int64_t image_size = 224, patch_size = 16, num_channels = 3;
  bool qkv_bias = true;
  std::optional<int64_t> pooler_output_size = {};  // hidden_size when absent
  std::string pooler_act = "tanh";
  int64_t encoder_stride = 16;  // pixels a patch of images that are made again
  // Of DINOv2: what branches are multiplied by at the start, and how often they are left out.
  double layerscale_value = 1, drop_path_rate = 0;
  bool use_swiglu_ffn = false;  // networks are gated
  bool use_mask_token = true;
};

struct ImageInput {
  std::optional<Tensor> pixel_values;  // [N, num_channels, image_size, image_size]
  bool output_hidden_states = false, output_attentions = false;
  /// Images of another size: the grid of positions is resized to theirs.
  bool interpolate_pos_encoding = false;
  std::optional<Tensor> bool_masked_pos = {};  // [N, patches]: those that are hidden
};

struct ViTFamily;

/// Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020; Touvron et al., "Training
/// data-efficient image transformers", 2020; Oquab et al., "DINOv2", 2023: last_hidden_state
/// [N, tokens, hidden_size] and, with pooling, pooler_output [N, pooler_output_size] of the class
/// token.
class ViTModel : public nn::Module {
 public:
  using Config = ViTConfig;
  explicit ViTModel(const ViTConfig& config, bool pooling = true, bool mask_token = false);
  std::string type_name() const override;
  using nn::Module::forward;
  /// ShapeError for images of another size, unless positions are interpolated, as DINOv2's always
  /// are.
  Output forward(const ImageInput& input);

 private:
  Tensor embed(const ImageInput& input);
  Tensor positions(int64_t height, int64_t width) const;

  ViTConfig config_;
  const ViTFamily& family_;
};

/// Images made again of their patches, "reconstruction" [N, num_channels, image_size, image_size]
/// (Xie et al., "SimMIM", 2021): where patches are hidden, the loss is the mean difference there.
class ViTForMaskedImageModeling : public nn::Module {
 public:
  explicit ViTForMaskedImageModeling(const ViTConfig& config);
  std::string type_name() const override;
  using nn::Module::forward;
  Output forward(const ImageInput& input);

 private:
  ViTConfig config_;
};

/// DeiT as it was distilled: logits, the mean of cls_logits and distillation_logits, of a head
/// above each of its tokens.
class DeiTForImageClassificationWithTeacher : public nn::Module {
 public:
  explicit DeiTForImageClassificationWithTeacher(const ViTConfig& config);
  std::string type_name() const override { return "DeiTForImageClassificationWithTeacher"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input);
};

}  // namespace ds::hub
