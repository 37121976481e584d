// SPDX-License-Identifier: Apache-2.0
// SegFormer: a transformer in stages, and a head that tells the class of every pixel; names of
// parameters as in transformers.
#pragma once

#include <string>
#include <vector>

#include "ds/hub/image_bodies.h"

namespace ds::hub {

/// Keys of config.json.
struct SegformerConfig : HeadConfig {
  int64_t num_channels = 3, num_encoder_blocks = 4;
  std::vector<int64_t> depths{2, 2, 2, 2}, hidden_sizes{32, 64, 160, 256};
  std::vector<int64_t> sr_ratios{8, 4, 2, 1};  // pixels a key stands for, each way
  std::vector<int64_t> patch_sizes{7, 3, 3, 3}, strides{4, 2, 2, 2};
  std::vector<int64_t> num_attention_heads{1, 2, 5, 8}, mlp_ratios{4, 4, 4, 4};
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0, attention_probs_dropout_prob = 0, classifier_dropout_prob = 0.1;
  double initializer_range = 0.02, drop_path_rate = 0.1;
  int64_t decoder_hidden_size = 256, semantic_loss_ignore_index = 255;
  bool reshape_last_stage = true;
};

/// Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
/// Transformers", 2021: last_hidden_state [N, C, H, W] ([N, H * W, C] unless reshape_last_stage).
/// hidden_states are those of every stage.
class SegformerModel : public ImageBody {
 public:
  using Config = SegformerConfig;
  explicit SegformerModel(const SegformerConfig& config);
  std::string type_name() const override { return "SegformerModel"; }
  using ImageBody::forward;
  Output forward(const ImageInput& input) override;
  /// The results [N, C, H, W] of all stages.
  std::vector<Tensor> stages(const ImageInput& input, Output& out);

 private:
  SegformerConfig config_;
};

/// Logits [N, num_labels, H / 4, W / 4], and with labels i64 [N, H, W] the loss.
class SegformerForSemanticSegmentation : public nn::Module {
 public:
  explicit SegformerForSemanticSegmentation(const SegformerConfig& config);
  std::string type_name() const override { return "SegformerForSemanticSegmentation"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input, const std::optional<Tensor>& labels = {});

 private:
  SegformerConfig config_;
};

}  // namespace ds::hub
