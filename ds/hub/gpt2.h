// SPDX-License-Identifier: Apache-2.0
// GPT-2; names of parameters as in transformers.
#pragma once

#include <optional>
#include <string>

#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json.
struct GPT2Config : HeadConfig {
  int64_t vocab_size = 50257, n_positions = 1024, n_embd = 768, n_layer = 12, n_head = 12;
  std::optional<int64_t> n_inner = {};  // 4 n_embd when absent
  std::string activation_function = "gelu_new";
  double resid_pdrop = 0.1, embd_pdrop = 0.1, attn_pdrop = 0.1;
  double layer_norm_epsilon = 1e-5, initializer_range = 0.02;
  bool scale_attn_weights = true, scale_attn_by_inverse_layer_idx = false;
  bool tie_word_embeddings = true;
  std::optional<int64_t> pad_token_id = {};
  double summary_first_dropout = 0.1;  // of the head that chooses
};

/// Radford et al., "Language Models are Unsupervised Multitask Learners", 2019:
/// last_hidden_state [B, T, n_embd].
class GPT2Model : public TextModel {
 public:
  explicit GPT2Model(const GPT2Config& config);
  std::string type_name() const override { return "GPT2Model"; }
  using nn::Module::forward;
  Output forward(const TextInput& input) override;
  HeadSetting head_setting() const override;
  const GPT2Config& config() const { return config_; }

 private:
  GPT2Config config_;
};

}  // namespace ds::hub
