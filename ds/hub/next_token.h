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

/// Changes scores [vocab_size] by the options that forbid or penalise tokens.
void apply_penalties(const GenerationOptions& options, const Sequence& sequence,
                     std::span<float> scores);
/// The first index of the largest score.
int64_t best_token(std::span<const float> scores);
/// Draws an index with temperature, top_k and top_p; ValueError when the scores are not numbers.
int64_t draw_token(const GenerationOptions& options, std::span<const float> scores,
                   std::mt19937_64& random);
bool ends(const GenerationOptions& options, int64_t token);

/// What generate() keeps from step to step.
class Generation {
 public:
  Generation(GenerativeModel& model, const Tensor& input_ids, const TokenRows& mask,
             const GenerationOptions& options);
  /// One row of `sequences` for every item of the batch at first.
  std::vector<Sequence> sequences;
  /// Logits, or with `normalized` their log_softmax, of what follows the sequences: one row each.
  std::vector<float> next_scores(bool normalized);
  /// Sequence i becomes what sequence rows[i] was.
  void select(const std::vector<int64_t>& rows);
  int64_t vocab_size() const { return vocab_size_; }
  Device device() const { return device_; }

 private:
  GenerativeModel& model_;
  std::function<void()> poll_;
  Device device_;
  KeyValueCache cache_;
  bool begun_ = false;
  int64_t vocab_size_ = 0;
};

/// The sequences of beam search, num_return_sequences for every item, padded to one length.
TokenRows beam_search(Generation& generation, const GenerationOptions& options);

}  // namespace ds::hub
