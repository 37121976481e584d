// SPDX-License-Identifier: Apache-2.0
// T5: an encoder and a decoder that writes its answer; names of parameters as in transformers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ds/hub/generate.h"
#include "ds/hub/text_model.h"

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

/// What a stack of layers takes.
struct T5StackInput {
  TextInput text;
  Tensor memory = {};                      // of a decoder: the encoder's output [B, S, d_model]
  std::optional<Tensor> memory_mask = {};  // [B, S], 0 where there is padding
};

/// The layers of the encoder or of the decoder: last_hidden_state [B, T, d_model].
class T5Stack : public nn::Module {
 public:
  T5Stack(const T5Config& config, bool decoder);
  std::string type_name() const override { return "T5Stack"; }
  using nn::Module::forward;
  Output forward(const T5StackInput& input);

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

struct T5Input {
  std::optional<Tensor> input_ids, attention_mask;                  // of the encoder, [B, S]
  std::optional<Tensor> decoder_input_ids, decoder_attention_mask;  // [B, T]
  std::optional<Tensor> inputs_embeds, decoder_inputs_embeds;       // instead of the ids
  bool output_hidden_states = false, output_attentions = false;
  std::optional<Tensor> encoded = {};  // [B, S, d_model]: what the encoder has returned before
};

struct T5Output {
  nn::Named<Tensor> values;  // the decoder's last_hidden_state, or loss and logits of a head
  Output encoder, decoder;
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
class T5Model : public nn::Module {
 public:
  explicit T5Model(const T5Config& config);
  std::string type_name() const override { return "T5Model"; }
  using nn::Module::forward;
  T5Output forward(const T5Input& input);
  /// The decoder's pass over decoder_input_ids that follow those of the cache, as of run_cached(),
  /// and the encoder's, unless the input says what it has returned.
  T5Output forward_cached(const T5Input& input, KeyValueCache& cache);
  const T5Config& config() const { return config_; }

 protected:
  T5Config config_;
};

/// Logits of the next token [B, T, vocab_size], and with labels i64 [B, T] (-100 where there is
/// nothing to predict) the loss; the decoder then reads the labels one token later.
class T5ForConditionalGeneration : public T5Model, public EncoderDecoder {
 public:
  explicit T5ForConditionalGeneration(const T5Config& config);
  std::string type_name() const override { return "T5ForConditionalGeneration"; }
  using nn::Module::forward;
  T5Output forward(const T5Input& input, const std::optional<Tensor>& labels = {});
  /// As T5Model::forward_cached(), with logits.
  T5Output forward_cached(const T5Input& input, KeyValueCache& cache);
  std::unique_ptr<GenerativeModel> encode(const Tensor& input_ids,
                                          const std::optional<Tensor>& attention_mask) override;
  std::unique_ptr<GenerativeModel> decode(const Tensor& encoded,
                                          const std::optional<Tensor>& attention_mask) override;
  /// The head on the decoder's output.
  Tensor logits(const Tensor& hidden);
};

/// Logits [B, num_labels] of what the decoder makes of the last eos_token_id of a text, which it
/// reads one token later unless decoder inputs are given; and with labels the loss.
class T5ForSequenceClassification : public nn::Module {
 public:
  explicit T5ForSequenceClassification(const T5Config& config);
  std::string type_name() const override { return "T5ForSequenceClassification"; }
  using nn::Module::forward;
  T5Output forward(const T5Input& input, const std::optional<Tensor>& labels = {});

 private:
  T5Config config_;
};

/// Where in what the decoder reads an answer starts and ends: start_logits and end_logits [B, T],
/// and with both positions i64 [B] the loss.
class T5ForQuestionAnswering : public T5Model {
 public:
  explicit T5ForQuestionAnswering(const T5Config& config);
  std::string type_name() const override { return "T5ForQuestionAnswering"; }
  using nn::Module::forward;
  T5Output forward(const T5Input& input, const std::optional<Tensor>& start_positions,
                   const std::optional<Tensor>& end_positions);
};

}  // namespace ds::hub
