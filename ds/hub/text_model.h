// SPDX-License-Identifier: Apache-2.0
// What models of text have in common: their inputs, and what the heads above them need to know.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "ds/hub/transformer_block.h"

namespace ds::hub {

/// What all models of text take. Undefined and absent tensors are the same.
struct TextInput {
  std::optional<Tensor> input_ids;       // i64 [B, T]
  std::optional<Tensor> attention_mask;  // [B, T], 0 where there is padding
  std::optional<Tensor> token_type_ids;  // i64 [B, T], of families that tell parts of a text apart
  std::optional<Tensor> position_ids;    // i64 [B, T] or [1, T]
  std::optional<Tensor> inputs_embeds;   // [B, T, embedding size] instead of input_ids
  bool output_hidden_states = false, output_attentions = false;
  KeyValueCache* cache = nullptr;  // of generation: decides mask and positions
  bool output_router_logits = false;
};

/// Keys of config.json that heads look at.
struct HeadConfig {
  int64_t num_labels = 2;
  /// regression, single_label_classification or multi_label_classification; guessed from labels
  /// and num_labels when empty.
  std::string problem_type;
  std::optional<double> classifier_dropout = {};
};

/// What a head needs to know of the model below it.
struct HeadSetting {
  HeadConfig labels;
  std::string model_type;
  int64_t hidden_size = 0, embedding_size = 0, vocab_size = 0;
  std::optional<int64_t> max_positions = {}, pad_token_id = {};
  std::string table = {};  // name of the embeddings of words
  bool tied = false;       // the head that predicts words is that table
  std::string activation = {};
  /// Of the dense layers below the last ones, of norms, and of what predicts words behind those.
  bool dense_bias = true, norm_bias = true, decoder_bias = true;
  bool mean_of_tokens = false;  // classifiers of texts look at all tokens, not at the first
  double logits_scaling = 1;    // what predictions of words are divided by
  std::optional<double> logits_cap = {};  // and kept below, softly
  double eps = 1e-12, initializer_range = 0.02;
  double dropout = 0, classifier_dropout = 0, summary_dropout = 0;
  /// Experts a token chooses, where next words have a loss that balances them, and its weight.
  int64_t balanced_experts = 0;
  double balance_weight = 0;
  /// In longer texts positions are others, so what generation remembers is computed again.
  std::optional<int64_t> short_positions = {};
};

/// A model of text without a head: last_hidden_state [B, T, hidden_size] first, then perhaps
/// pooler_output [B, hidden_size].
class TextModel : public nn::Module {
 public:
  using nn::Module::forward;
  virtual Output forward(const TextInput& input) = 0;
  virtual HeadSetting head_setting() const = 0;
};

/// A pass over tokens i64 [B, T] that follow those of a cache, where they are remembered; no
/// gradients are recorded. attention_mask: [B, earlier ones and T], 0 where there is padding.
/// ValueError naming the model for another batch and for more tokens than it has positions for.
Output run_cached(const std::function<Output(const TextInput&)>& forward, const std::string& model,
                  std::optional<int64_t> max_positions, const Tensor& tokens,
                  const std::optional<Tensor>& attention_mask, KeyValueCache& cache,
                  bool output_hidden_states);

}  // namespace ds::hub
