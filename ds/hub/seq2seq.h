// SPDX-License-Identifier: Apache-2.0
// What models with an encoder and a decoder have in common: a pass through both, generation, and
// heads above the decoder.
#pragma once

#include <memory>
#include <optional>

#include "ds/hub/generate.h"
#include "ds/hub/text_model.h"

namespace ds::hub {

/// What a stack of layers takes.
struct StackInput {
  TextInput text;
  Tensor memory = {};                      // of a decoder: the encoder's output [B, S, d_model]
  std::optional<Tensor> memory_mask = {};  // [B, S], 0 where there is padding
};

/// The layers of an encoder or of a decoder: last_hidden_state [B, T, d_model].
class TextStack : public nn::Module {
 public:
  using nn::Module::forward;
  virtual Output forward(const StackInput& input) = 0;
};

struct Seq2SeqInput {
  std::optional<Tensor> input_ids, attention_mask;                  // of the encoder, [B, S]
  std::optional<Tensor> decoder_input_ids, decoder_attention_mask;  // [B, T]
  std::optional<Tensor> inputs_embeds, decoder_inputs_embeds;       // instead of the ids
  bool output_hidden_states = false, output_attentions = false;
  std::optional<Tensor> encoded = {};  // [B, S, d_model]: what the encoder has returned before
};

struct Seq2SeqOutput {
  nn::Named<Tensor> values;  // the decoder's last_hidden_state, or loss and logits of a head
  Output encoder, decoder;
};

/// Encoder and decoder without a head: its children of these names.
class Seq2SeqModel : public nn::Module {
 public:
  using nn::Module::forward;
  Seq2SeqOutput forward(const Seq2SeqInput& input);
  /// The decoder's pass over decoder_input_ids that follow those of the cache, as of run_cached(),
  /// and the encoder's, unless the input says what it has returned.
  Seq2SeqOutput forward_cached(const Seq2SeqInput& input, KeyValueCache& cache);
  /// The decoder reads `labels` one token later, unless it has an input of its own.
  Seq2SeqInput with_decoder_input(const Seq2SeqInput& input,
                                  const std::optional<Tensor>& labels) const;
  TextStack& encoder() { return child_as<TextStack>("encoder"); }
  TextStack& decoder() { return child_as<TextStack>("decoder"); }
  virtual int64_t hidden_size() const = 0;
  /// Tokens that encoder and decoder have positions for; nothing without a limit.
  virtual std::optional<int64_t> max_positions() const { return std::nullopt; }

 protected:
  /// i64 [B, T] of labels [B, T]: what the decoder reads to write them.
  virtual Tensor shift_right(const Tensor& labels) const = 0;
  /// The decoder reads the encoder's text one token later where nothing else is given.
  virtual bool reads_its_text() const { return false; }
};

/// start_token, then all labels but the last, pad_token where they are -100; ValueError naming the
/// model without one of the tokens.
Tensor shift_right(const std::string& model, const Tensor& labels,
                   std::optional<int64_t> start_token, std::optional<int64_t> pad_token);

/// Above a decoder a head that predicts words: logits of the next token [B, T, vocab_size], and
/// with labels i64 [B, T] (-100 where there is nothing to predict) the loss; the decoder then reads
/// the labels one token later.
class Seq2SeqWriter : public EncoderDecoder {
 public:
  Seq2SeqOutput write(const Seq2SeqInput& input, const std::optional<Tensor>& labels = {});
  /// As Seq2SeqModel::forward_cached(), with logits.
  Seq2SeqOutput write_cached(const Seq2SeqInput& input, KeyValueCache& cache);
  std::unique_ptr<GenerativeModel> encode(const Tensor& input_ids,
                                          const std::optional<Tensor>& attention_mask) override;
  std::unique_ptr<GenerativeModel> decode(const Tensor& encoded,
                                          const std::optional<Tensor>& attention_mask) override;
  /// The head on the decoder's output.
  virtual Tensor logits(const Tensor& hidden) = 0;

 protected:
  virtual Seq2SeqModel& body() = 0;
};

/// A linear layer at a dotted name, with weights of this deviation at its start and biases 0.
void add_classifier(nn::Module& root, const char* name, int64_t in, int64_t out, double deviation);

/// Logits [B, num_labels] of what the decoder makes of the last `eos` of a text, which it reads one
/// token later unless decoder inputs are given; and with labels the loss. The head has the layers
/// classification_head.dense and classification_head.out_proj.
Seq2SeqOutput classify_text(nn::Module& head, Seq2SeqModel& body, const HeadConfig& config,
                            std::optional<int64_t> eos, const Seq2SeqInput& input,
                            const std::optional<Tensor>& labels);

/// Where in what the decoder reads an answer starts and ends: start_logits and end_logits [B, T],
/// and with both positions i64 [B] the loss. The head has the layer qa_outputs.
Seq2SeqOutput find_answer(nn::Module& head, Seq2SeqModel& body, const Seq2SeqInput& input,
                          const std::optional<Tensor>& start_positions,
                          const std::optional<Tensor>& end_positions);

/// The mask of a decoder's memory for attention; with a cache that of its first step, remembered
/// behind `layers` layers so that it follows when rows are repeated.
std::optional<Tensor> memory_mask(const StackInput& input, int64_t layers);

}  // namespace ds::hub
