// SPDX-License-Identifier: Apache-2.0
// T5: an encoder and a decoder that writes its answer; names of parameters as in transformers.
#pragma once

#include <optional>
#include <string>

#include "ds/hub/seq2seq.h"

namespace ds::hub {

/// Keys of config.json.
struct T5Config : HeadConfig {
  int64_t vocab_size = 32128, d_model = 512, d_kv = 64, d_ff = 2048, num_layers = 6, num_heads = 8;
  std::optional<int64_t> num_decoder_layers = {};  // num_layers when absent
  int64_t relative_attention_num_buckets = 32, relative_attention_max_distance = 128;
  double dropout_rate = 0.1, layer_norm_epsilon = 1e-6, initializer_factor = 1.0;
  std::string feed_forward_proj = "relu";  // an activation, or gated-gelu as in version 1.1
  bool tie_word_embeddings = true;         // the head is the table of embeddings
  bool scale_decoder_outputs = true;       // the head takes them divided by sqrt(d_model)
  std::optional<int64_t> pad_token_id = 0, decoder_start_token_id = {}, eos_token_id = 1;
};

/// The layers of the encoder or of the decoder: last_hidden_state [B, T, d_model].
class T5Stack : public TextStack {
 public:
  T5Stack(const T5Config& config, bool decoder);
  std::string type_name() const override { return "T5Stack"; }
  using nn::Module::forward;
  Output forward(const StackInput& input) override;

 private:
  struct Step;  // what all layers of a pass share
  Tensor position_bias(int64_t first, int64_t tokens, int64_t keys);
  Tensor run_block(int64_t index, const Tensor& x, const Step& step);
  Tensor self_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step);
  Tensor cross_attend(nn::Module& layer, int64_t index, const Tensor& x, const Step& step);
  Tensor feed_forward(nn::Module& layer, const Tensor& x);

  T5Config config_;
  bool decoder_;
};

/// Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
/// Transformer", 2020. The encoder alone: last_hidden_state [B, S, d_model].
class T5EncoderModel : public TextModel {
 public:
  explicit T5EncoderModel(const T5Config& config);
  std::string type_name() const override { return "T5EncoderModel"; }
  using nn::Module::forward;
  Output forward(const TextInput& input) override {
    return child_as<T5Stack>("encoder").forward({input});
  }
  HeadSetting head_setting() const override;

 private:
  T5Config config_;
};

/// Encoder and decoder without a head.
class T5Model : public Seq2SeqModel {
 public:
  explicit T5Model(const T5Config& config);
  std::string type_name() const override { return "T5Model"; }
  int64_t hidden_size() const override { return config_.d_model; }

 protected:
  Tensor shift_right(const Tensor& labels) const override;

  T5Config config_;
};

/// With the head that writes an answer.
class T5ForConditionalGeneration : public T5Model, public Seq2SeqWriter {
 public:
  explicit T5ForConditionalGeneration(const T5Config& config);
  std::string type_name() const override { return "T5ForConditionalGeneration"; }
  Tensor logits(const Tensor& hidden) override;

 protected:
  Seq2SeqModel& body() override { return *this; }
};

/// As classify_text().
class T5ForSequenceClassification : public nn::Module {
 public:
  explicit T5ForSequenceClassification(const T5Config& config);
  std::string type_name() const override { return "T5ForSequenceClassification"; }
  using nn::Module::forward;
  Seq2SeqOutput forward(const Seq2SeqInput& input, const std::optional<Tensor>& labels = {});

 private:
  T5Config config_;
};

/// As find_answer().
class T5ForQuestionAnswering : public T5Model {
 public:
  explicit T5ForQuestionAnswering(const T5Config& config);
  std::string type_name() const override { return "T5ForQuestionAnswering"; }
  using nn::Module::forward;
  Seq2SeqOutput forward(const Seq2SeqInput& input, const std::optional<Tensor>& start_positions,
                        const std::optional<Tensor>& end_positions);
};

}  // namespace ds::hub
