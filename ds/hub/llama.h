// SPDX-License-Identifier: Apache-2.0
// Llama and decoders like it, among them Qwen, Mistral, Gemma, Phi-3, OLMo 2 and Granite; names of
// parameters as in transformers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ds/hub/rotary.h"
#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json; those of rope_parameters are in `rope`.
struct LlamaConfig : HeadConfig {
  std::string model_type = "llama";  // a row of the table in llama.cpp
  int64_t vocab_size = 32000, hidden_size = 4096, intermediate_size = 11008;
  int64_t num_hidden_layers = 32, num_attention_heads = 32;
  std::optional<int64_t> num_key_value_heads = {};  // num_attention_heads when absent
  std::optional<int64_t> head_dim = {};             // hidden_size / num_attention_heads when absent
  std::string hidden_act = "silu";
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6, initializer_range = 0.02, attention_dropout = 0.0;
  bool attention_bias = false, mlp_bias = false, tie_word_embeddings = false;
  std::optional<int64_t> pad_token_id = {};
  /// So many tokens back, itself included, a token of the layers from max_window_layers on sees, or
  /// of those whose layer_types say sliding_attention; all without it.
  std::optional<int64_t> sliding_window = {};
  int64_t max_window_layers = 0;
  std::optional<std::vector<std::string>> layer_types = {};
  RopeConfig rope;
  std::optional<RopeConfig> sliding_rope = {};              // of those layers, where it differs
  std::optional<std::vector<int64_t>> no_rope_layers = {};  // 0 for layers without positions
  // Numbers that scale: embeddings, what layers add, the scores of attention, and what words'
  // predictions are divided by; limits of scores, predictions and projections.
  double embedding_multiplier = 1, residual_multiplier = 1, logits_scaling = 1;
  std::optional<double> attention_multiplier = {};
  std::optional<double> attn_logit_softcapping = {}, final_logit_softcapping = {}, clip_qkv = {};
  double resid_pdrop = 0;  // dropout of what layers add
  // Experts, of every decoder_sparse_step-th layer that mlp_only_layers does not name.
  int64_t num_experts = 0, decoder_sparse_step = 1;
  std::optional<int64_t> num_experts_per_tok = {}, moe_intermediate_size = {};
  std::optional<std::vector<int64_t>> mlp_only_layers = {};
  bool norm_topk_prob = false;                  // weights of the chosen experts have sum 1
  int64_t shared_expert_intermediate_size = 0;  // of one that all tokens use
  double router_aux_loss_coef = 0.001;          // of the loss that balances experts
};

struct LlamaFamily;

/// A layer with rotary positions: x [B, T, hidden_size] -> the same shape.
class DecoderLayer : public nn::Module {
 public:
  using nn::Module::forward;
  virtual Tensor forward(const Tensor& x, const Rotation& rotation,
                         const std::optional<Tensor>& mask, AttentionPlace place) = 0;
};

/// Attention with rotary positions and shared keys, and a gated feed-forward network or experts,
/// each with root mean square norms and beside a shortcut. x [B, T, hidden_size] -> the same shape.
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
  Tensor feed_forward(const Tensor& x, AttentionPlace place);
  /// x with what a branch made of it, y, added.
  Tensor added(const Tensor& x, const Tensor& y) const;

  LlamaConfig config_;
  int64_t layer_;
  const LlamaFamily& family_;
};

/// Touvron et al., "LLaMA", 2023; Jiang et al., "Mistral 7B", 2023, and "Mixtral of Experts", 2024;
/// Yang et al., "Qwen2", 2024, and "Qwen3", 2025; Gemma Team, "Gemma 2", 2024, and "Gemma 3", 2025;
/// Abdin et al., "Phi-3", 2024; OLMo Team, "2 OLMo 2 Furious", 2024: last_hidden_state
/// [B, T, hidden_size].
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
