// SPDX-License-Identifier: Apache-2.0
// BART and its kin, mBART, PEGASUS and Marian: encoders with decoders that write; names of
// parameters as in transformers.
#pragma once

#include <optional>
#include <string>

#include "ds/hub/seq2seq.h"

namespace ds::hub {

/// Keys of config.json.
struct BartConfig : HeadConfig {
  std::string model_type = "bart";  // a row of the table in bart.cpp
  int64_t vocab_size = 50265, d_model = 1024, max_position_embeddings = 1024;
  int64_t encoder_layers = 12, encoder_attention_heads = 16, encoder_ffn_dim = 4096;
  int64_t decoder_layers = 12, decoder_attention_heads = 16, decoder_ffn_dim = 4096;
  std::string activation_function = "gelu";
  double dropout = 0.1, attention_dropout = 0.0, activation_dropout = 0.0, init_std = 0.02;
  double encoder_layerdrop = 0.0, decoder_layerdrop = 0.0;  // layers left out while training
  bool scale_embedding = false;                             // by sqrt(d_model)
  bool tie_word_embeddings = true;                          // all tables and the head are one
  /// Of Marian: else encoder and decoder have tables of their own, of decoder_vocab_size rows the
  /// latter's, which is also the head.
  bool share_encoder_decoder_embeddings = true;
  std::optional<int64_t> decoder_vocab_size = {};
  std::optional<int64_t> pad_token_id = 1, decoder_start_token_id = 2, eos_token_id = 2;
};

struct BartFamily;

/// The layers of the encoder or of the decoder.
class BartStack : public TextStack {
 public:
  BartStack(const BartConfig& config, bool decoder);
  std::string type_name() const override { return "BartStack"; }
  using nn::Module::forward;
  Output forward(const StackInput& input) override;

 private:
  struct Step;  // what all layers of a pass share
  Tensor embed(const TextInput& text);
  Tensor run_layer(int64_t index, const Tensor& x, const Step& step);
  Tensor self_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step);
  Tensor cross_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step);
  Tensor feed_forward(nn::Module& layer, const Tensor& x);

  BartConfig config_;
  const BartFamily& family_;
  bool decoder_;
  int64_t heads_;
};

/// Lewis et al., "BART", 2019; Liu et al., "Multilingual Denoising Pre-training" (mBART), 2020;
/// Zhang et al., "PEGASUS", 2019; Junczys-Dowmunt et al., "Marian", 2018. Encoder and decoder
/// without a head.
class BartModel : public Seq2SeqModel {
 public:
  explicit BartModel(const BartConfig& config);
  std::string type_name() const override;
  int64_t hidden_size() const override { return config_.d_model; }
  std::optional<int64_t> max_positions() const override { return config_.max_position_embeddings; }

 protected:
  Tensor shift_right(const Tensor& labels) const override;
  bool reads_its_text() const override;

 private:
  BartConfig config_;
  const BartFamily& family_;
};

/// With the head that writes an answer.
class BartForConditionalGeneration : public nn::Module, public Seq2SeqWriter {
 public:
  explicit BartForConditionalGeneration(const BartConfig& config);
  std::string type_name() const override { return "BartForConditionalGeneration"; }
  Tensor logits(const Tensor& hidden) override;

 protected:
  Seq2SeqModel& body() override { return child_as<BartModel>("model"); }
};

/// As classify_text().
class BartForSequenceClassification : public nn::Module {
 public:
  explicit BartForSequenceClassification(const BartConfig& config);
  std::string type_name() const override { return "BartForSequenceClassification"; }
  using nn::Module::forward;
  Seq2SeqOutput forward(const Seq2SeqInput& input, const std::optional<Tensor>& labels = {});

 private:
  BartConfig config_;
};

/// As find_answer().
class BartForQuestionAnswering : public nn::Module {
 public:
  explicit BartForQuestionAnswering(const BartConfig& config);
  std::string type_name() const override { return "BartForQuestionAnswering"; }
  using nn::Module::forward;
  Seq2SeqOutput forward(const Seq2SeqInput& input, const std::optional<Tensor>& start_positions,
                        const std::optional<Tensor>& end_positions);
};

}  // namespace ds::hub
