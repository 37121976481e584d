// SPDX-License-Identifier: Apache-2.0
// Text encoders: BERT, RoBERTa and DistilBERT with their heads; names of parameters as in
// transformers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ds/hub/transformer_block.h"

namespace ds::hub {

/// Keys of config.json; other families' keys for the same thing are translated to BERT's.
struct EncoderConfig {
  std::string model_type = "bert";  // bert, roberta or distilbert
  int64_t vocab_size = 30522, hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12;
  int64_t intermediate_size = 3072, max_position_embeddings = 512, type_vocab_size = 2;
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1;
  std::optional<double> classifier_dropout = {};  // hidden_dropout_prob when absent
  double layer_norm_eps = 1e-12, initializer_range = 0.02;
  std::optional<int64_t> pad_token_id = 0;
  bool tie_word_embeddings = true;
  int64_t num_labels = 2;
  /// regression, single_label_classification or multi_label_classification; guessed from labels
  /// and num_labels when empty.
  std::string problem_type;
};

/// What all encoders take. Undefined and absent tensors are the same.
struct EncoderInput {
  std::optional<Tensor> input_ids;       // i64 [B, T]
  std::optional<Tensor> attention_mask;  // [B, T], 0 where there is padding
  std::optional<Tensor> token_type_ids;  // i64 [B, T]; 0 by default
  std::optional<Tensor> position_ids;    // i64 [B, T] or [1, T]
  std::optional<Tensor> inputs_embeds;   // [B, T, hidden_size] instead of input_ids
  bool output_hidden_states = false;
};

struct EncoderFamily;

/// Embeddings, layers and (with pooling) a dense layer on the first token: last_hidden_state
/// [B, T, hidden_size] and pooler_output [B, hidden_size]. Devlin et al., "BERT", 2018; Liu et al.,
/// "RoBERTa", 2019; Sanh et al., "DistilBERT", 2019.
class EncoderModel : public nn::Module {
 public:
  explicit EncoderModel(const EncoderConfig& config, bool pooling = true);
  std::string type_name() const override;
  using nn::Module::forward;
  Output forward(const EncoderInput& input);
  const EncoderConfig& config() const { return config_; }

 private:
  Tensor embed(const EncoderInput& input);
  Tensor positions(const EncoderInput& input, const Tensor& like) const;

  EncoderConfig config_;
  const EncoderFamily& family_;
};

enum class EncoderTask { masked_lm, sequence, token, question_answering };

/// An encoder below a head: logits, or start_logits and end_logits, and with labels a loss.
class EncoderWithHead : public nn::Module {
 public:
  EncoderWithHead(const EncoderConfig& config, EncoderTask task);
  std::string type_name() const override;
  using nn::Module::forward;
  /// labels: i64 [B] of sequence (f32 for other problem types), [B, T] of masked_lm and token with
  /// -100 where there is nothing to predict; question_answering takes start and end positions [B].
  Output forward(const EncoderInput& input, const std::optional<Tensor>& labels = {},
                 const std::optional<Tensor>& end_positions = {});
  const EncoderConfig& config() const { return config_; }
  EncoderTask task() const { return task_; }

 private:
  Tensor masked_lm_logits(const Tensor& hidden);
  Tensor sequence_logits(const Output& body);
  Tensor sequence_loss(const Tensor& logits, const Tensor& labels) const;

  EncoderConfig config_;
  EncoderTask task_;
  const EncoderFamily& family_;
};

}  // namespace ds::hub
