// SPDX-License-Identifier: Apache-2.0
// Decoders with layer norms: GPT-NeoX, GPT-J, GPT-Neo, OPT, BLOOM, Falcon, Phi, StableLM,
// StarCoder2 and OLMo; names of parameters as in transformers. llama.h has those with root mean
// square norms.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/hub/rotary.h"
#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json; other families' keys for the same thing are translated to GPT-NeoX's.
struct DecoderConfig : HeadConfig {
  std::string model_type = "gpt_neox";  // a row of the table in decoder.cpp
  int64_t vocab_size = 50432, hidden_size = 6144, num_hidden_layers = 44, num_attention_heads = 64;
  std::optional<int64_t> num_key_value_heads = {};  // num_attention_heads when absent
  std::optional<int64_t> intermediate_size = {};    // 4 hidden_size when absent
  std::optional<int64_t> embedding_size = {};       // of words; hidden_size when absent
  std::string hidden_act = "gelu";
  int64_t max_position_embeddings = 2048;
  double layer_norm_eps = 1e-5, initializer_range = 0.02;
  double attention_dropout = 0, hidden_dropout = 0, embedding_dropout = 0;
  bool attention_bias = true;  // of query, key and value
  bool out_bias = true, mlp_bias = true;
  bool use_parallel_residual = true;  // attention and network look at the same
  bool two_norms = false;             // each through a norm of its own, in Falcon
  bool qk_layernorm = false;          // queries and keys of each head are normalised
  bool pre_norm = true;               // normalise before attention and network, not after the sums
  bool has_last_norm = true;
  bool norms_learn = true;            // norms have weights
  bool residual_behind_norm = false;  // shortcuts begin behind the norms
  bool tie_word_embeddings = false;
  std::optional<int64_t> pad_token_id = {};
  RopeConfig rope;
  /// So many tokens back, itself included, a token of layers whose layer_types say local sees.
  std::optional<int64_t> window = {};
  std::optional<std::vector<std::string>> layer_types = {};  // global or local
  double layerdrop = 0.0;                                    // of layers left out while training
  std::optional<double> clip_qkv = {};                       // a limit of projections
};

struct DecoderFamily;

/// Attention and a feed-forward network: x [B, T, hidden_size] -> the same shape.
class NormedDecoderLayer : public nn::Module {
 public:
  NormedDecoderLayer(const DecoderConfig& config, int64_t layer);
  std::string type_name() const override;
  using nn::Module::forward;
  /// rotation: of families with one. bias: added to the scores.
  Tensor forward(const Tensor& x, const std::optional<Rotation>& rotation,
                 const std::optional<Tensor>& mask, const std::optional<Tensor>& bias,
                 AttentionPlace place);

 private:
  Tensor attend(const Tensor& x, const std::optional<Rotation>& rotation,
                const std::optional<Tensor>& mask, const std::optional<Tensor>& bias,
                AttentionPlace place);
  Tensor feed_forward(const Tensor& x);

  DecoderConfig config_;
  int64_t layer_;
  const DecoderFamily& family_;
};

/// Black et al., "GPT-NeoX-20B", 2022, and Biderman et al., "Pythia", 2023; Wang and Komatsuzaki,
/// "GPT-J-6B", 2021; Black et al., "GPT-Neo", 2021; Zhang et al., "OPT", 2022; BigScience, "BLOOM",
/// 2022; Almazrouei et al., "Falcon", 2023; Lozhkov et al., "StarCoder 2", 2024; Groeneveld et al.,
/// "OLMo", 2024; Li et al., "Textbooks Are All You Need II: phi-1.5", 2023; Bellagente et al.,
/// "Stable LM 2 1.6B", 2024: last_hidden_state [B, T, hidden_size], or embedding_size where that
/// differs.
class NormedDecoderModel : public TextModel {
 public:
  explicit NormedDecoderModel(const DecoderConfig& config);
  std::string type_name() const override;
  using nn::Module::forward;
  Output forward(const TextInput& input) override;
  HeadSetting head_setting() const override;
  const DecoderConfig& config() const { return config_; }

 private:
  Tensor embed(const TextInput& input, const Tensor& first, const Tensor& positions);

  DecoderConfig config_;
  const DecoderFamily& family_;
};

}  // namespace ds::hub
