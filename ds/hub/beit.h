// SPDX-License-Identifier: Apache-2.0
// BEiT as transformers has it: names of parameters are its own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/hub/vit.h"

namespace ds::hub {

/// Keys of config.json.
struct BeitConfig : HeadConfig {
  int64_t vocab_size = 8192;  // of the words that hidden patches stand for
  int64_t hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0, attention_probs_dropout_prob = 0;
  double initializer_range = 0.02, layer_norm_eps = 1e-12;
  int64_t image_size = 224, patch_size = 16, num_channels = 3;
  bool use_mask_token = false, use_absolute_position_embeddings = false;
  /// Distances add to scores: by a table of each layer, by one of all.
  bool use_relative_position_bias = false, use_shared_relative_position_bias = false;
  double layer_scale_init_value = 0.1;  // 0: what layers add is not scaled
  double drop_path_rate = 0.1;
  bool use_mean_pooling = true;  // of patches; else the class token is taken
  // Of the head that tells the class of every pixel: hidden states it looks at, counted from 1, the
  // sizes it pools to, and a second head whose loss helps to train.
  std::vector<int64_t> out_indices, pool_scales{1, 2, 3, 6};
  bool use_auxiliary_head = true, auxiliary_concat_input = false;
  double auxiliary_loss_weight = 0.4;
  int64_t auxiliary_channels = 256, auxiliary_num_convs = 1, semantic_loss_ignore_index = 255;
};

/// Bao et al., "BEiT", 2021: last_hidden_state [N, tokens, hidden_size] and, with pooling,
/// pooler_output [N, hidden_size]. Positions are resized to those of every image.
class BeitModel : public nn::Module {
 public:
  using Config = BeitConfig;
  explicit BeitModel(const BeitConfig& config, bool pooling = true);
  std::string type_name() const override { return "BeitModel"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input);

 private:
  Tensor embed(const ImageInput& input);

  BeitConfig config_;
  bool pooling_;
};

/// Logits [N, patches, vocab_size] of the words that patches stand for, and with labels i64 [hidden
/// patches] the loss.
class BeitForMaskedImageModeling : public nn::Module {
 public:
  explicit BeitForMaskedImageModeling(const BeitConfig& config);
  std::string type_name() const override { return "BeitForMaskedImageModeling"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input, const std::optional<Tensor>& labels = {});
};

/// Logits [N, num_labels, 4 * rows, 4 * columns] of the patches, and with labels i64 [N, H, W] the
/// loss (Xiao et al., "Unified Perceptual Parsing for Scene Understanding", 2018).
class BeitForSemanticSegmentation : public nn::Module {
 public:
  explicit BeitForSemanticSegmentation(const BeitConfig& config);
  std::string type_name() const override { return "BeitForSemanticSegmentation"; }
  using nn::Module::forward;
  Output forward(const ImageInput& input, const std::optional<Tensor>& labels = {});

 private:
  BeitConfig config_;
};

}  // namespace ds::hub
