// SPDX-License-Identifier: Apache-2.0
// Text encoders: BERT, RoBERTa and its kin, DistilBERT, ALBERT, ELECTRA and MPNet; names of
// parameters as in transformers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json; other families' keys for the same thing are translated to BERT's.
struct EncoderConfig : HeadConfig {
  std::string model_type = "bert";  // a row of the table in encoder.cpp
  int64_t vocab_size = 30522, hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12;
  int64_t intermediate_size = 3072, max_position_embeddings = 512, type_vocab_size = 2;
  std::optional<int64_t> embedding_size = {};  // of ALBERT and ELECTRA; hidden_size when absent
  /// Of ALBERT: layers of a group share their parameters, and each is so many in a row.
  int64_t num_hidden_groups = 1, inner_group_num = 1;
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1;
  double layer_norm_eps = 1e-12, initializer_range = 0.02;
  std::optional<int64_t> pad_token_id = 0;
  bool tie_word_embeddings = true;
  bool is_decoder = false;                      // a token sees those before it alone
  int64_t relative_attention_num_buckets = 32;  // of MPNet: distances that are told apart
};

struct EncoderFamily;

/// Embeddings, layers and (with pooling) a dense layer on the first token: last_hidden_state
/// [B, T, hidden_size] and pooler_output [B, hidden_size]. Devlin et al., "BERT", 2018; Liu et al.,
/// "RoBERTa", 2019; Sanh et al., "DistilBERT", 2019; Lan et al., "ALBERT", 2019; Clark et al.,
/// "ELECTRA", 2020; Conneau et al., "XLM-R", 2019; Martin et al., "CamemBERT", 2019; Song et al.,
/// "MPNet", 2020.
class EncoderModel : public TextModel {
 public:
  explicit EncoderModel(const EncoderConfig& config, bool pooling = true);
  std::string type_name() const override;
  using nn::Module::forward;
  Output forward(const TextInput& input) override;
  HeadSetting head_setting() const override;
  const EncoderConfig& config() const { return config_; }

 private:
  Tensor embed(const TextInput& input);
  Tensor positions(const TextInput& input, const Tensor& like) const;
  /// The blocks a text passes, those with shared parameters as often as it does.
  std::vector<TransformerBlock*> path();

  EncoderConfig config_;
  const EncoderFamily& family_;
};

}  // namespace ds::hub
