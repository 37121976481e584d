// SPDX-License-Identifier: Apache-2.0
// CLIP: images and texts in one space; names of parameters as in transformers.
#pragma once

#include <optional>
#include <string>

#include "ds/hub/text_model.h"

namespace ds::hub {

/// What both encoders have; keys of config.json.
struct CLIPEncoderConfig {
  int64_t hidden_size = 512, intermediate_size = 2048, projection_dim = 512;
  int64_t num_hidden_layers = 12, num_attention_heads = 8;
  std::string hidden_act = "quick_gelu";
  double layer_norm_eps = 1e-5, attention_dropout = 0;
  double initializer_range = 0.02, initializer_factor = 1.0;
};

struct CLIPTextConfig : CLIPEncoderConfig {
  int64_t vocab_size = 49408, max_position_embeddings = 77, eos_token_id = 49407;
};

struct CLIPVisionConfig : CLIPEncoderConfig {
  CLIPVisionConfig() {
    hidden_size = 768;
    intermediate_size = 3072;
    num_attention_heads = 12;
  }
  int64_t num_channels = 3, image_size = 224, patch_size = 32;
};

struct CLIPConfig : HeadConfig {
  CLIPTextConfig text;
  CLIPVisionConfig vision;
  int64_t projection_dim = 512;
  double logit_scale_init_value = 2.6592, initializer_factor = 1.0;
};

struct CLIPTextInput {
  std::optional<Tensor> input_ids;       // i64 [B, T]
  std::optional<Tensor> attention_mask;  // [B, T], 0 where there is padding
  std::optional<Tensor> position_ids;    // i64 [B, T] or [1, T]
  bool output_hidden_states = false, output_attentions = false;
};

struct CLIPImageInput {
  std::optional<Tensor> pixel_values;  // [N, num_channels, image_size, image_size]
  bool output_hidden_states = false, output_attentions = false;
};

/// last_hidden_state [B, T, hidden_size] and pooler_output [B, hidden_size]: the state of the token
/// that ends the text.
class CLIPTextModel : public nn::Module {
 public:
  explicit CLIPTextModel(const CLIPTextConfig& config);
  std::string type_name() const override { return "CLIPTextModel"; }
  using nn::Module::forward;
  Output forward(const CLIPTextInput& input);

 private:
  CLIPTextConfig config_;
};

/// text_embeds [B, projection_dim], then the encoder's last_hidden_state.
class CLIPTextModelWithProjection : public nn::Module {
 public:
  explicit CLIPTextModelWithProjection(const CLIPTextConfig& config);
  std::string type_name() const override { return "CLIPTextModelWithProjection"; }
  using nn::Module::forward;
  Output forward(const CLIPTextInput& input);
};

/// last_hidden_state [N, 1 + patches, hidden_size] and pooler_output [N, hidden_size]: the
/// normalised state of the class token.
class CLIPVisionModel : public nn::Module {
 public:
  explicit CLIPVisionModel(const CLIPVisionConfig& config);
  std::string type_name() const override { return "CLIPVisionModel"; }
  using nn::Module::forward;
  Output forward(const CLIPImageInput& input);

 private:
  CLIPVisionConfig config_;
};

/// image_embeds [N, projection_dim], then the encoder's last_hidden_state.
class CLIPVisionModelWithProjection : public nn::Module {
 public:
  explicit CLIPVisionModelWithProjection(const CLIPVisionConfig& config);
  std::string type_name() const override { return "CLIPVisionModelWithProjection"; }
  using nn::Module::forward;
  Output forward(const CLIPImageInput& input);
};

/// Logits [N, num_labels] of the mean of the patches, and with labels the loss.
class CLIPForImageClassification : public nn::Module {
 public:
  explicit CLIPForImageClassification(const CLIPConfig& config);
  std::string type_name() const override { return "CLIPForImageClassification"; }
  using nn::Module::forward;
  Output forward(const CLIPImageInput& input, const std::optional<Tensor>& labels = {});

 private:
  HeadConfig config_;
};

struct CLIPOutput {
  Tensor loss;  // undefined unless it was asked for
  Tensor logits_per_image, logits_per_text;
  Tensor text_embeds, image_embeds;  // of length 1
  Output text, vision;               // pooler_output is projected
};

/// Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
class CLIPModel : public nn::Module {
 public:
  explicit CLIPModel(const CLIPConfig& config);
  std::string type_name() const override { return "CLIPModel"; }
  using nn::Module::forward;
  /// Similarities of every image and every text, times exp(logit_scale). With return_loss, image i
  /// belongs to text i.
  CLIPOutput forward(const CLIPTextInput& text, const CLIPImageInput& images,
                     bool return_loss = false);
  /// The encoder's output with a projected pooler_output [B, projection_dim].
  Output text_features(const CLIPTextInput& text);
  Output image_features(const CLIPImageInput& images);
};

}  // namespace ds::hub
