// SPDX-License-Identifier: Apache-2.0
// SigLIP: images and texts in one space, each pair judged by itself; names of parameters as in
// transformers.
#pragma once

#include <optional>
#include <string>

#include "ds/hub/clip.h"
#include "ds/hub/vit.h"

namespace ds::hub {

/// What both encoders have; keys of config.json.
struct SiglipEncoderConfig : CLIPEncoderConfig {
  SiglipEncoderConfig() {
    hidden_size = 768;
    intermediate_size = 3072;
    num_attention_heads = 12;
    hidden_act = "gelu_pytorch_tanh";
    layer_norm_eps = 1e-6;
  }
};

struct SiglipTextConfig : SiglipEncoderConfig {
  int64_t vocab_size = 32000, max_position_embeddings = 64;
  std::optional<int64_t> projection_size = {};  // hidden_size when absent
};

struct SiglipVisionConfig : SiglipEncoderConfig {
  int64_t num_channels = 3, image_size = 224, patch_size = 16;
  bool vision_use_head = true;  // attention pools the patches
};

struct SiglipConfig : HeadConfig {
  SiglipTextConfig text;
  SiglipVisionConfig vision;
  double initializer_factor = 1.0;
};

/// last_hidden_state [B, T, hidden_size] and pooler_output [B, projection_size] of the last token,
/// padding or not.
class SiglipTextModel : public nn::Module {
 public:
  explicit SiglipTextModel(const SiglipTextConfig& config);
  std::string type_name() const override { return "SiglipTextModel"; }
  using nn::Module::forward;
  Output forward(const CLIPTextInput& input);

 private:
  SiglipTextConfig config_;
};

/// last_hidden_state [N, patches, hidden_size] and, with a head, pooler_output [N, hidden_size].
class SiglipVisionModel : public nn::Module {
 public:
  explicit SiglipVisionModel(const SiglipVisionConfig& config);
  std::string type_name() const override { return "SiglipVisionModel"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input);

 private:
  SiglipVisionConfig config_;
};

/// Logits [N, num_labels] of the mean of the patches, and with labels the loss.
class SiglipForImageClassification : public nn::Module {
 public:
  explicit SiglipForImageClassification(const SiglipConfig& config);
  std::string type_name() const override { return "SiglipForImageClassification"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input, const std::optional<Tensor>& labels = {});

 private:
  HeadConfig config_;
};

/// Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023.
class SiglipModel : public nn::Module {
 public:
  explicit SiglipModel(const SiglipConfig& config);
  std::string type_name() const override { return "SiglipModel"; }
  using nn::Module::forward;
  /// Similarities of every image and every text, times exp(logit_scale), plus logit_bias; their
  /// sigmoid is how likely they belong together. With return_loss, image i belongs to text i.
  CLIPOutput forward(const CLIPTextInput& text, const ImageInput& images, bool return_loss = false);
};

}  // namespace ds::hub
