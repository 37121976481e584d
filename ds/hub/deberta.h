// SPDX-License-Identifier: Apache-2.0
// DeBERTa, versions 2 and 3: attention that tells what a token says from where it stands; names of
// parameters as in transformers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/hub/text_model.h"

namespace ds::hub {

/// Keys of config.json.
struct DebertaConfig : HeadConfig {
  int64_t vocab_size = 128100, hidden_size = 1536, num_hidden_layers = 24, num_attention_heads = 24;
  int64_t intermediate_size = 6144, max_position_embeddings = 512, type_vocab_size = 0;
  std::optional<int64_t> embedding_size = {};  // hidden_size when absent
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1;
  double layer_norm_eps = 1e-7, initializer_range = 0.02;
  std::optional<int64_t> pad_token_id = 0;
  bool tie_word_embeddings = true;
  bool position_biased_input = true;  // embeddings know where tokens stand
  bool relative_attention = false;    // attention looks at distances
  /// What looks at what there: c2p, words at distances; p2c, distances at words.
  std::vector<std::string> pos_att_type = {};
  bool share_att_key = false;           // distances pass the projections of words
  int64_t max_relative_positions = -1;  // max_position_embeddings where it is not positive
  int64_t position_buckets = -1;        // distances told apart; all where it is not positive
  std::string norm_rel_ebd = "none";    // layer_norm: the table of distances is normalised
  /// A convolution beside the first layer; none where the size is 0.
  int64_t conv_kernel_size = 0, conv_groups = 1;
  std::string conv_act = "tanh";
};

/// He et al., "DeBERTa", 2020; He et al., "DeBERTaV3", 2021.
class DebertaModel : public TextModel {
 public:
  explicit DebertaModel(const DebertaConfig& config);
  std::string type_name() const override { return "DebertaV2Model"; }
  using nn::Module::forward;
  Output forward(const TextInput& input) override;
  HeadSetting head_setting() const override;

 private:
  struct Step;  // what all layers of a pass share
  Tensor embed(const TextInput& input);
  Tensor attend(nn::Module& layer, const Tensor& x, const Step& step);
  Tensor run_layer(nn::Module& layer, const Tensor& x, const Step& step);
  Tensor convolve(const Tensor& before, const Tensor& x, const TextInput& input);
  /// What distances add to the scores of q and k [B, T, heads, D].
  Tensor distance_scores(nn::Module& projections, const Tensor& q, const Tensor& k,
                         const Step& step);

  DebertaConfig config_;
};

}  // namespace ds::hub
