// SPDX-License-Identifier: Apache-2.0
// ModernBERT: an encoder whose tokens turn by their positions and mostly look at near ones; names
// of parameters as in transformers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/hub/rotary.h"
#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json.
struct ModernBertConfig : HeadConfig {
  int64_t vocab_size = 50368, hidden_size = 768, intermediate_size = 1152;
  int64_t num_hidden_layers = 22, num_attention_heads = 12, max_position_embeddings = 8192;
  std::string hidden_activation = "gelu", classifier_activation = "gelu";
  double initializer_range = 0.02, initializer_cutoff_factor = 2.0, norm_eps = 1e-5;
  double embedding_dropout = 0.0, attention_dropout = 0.0, mlp_dropout = 0.0;
  bool norm_bias = false, attention_bias = false, mlp_bias = false;
  bool classifier_bias = false, decoder_bias = true;
  std::string classifier_pooling = "cls";  // the first token, or the mean of all
  std::optional<int64_t> pad_token_id = 50283;
  bool tie_word_embeddings = true;
  /// Of each layer: full_attention, or sliding_attention, which sees local_attention / 2 tokens to
  /// each side.
  std::vector<std::string> layer_types = {};
  int64_t local_attention = 128;
  RopeConfig rope = {.theta = 160000.0}, sliding_rope = {};
};

/// Warner et al., "Smarter, Better, Faster, Longer" (ModernBERT), 2024.
class ModernBertModel : public TextModel {
 public:
  explicit ModernBertModel(const ModernBertConfig& config);
  std::string type_name() const override { return "ModernBertModel"; }
  using nn::Module::forward;
  Output forward(const TextInput& input) override;
  HeadSetting head_setting() const override;

 private:
  struct View;  // what layers of one type share
  Tensor attend(nn::Module& layer, const Tensor& x, const View& view);
  Tensor feed_forward(nn::Module& layer, const Tensor& x);

  ModernBertConfig config_;
};

}  // namespace ds::hub
