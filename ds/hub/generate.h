// SPDX-License-Identifier: Apache-2.0
// Text generation: greedy search, sampling and beam search; options, their defaults and the tokens
// chosen are those of transformers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ds/hub/key_value_cache.h"

namespace ds::hub {

/// A model that predicts the next token of sequences.
class GenerativeModel {
 public:
  virtual ~GenerativeModel() = default;
  /// Logits [B, vocab_size] of what follows the tokens i64 [B, T] of the cache's current step.
  virtual Tensor next_logits(const Tensor& tokens, KeyValueCache& cache) = 0;
  /// Tokens that a sequence can have; nothing without a limit.
  virtual std::optional<int64_t> max_positions() const { return std::nullopt; }
};

/// A model whose decoder answers a text that its encoder reads.
class EncoderDecoder {
 public:
  virtual ~EncoderDecoder() = default;
  /// The decoder for these texts i64 [B, S], for generate(); attention_mask [B, S] is 0 where there
  /// is padding. Belongs to the model.
  virtual std::unique_ptr<GenerativeModel> encode(const Tensor& input_ids,
                                                  const std::optional<Tensor>& attention_mask) = 0;
};

enum class EarlyStopping {
  no,     // until a better candidate is unlikely
  yes,    // as soon as there are num_beams candidates
  never,  // until there can be no better candidate
};

struct GenerationOptions {
  int64_t max_new_tokens = 20, min_new_tokens = 0;
  std::vector<int64_t> eos_token_ids;     // each ends a sequence
  std::optional<int64_t> pad_token_id{};  // behind the end; the first of eos_token_ids by default
  bool do_sample = false;                 // draw the next token; else take the best
  double temperature = 1.0, top_p = 1.0;  // of sampling
  int64_t top_k = 50;                     // of sampling; 0 keeps all
  double repetition_penalty = 1.0;        // Keskar et al., "CTRL", 2019
  int64_t no_repeat_ngram_size = 0;       // so many tokens never come again in the same order
  std::optional<uint64_t> seed{};         // of sampling; drawn from the default generator if absent
  int64_t num_beams = 1, num_return_sequences = 1;
  double length_penalty = 1.0;  // scores of beams are divided by length to this power
  EarlyStopping early_stopping = EarlyStopping::no;
  /// Called with all sequences so far (of beam search: all candidates); true ends a sequence.
  std::function<std::vector<bool>(const TokenRows&)> stop{};
  /// Called with the next token of every sequence; not for beam search.
  std::function<void(const std::vector<int64_t>&)> on_tokens{};
  /// Called before every step; ends the generation by what it throws.
  std::function<void()> poll{};
};

/// Sequences that begin with input_ids i64 [B, T]: i64 [B * num_return_sequences, length], padded
/// at the end. attention_mask [B, T] is 0 where there is padding, which belongs in front; by
/// default where input_ids is pad_token_id, unless that also ends sequences. ValueError for options
/// out of range and for more tokens than the model has positions for.
Tensor generate(GenerativeModel& model, const Tensor& input_ids,
                const std::optional<Tensor>& attention_mask, const GenerationOptions& options);

}  // namespace ds::hub
