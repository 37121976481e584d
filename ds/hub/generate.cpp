// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/generate.h"

#include <algorithm>
#include <utility>

#include "ds/base/error.h"
#include "ds/hub/next_token.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

void check(const GenerationOptions& o) {
  const auto require = [](bool good, const char* name, auto value, const char* range) {
    DS_CHECK(good, ValueError, "generate: ", name, " is ", value, "; it must be ", range);
  };
  require(o.max_new_tokens >= 1, "max_new_tokens", o.max_new_tokens, "at least 1");
  require(o.min_new_tokens >= 0, "min_new_tokens", o.min_new_tokens, "at least 0");
  require(o.num_beams >= 1, "num_beams", o.num_beams, "at least 1");
  require(o.num_return_sequences >= 1, "num_return_sequences", o.num_return_sequences,
          "at least 1");
  require(o.repetition_penalty > 0, "repetition_penalty", o.repetition_penalty, "above 0");
  require(o.no_repeat_ngram_size >= 0, "no_repeat_ngram_size", o.no_repeat_ngram_size,
          "at least 0");
  require(o.temperature > 0, "temperature", o.temperature,
          "above 0; do_sample=False takes the best token");
  require(o.top_k >= 0, "top_k", o.top_k, "at least 0");
  require(o.top_p >= 0 && o.top_p <= 1, "top_p", o.top_p, "between 0 and 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p", o.min_p, "between 0 and 1");
  for (const auto& word : o.bad_words_ids)
    DS_CHECK(!word.empty(), ValueError, "generate: a list of bad_words_ids has no tokens");
  if (o.num_beams == 1) {
    DS_CHECK(o.do_sample || o.num_return_sequences == 1, ValueError,
             "generate: greedy search finds one sequence, not num_return_sequences=",
             o.num_return_sequences, "; use do_sample or num_beams");
    return;
  }
  DS_CHECK(!o.on_tokens, ValueError, "generate: beam search knows its tokens only at the end, so ",
           "they can not be streamed; use num_beams=1");
  DS_CHECK(o.num_return_sequences <= o.num_beams, ValueError, "generate: num_return_sequences ",
           o.num_return_sequences, " is more than num_beams ", o.num_beams);
}

/// 1 for every real token: of the mask, or by the padding token where that is nothing else.
TokenRows real_tokens(const TokenRows& ids, const std::optional<Tensor>& mask,
                      const GenerationOptions& options) {
  if (mask && mask->defined()) {
    TokenRows rows = to_rows(*mask);
    DS_CHECK(rows.size() == ids.size(), ShapeError, "attention_mask: ", rows.size(), " rows for ",
             ids.size(), " prompts");
    for (auto& row : rows)
      for (int64_t& number : row) number = number != 0;
    return rows;
  }
  const bool known = options.pad_token_id && !ends(options, *options.pad_token_id);
  TokenRows rows = ids;
  for (auto& row : rows)
    for (int64_t& token : row) token = !known || token != *options.pad_token_id;
  return rows;
}

/// Greedy search and sampling.
TokenRows extend_sequences(Generation& generation, const GenerationOptions& options) {
  std::mt19937_64 random = options.do_sample ? random_of(options) : std::mt19937_64();
  std::vector<bool> done;
  while (true) {
    std::vector<float> scores =
        generation.next_scores(false, done.empty() ? options.num_return_sequences : 1);
    const auto vocab = static_cast<size_t>(generation.vocab_size());
    if (done.empty()) {  // the prompt is computed once for all sequences that begin with it
      std::vector<int64_t> rows;
      for (size_t i = 0; i < generation.sequences.size(); ++i)
        rows.insert(rows.end(), static_cast<size_t>(options.num_return_sequences),
                    static_cast<int64_t>(i));
      generation.select(rows);
      done.resize(rows.size(), false);
    }
    std::vector<const Sequence*> begun;
    for (const Sequence& sequence : generation.sequences) begun.push_back(&sequence);
    generation.adjust(begun, scores);
    std::vector<int64_t> next;
    TokenRows all;
    for (size_t i = 0; i < done.size(); ++i) {
      Sequence& sequence = generation.sequences[i];
      const std::span<const float> row(scores.data() + i * vocab, vocab);
      int64_t token = options.do_sample ? draw_token(row, random) : best_token(row);
      if (done[i] && !options.eos_token_ids.empty()) token = *options.pad_token_id;
      sequence.tokens.push_back(token);
      next.push_back(token);
      all.push_back(sequence.tokens);
      if (ends(options, token)) done[i] = true;
    }
    if (options.on_tokens) options.on_tokens(next);
    if (options.stop) {
      const std::vector<bool> stopped = options.stop(all);
      for (size_t i = 0; i < done.size(); ++i) done[i] = done[i] || stopped.at(i);
    }
    const bool all_done = std::find(done.begin(), done.end(), false) == done.end();
    if (all_done || generation.sequences[0].made() >= options.max_new_tokens) return all;
  }
}

}  // namespace

Generation::Generation(GenerativeModel& model, const Tensor& input_ids, const TokenRows& mask,
                       const GenerationOptions& options)
    : model_(model), options_(options), device_(input_ids.device()), cache_(options.cache) {
  const TokenRows ids = to_rows(input_ids);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto length = static_cast<int64_t>(ids[i].size());
    const auto first = std::find(mask[i].begin(), mask[i].end(), 1);
    sequences.push_back({ids[i], length, first == mask[i].end() ? 0 : first - mask[i].begin()});
  }
  const std::optional<int64_t> limit = model.max_positions();
  const int64_t prompt = sequences[0].prompt;
  DS_CHECK(!limit || prompt + options.max_new_tokens <= *limit, ValueError, "generate: ", prompt,
           " tokens and ", options.max_new_tokens, " new ones are more than the ",
           limit.value_or(0), " the model has positions for; lower max_new_tokens");
  if (!cache_) {
    cache_ = std::make_shared<KeyValueCache>(mask, device_);
    return;
  }
  DS_CHECK(cache_->length() < prompt && cache_->rows() == static_cast<int64_t>(ids.size()),
           ValueError, "generate: past_key_values holds ", cache_->rows(), " rows of ",
           cache_->length(), " tokens; input_ids ", input_ids.type(),
           " must begin with them and go on");
  for (const auto& row : mask) real_.emplace_back(row.begin() + cache_->length(), row.end());
}

Tensor Generation::as_tensor(const std::vector<float>& scores) const {
  const auto rows = static_cast<int64_t>(scores.size()) / vocab_size_;
  return Tensor::from_host(scores.data(), {DType::f32, {rows, vocab_size_}}, device_);
}

std::vector<float> Generation::next_scores(bool normalized, int64_t copies) {
  if (options_.poll) options_.poll();
  const GradMode no_grad(false);
  const auto total = static_cast<int64_t>(sequences[0].tokens.size());
  const int64_t limit = model_.short_positions().value_or(total);
  if (total > limit && cache_->length() > 0 && cache_->length() <= limit)
    cache_->restart(total, std::exchange(real_, {}));
  TokenRows tokens;
  for (const Sequence& sequence : sequences)
    tokens.emplace_back(sequence.tokens.begin() + cache_->length(), sequence.tokens.end());
  const Tensor step = cache_->begin_step(tokens, std::exchange(real_, {}));
  Tensor logits = to_dtype(model_.next_logits(step, *cache_), DType::f32);
  vocab_size_ = logits.size(1);
  const auto vectors = [&](const Tensor& rows) {
    std::vector<float> flat = rows.to_vector<float>();
    if (copies == 1) return flat;
    std::vector<float> repeated;
    for (auto row = flat.begin(); row != flat.end(); row += vocab_size_)
      for (int64_t c = 0; c < copies; ++c) repeated.insert(repeated.end(), row, row + vocab_size_);
    return repeated;
  };
  if (options_.on_scores) logits_ = vectors(logits);
  return vectors(normalized ? log_softmax(logits, 1) : logits);
}

void Generation::adjust(const std::vector<const Sequence*>& rows, std::vector<float>& scores) {
  const auto vocab = static_cast<size_t>(vocab_size_);
  const auto each = [&](const auto& change) {
    for (size_t i = 0; i < rows.size(); ++i)
      change(*rows[i], std::span<float>(scores.data() + i * vocab, vocab));
  };
  each([&](const Sequence& sequence, std::span<float> row) {
    apply_penalties(options_, sequence, row);
  });
  if (options_.process) {
    TokenRows tokens;
    for (const Sequence* sequence : rows) tokens.push_back(sequence->tokens);
    const Tensor changed = options_.process(tokens, as_tensor(scores));
    DS_CHECK(changed.shape() == (Shape{static_cast<int64_t>(rows.size()), vocab_size_}), ShapeError,
             "generate: a logits processor returned ", changed.type(), " for scores [", rows.size(),
             ", ", vocab_size_, "]");
    scores = to_dtype(changed, DType::f32).to_vector<float>();
  }
  if (options_.do_sample) {
    // Beams need more than one token to go on with.
    const auto ends = static_cast<int64_t>(options_.eos_token_ids.size());
    const int64_t least = options_.num_beams == 1 ? 1 : std::max<int64_t>(2, ends + 1);
    each([&](const Sequence&, std::span<float> row) { warp_scores(options_, least, row); });
  }
  if (options_.on_scores) options_.on_scores(as_tensor(logits_), as_tensor(scores));
}

void Generation::select(const std::vector<int64_t>& rows) {
  const GradMode no_grad(false);
  std::vector<Sequence> selected;
  for (const int64_t row : rows) selected.push_back(sequences.at(static_cast<size_t>(row)));
  sequences = std::move(selected);
  cache_->select_rows(rows);
}

Generated generate_all(GenerativeModel& model, const Tensor& input_ids,
                       const std::optional<Tensor>& attention_mask,
                       const GenerationOptions& given) {
  check(given);
  DS_CHECK(input_ids.dim() == 2 && input_ids.numel() > 0, ShapeError, "generate: input_ids ",
           input_ids.type(), " must be [batch, tokens] with at least one token");
  GenerationOptions options = given;
  const TokenRows mask = real_tokens(to_rows(input_ids), attention_mask, options);
  if (!options.pad_token_id && !options.eos_token_ids.empty())
    options.pad_token_id = options.eos_token_ids[0];
  Generation generation(model, input_ids, mask, options);
  Generated made =
      options.num_beams > 1
          ? beam_search(generation, options)
          : Generated{to_tensor(extend_sequences(generation, options), input_ids.device())};
  made.cache = generation.cache();
  return made;
}

Tensor generate(GenerativeModel& model, const Tensor& input_ids,
                const std::optional<Tensor>& attention_mask, const GenerationOptions& options) {
  return generate_all(model, input_ids, attention_mask, options).sequences;
}

}  // namespace ds::hub
