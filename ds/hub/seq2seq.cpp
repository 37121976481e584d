// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/seq2seq.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/hub/heads.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

TextInput encoder_text(const Seq2SeqInput& input) {
  TextInput text;
  text.input_ids = input.input_ids;
  text.attention_mask = input.attention_mask;
  text.inputs_embeds = input.inputs_embeds;
  text.output_hidden_states = input.output_hidden_states;
  text.output_attentions = input.output_attentions;
  return text;
}

Output encoded_by(Seq2SeqModel& model, const Seq2SeqInput& input) {
  if (!present(input.encoded)) return model.encoder().forward({encoder_text(input)});
  Output known;
  known.values = {{"last_hidden_state", *input.encoded}};
  return known;
}

/// A decoder that answers one text.
class Answer : public GenerativeModel {
 public:
  Answer(Seq2SeqModel& body, Seq2SeqWriter& writer, Tensor memory, Tensor mask)
      : body_(body), writer_(writer), memory_(std::move(memory)), mask_(std::move(mask)) {}

  Tensor next_logits(const Tensor& tokens, KeyValueCache& cache) override {
    StackInput input{{}, memory_, mask_};
    input.text.input_ids = tokens;
    input.text.cache = &cache;
    const Output out = body_.decoder().forward(input);
    return writer_.logits(select(out.values[0].second, 1, -1));
  }
  std::optional<int64_t> max_positions() const override { return body_.max_positions(); }

 private:
  Seq2SeqModel& body_;
  Seq2SeqWriter& writer_;
  Tensor memory_, mask_;
};

}  // namespace

Seq2SeqOutput Seq2SeqModel::forward(const Seq2SeqInput& given) {
  const Seq2SeqInput input = reads_its_text() ? with_decoder_input(given, given.input_ids) : given;
  Seq2SeqOutput out;
  out.encoder = encoded_by(*this, input);
  StackInput decoder{encoder_text(input), out.encoder.values[0].second, input.attention_mask};
  decoder.text.input_ids = input.decoder_input_ids;
  decoder.text.attention_mask = input.decoder_attention_mask;
  decoder.text.inputs_embeds = input.decoder_inputs_embeds;
  out.decoder = this->decoder().forward(decoder);
  out.values = {{"last_hidden_state", out.decoder.values[0].second}};
  return out;
}

Seq2SeqOutput Seq2SeqModel::forward_cached(const Seq2SeqInput& input, KeyValueCache& cache) {
  const GradMode no_grad(false);
  Seq2SeqOutput out;
  out.encoder = encoded_by(*this, input);
  const Tensor memory = out.encoder.values[0].second;
  const std::string name = type_name();
  const Tensor& tokens = given(name.c_str(), "decoder_input_ids", input.decoder_input_ids);
  out.decoder = run_cached(
      [&](const TextInput& text) {
        return decoder().forward({text, memory, input.attention_mask});
      },
      name, max_positions(), tokens, input.decoder_attention_mask, cache,
      input.output_hidden_states);
  out.values = {{"last_hidden_state", out.decoder.values[0].second}};
  return out;
}

Seq2SeqInput Seq2SeqModel::with_decoder_input(const Seq2SeqInput& input,
                                              const std::optional<Tensor>& labels) const {
  Seq2SeqInput all = input;
  if (present(labels) && !present(input.decoder_input_ids) && !present(input.decoder_inputs_embeds))
    all.decoder_input_ids = shift_right(*labels);
  return all;
}

Tensor shift_right(const std::string& model, const Tensor& labels,
                   std::optional<int64_t> start_token, std::optional<int64_t> pad_token) {
  DS_CHECK(start_token && pad_token, ValueError, model,
           ": decoder_start_token_id and pad_token_id are not in the configuration, so the "
           "decoder's input cannot be made; set them, or give decoder_input_ids");
  const Tensor start = full({labels.size(0), 1}, *start_token, DType::i64, labels.device());
  const Tensor shifted = cat({start, narrow(labels, 1, 0, labels.size(1) - 1)}, 1);
  return masked_fill(shifted, eq(shifted, -100), *pad_token);
}

Seq2SeqOutput Seq2SeqWriter::write(const Seq2SeqInput& input, const std::optional<Tensor>& labels) {
  Seq2SeqOutput out = body().forward(body().with_decoder_input(input, labels));
  const Tensor scores = logits(out.decoder.values[0].second);
  Tensor loss;
  if (present(labels))
    loss =
        cross_entropy(reshape(scores, {-1, scores.size(-1)}), reshape(*labels, {labels->numel()}));
  out.values = {{"loss", loss}, {"logits", scores}};
  return out;
}

Seq2SeqOutput Seq2SeqWriter::write_cached(const Seq2SeqInput& input, KeyValueCache& cache) {
  const GradMode no_grad(false);
  Seq2SeqOutput out = body().forward_cached(input, cache);
  out.values = {{"loss", {}}, {"logits", logits(out.decoder.values[0].second)}};
  return out;
}

std::unique_ptr<GenerativeModel> Seq2SeqWriter::encode(
    const Tensor& input_ids, const std::optional<Tensor>& attention_mask) {
  const GradMode no_grad(false);
  TokenRows ids = to_rows(input_ids);
  TokenRows mask = present(attention_mask) ? to_rows(*attention_mask) : ids;
  DS_CHECK(mask.size() == ids.size() && mask[0].size() == ids[0].size(), ShapeError,
           "attention_mask: ", attention_mask->type(), " for ", input_ids.type());
  // Padded behind, so that texts of all lengths share a few plans.
  const int64_t given = input_ids.size(1), padded = padded_length(given);
  const int64_t limit = std::max(given, body().max_positions().value_or(padded));
  const auto length = static_cast<size_t>(std::min(padded, limit));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!present(attention_mask)) std::fill(mask[i].begin(), mask[i].end(), 1);
    ids[i].resize(length, 0);
    mask[i].resize(length, 0);
  }
  TextInput input;
  input.input_ids = to_tensor(ids, input_ids.device());
  input.attention_mask = to_tensor(mask, input_ids.device());
  const Output encoded = body().encoder().forward({input});
  return decode(encoded.values[0].second, input.attention_mask);
}

std::unique_ptr<GenerativeModel> Seq2SeqWriter::decode(
    const Tensor& encoded, const std::optional<Tensor>& attention_mask) {
  const GradMode no_grad(false);
  const int64_t size = body().hidden_size();
  DS_CHECK(encoded.dim() == 3 && encoded.size(1) > 0 && encoded.size(2) == size, ShapeError,
           "encoder_outputs: ", encoded.type(), " must be [batch, tokens, ", size, "]");
  const int64_t tokens = encoded.size(1), more = padded_length(tokens) - tokens;
  const Tensor mask = present(attention_mask)
                          ? *attention_mask
                          : ones({encoded.size(0), tokens}, DType::i64, encoded.device());
  DS_CHECK(mask.shape() == (Shape{encoded.size(0), tokens}), ShapeError,
           "attention_mask: ", mask.type(), " for encoder_outputs ", encoded.type());
  if (more == 0) return std::make_unique<Answer>(body(), *this, encoded, mask);
  return std::make_unique<Answer>(body(), *this, pad(encoded, {0, 0, 0, more}),
                                  pad(mask, {0, more}));
}

void add_classifier(nn::Module& root, const char* name, int64_t in, int64_t out, double deviation) {
  DS_CHECK(out > 0, ValueError, "config: num_labels ", out, " must be positive");
  const auto layer = std::make_shared<nn::Linear>(in, out);
  add_at(root, name, layer);
  nn::init::normal_(layer->parameter("weight"), 0.0, deviation);
  nn::init::zeros_(layer->parameter("bias"));
}

Seq2SeqOutput classify_text(nn::Module& head, Seq2SeqModel& body, const HeadConfig& config,
                            std::optional<int64_t> eos, const Seq2SeqInput& input,
                            const std::optional<Tensor>& labels) {
  const std::string name = head.type_name();
  const Tensor& ids = given(name.c_str(), "input_ids", input.input_ids);
  DS_CHECK(eos, ValueError, name, ": eos_token_id is not in the configuration; set it");
  Seq2SeqOutput out = body.forward(body.with_decoder_input(input, ids));
  const Tensor& states = out.decoder.values[0].second;
  const Tensor place = arange(ids.size(1), DType::i64, ids.device());
  const Tensor last = argmax(place * to_dtype(eq(ids, *eos), DType::i64), -1);
  const int64_t batch = ids.size(0);
  const Tensor rows = expand(reshape(last, {batch, 1, 1}), {batch, 1, states.size(2)});
  const double p = config.classifier_dropout.value_or(0.0);
  const bool training = head.is_training();
  Tensor x = dropout(select(gather(states, 1, rows), 1, 0), p, training);
  x = tanh(call_at(head, "classification_head.dense", x));
  const Tensor logits = call_at(head, "classification_head.out_proj", dropout(x, p, training));
  Tensor loss;
  if (present(labels)) loss = classification_loss(config, logits, *labels);
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

Seq2SeqOutput find_answer(nn::Module& head, Seq2SeqModel& body, const Seq2SeqInput& input,
                          const std::optional<Tensor>& start_positions,
                          const std::optional<Tensor>& end_positions) {
  Seq2SeqOutput out = body.forward(body.with_decoder_input(input, input.input_ids));
  const Tensor both = call_at(head, "qa_outputs", out.decoder.values[0].second);
  const Tensor start = select(both, -1, 0), end = select(both, -1, 1);
  Tensor loss;
  if (present(start_positions) && present(end_positions))
    loss = span_loss(start, end, *start_positions, *end_positions);
  out.values = {{"loss", loss}, {"start_logits", start}, {"end_logits", end}};
  return out;
}

std::optional<Tensor> memory_mask(const StackInput& input, int64_t layers) {
  const std::optional<Tensor> mask = attention_mask(input.memory_mask);
  if (!input.text.cache || !mask) return mask;
  const auto make = [&]() -> std::pair<Tensor, Tensor> { return {*mask, *mask}; };
  return input.text.cache->fixed(static_cast<size_t>(layers), make).first;
}

}  // namespace ds::hub
