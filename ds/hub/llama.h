// SPDX-License-Identifier: Apache-2.0
// Llama and decoders like it (Qwen2, Qwen3, Mistral); names of parameters as in transformers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ds/hub/rotary.h"
#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json; those of rope_parameters are in `rope`.
struct LlamaConfig : HeadConfig {
  std::string model_type = "llama";  // llama, qwen2, qwen3 or mistral
  int64_t vocab_size = 32000, hidden_size = 4096, intermediate_size = 11008;
  int64_t num_hidden_layers = 32, num_attention_heads = 32;
  std::optional<int64_t> num_key_value_heads = {};  // num_attention_heads when absent
  std::optional<int64_t> head_dim = {};             // hidden_size / num_attention_heads when absent
  std::string hidden_act = "silu";
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6, initializer_range = 0.02, attention_dropout = 0.0;
  bool attention_bias = false, mlp_bias = false, tie_word_embeddings = false;
  std::optional<int64_t> pad_token_id = {};
  /// So many tokens back, itself included, a token of the layers from max_window_layers on sees;
  /// all without it.
  std::optional<int64_t> sliding_window = {};
  int64_t max_window_layers = 0;
  RopeConfig rope;
};

struct LlamaFamily;

/// A layer with rotary positions: x [B, T, hidden_size] -> the same shape.
class DecoderLayer : public nn::Module {
 public:
  using nn::Module::forward;
  virtual Tensor forward(const Tensor& x, const Rotation& rotation,
                         const std::optional<Tensor>& mask, AttentionPlace place) = 0;
};

/// Attention with rotary positions and shared keys, and a gated feed-forward network, each behind a
/// root mean square norm and beside a shortcut. x [B, T, hidden_size] -> the same shape.
class LlamaLayer : public DecoderLayer {
 public:
  LlamaLayer(const LlamaConfig& config, int64_t layer);
  std::string type_name() const override;
  using nn::Module::forward;
  Tensor forward(const Tensor& x, const Rotation& rotation, const std::optional<Tensor>& mask,
                 AttentionPlace place) override;

 private:
  Tensor attend(const Tensor& x, const Rotation& rotation, const std::optional<Tensor>& mask,
                AttentionPlace place);

  LlamaConfig config_;
  int64_t layer_;
  const LlamaFamily& family_;
};

/// Touvron et al., "LLaMA", 2023; Jiang et al., "Mistral 7B", 2023; Yang et al., "Qwen2", 2024:
/// last_hidden_state [B, T, hidden_size].
class LlamaModel : public TextModel {
 public:
  explicit LlamaModel(const LlamaConfig& config);
  std::string type_name() const override;
  using nn::Module::forward;
  Output forward(const TextInput& input) override;
  HeadSetting head_setting() const override;
  const LlamaConfig& config() const { return config_; }

 protected:
  using LayerMaker = std::function<std::shared_ptr<DecoderLayer>(int64_t layer)>;
  LlamaModel(const LlamaConfig& config, const LayerMaker& make);

 private:
  LlamaConfig config_;
  const LlamaFamily& family_;
};

}  // namespace ds::hub
