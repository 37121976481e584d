// SPDX-License-Identifier: Apache-2.0
// The choice of the next token from its scores. Private to generate().
#pragma once

#include <random>
#include <span>

#include "ds/hub/generate.h"

namespace ds::hub {

/// A sequence so far and how much of it was given.
struct Sequence {
  std::vector<int64_t> tokens;
  int64_t prompt = 0;   // tokens of the prompt
  int64_t padding = 0;  // of which padding in front

  int64_t made() const { return static_cast<int64_t>(tokens.size()) - prompt; }
};

/// Changes scores [vocab_size] by the options that forbid, force or penalise tokens.
void apply_penalties(const GenerationOptions& options, const Sequence& sequence,
                     std::span<float> scores);
/// Changes scores by the options of sampling: minus infinity is never drawn. `least` tokens or more
/// are left.
void warp_scores(const GenerationOptions& options, int64_t least, std::span<float> scores);
/// The first index of the largest score.
int64_t best_token(std::span<const float> scores);
/// Draws an index; ValueError when the scores are not numbers.
int64_t draw_token(std::span<const float> scores, std::mt19937_64& random);
/// Random numbers by the seed of the options, else by one that the default generator draws.
std::mt19937_64 random_of(const GenerationOptions& options);
/// A number above 0 and below 1, the same with every standard library.
double draw_number(std::mt19937_64& random);
bool ends(const GenerationOptions& options, int64_t token);

/// What generate() keeps from step to step.
class Generation {
 public:
  Generation(GenerativeModel& model, const Tensor& input_ids, const TokenRows& mask,
             const GenerationOptions& options);
  /// One row of `sequences` for every item of the batch at first.
  std::vector<Sequence> sequences;
  /// Logits, or with `normalized` their log_softmax, of what follows the sequences: `copies` rows
  /// for each.
  std::vector<float> next_scores(bool normalized, int64_t copies = 1);
  /// Changes the scores of what follows these sequences by all options.
  void adjust(const std::vector<const Sequence*>& rows, std::vector<float>& scores);
  /// Sequence i becomes what sequence rows[i] was.
  void select(const std::vector<int64_t>& rows);
  int64_t vocab_size() const { return vocab_size_; }
  Device device() const { return device_; }
  const std::shared_ptr<KeyValueCache>& cache() const { return cache_; }

 private:
  Tensor as_tensor(const std::vector<float>& scores) const;

  GenerativeModel& model_;
  const GenerationOptions& options_;
  Device device_;
  std::shared_ptr<KeyValueCache> cache_;
  TokenRows real_;             // of the tokens that the first step adds to a cache that was given
  std::vector<float> logits_;  // of the last step, where on_scores wants them
  int64_t vocab_size_ = 0;
};

/// Beam search, num_return_sequences for every item.
Generated beam_search(Generation& generation, const GenerationOptions& options);

}  // namespace ds::hub
