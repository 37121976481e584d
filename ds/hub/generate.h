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
  /// Tokens up to which what is remembered can be gone on with; a longer sequence begins anew.
  virtual std::optional<int64_t> short_positions() const { return std::nullopt; }
};

/// A model whose decoder answers a text that its encoder reads.
class EncoderDecoder {
 public:
  virtual ~EncoderDecoder() = default;
  /// The decoder for these texts i64 [B, S], for generate(); attention_mask [B, S] is 0 where there
  /// is padding. Belongs to the model.
  virtual std::unique_ptr<GenerativeModel> encode(const Tensor& input_ids,
                                                  const std::optional<Tensor>& attention_mask) = 0;
  /// The decoder for what the encoder has returned: [B, S, hidden size].
  virtual std::unique_ptr<GenerativeModel> decode(const Tensor& encoded,
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
  double min_p = 0.0;  // of sampling; drops what is less likely than this share of the likeliest
  double repetition_penalty = 1.0;         // Keskar et al., "CTRL", 2019
  int64_t no_repeat_ngram_size = 0;        // so many tokens never come again in the same order
  TokenRows bad_words_ids{};               // sequences of tokens that never come
  std::vector<int64_t> suppress_tokens{};  // tokens that never come
  std::vector<int64_t> begin_suppress_tokens{};  // tokens that do not come first
  std::optional<int64_t> forced_bos_token_id{};  // comes behind a prompt of one token
  std::vector<int64_t> forced_eos_token_ids{};   // of which one comes as the last of max_new_tokens
  std::optional<uint64_t> seed{};  // of sampling; drawn from the default generator if absent
  int64_t num_beams = 1, num_return_sequences = 1;
  double length_penalty = 1.0;  // scores of beams are divided by length to this power
  EarlyStopping early_stopping = EarlyStopping::no;
  /// Called with all sequences so far and the scores f32 [rows, vocab_size] of what follows them
  /// (logarithms of probabilities in beam search), changed by the options above but those of
  /// sampling; returns other ones.
  std::function<Tensor(const TokenRows&, const Tensor&)> process{};
  /// Called at every step with the logits and with the scores that tokens are chosen by, both f32
  /// [rows, vocab_size].
  std::function<void(const Tensor& logits, const Tensor& scores)> on_scores{};
  /// Remembered keys and values of the beginning of the sequences, which is not computed again. It
  /// holds those of the results afterwards.
  std::shared_ptr<KeyValueCache> cache{};
  /// Called with all sequences so far (of beam search: all candidates); true ends a sequence.
  std::function<std::vector<bool>(const TokenRows&)> stop{};
  /// Called with the next token of every sequence; not for beam search.
  std::function<void(const std::vector<int64_t>&)> on_tokens{};
  /// Called before every step; ends the generation by what it throws.
  std::function<void()> poll{};
};

struct Generated {
  /// i64 [B * num_return_sequences, length], padded at the end.
  Tensor sequences;
  /// Of beam search: f32 [rows], sums of logarithms of probabilities over length to the power of
  /// length_penalty; and i64 [rows, new tokens], the beam among all of a step that each token
  /// followed, -1 behind the end.
  Tensor sequences_scores{}, beam_indices{};
  std::shared_ptr<KeyValueCache> cache{};
};

/// Sequences that begin with input_ids i64 [B, T]. attention_mask [B, T] is 0 where there is
/// padding, which belongs in front; by default where input_ids is pad_token_id, unless that also
/// ends sequences. ValueError for options out of range and for more tokens than the model has
/// positions for.
Generated generate_all(GenerativeModel& model, const Tensor& input_ids,
                       const std::optional<Tensor>& attention_mask,
                       const GenerationOptions& options);
/// The sequences alone.
Tensor generate(GenerativeModel& model, const Tensor& input_ids,
                const std::optional<Tensor>& attention_mask, const GenerationOptions& options);

}  // namespace ds::hub
