// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/next_token.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ds/base/error.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void penalise_repetition(double penalty, const Sequence& sequence, std::span<float> scores) {
  std::vector<int64_t> seen(sequence.tokens.begin() + sequence.padding, sequence.tokens.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto factor = static_cast<float>(penalty);
  for (const int64_t token : seen) {
    if (token < 0 || token >= static_cast<int64_t>(scores.size())) continue;
    float& score = scores[static_cast<size_t>(token)];
    score = score < 0 ? score * factor : score / factor;
  }
}

/// Forbids what followed the last size - 1 tokens wherever they stood before.
void forbid_ngrams(int64_t size, const std::vector<int64_t>& tokens, std::span<float> scores) {
  const auto length = static_cast<int64_t>(tokens.size());
  const auto last = tokens.end() - std::min(size - 1, length);
  for (int64_t i = 0; i + size <= length; ++i) {
    const auto at = tokens.begin() + i;
    const int64_t next = at[size - 1];
    if (std::equal(last, tokens.end(), at) && next >= 0 &&
        next < static_cast<int64_t>(scores.size()))
      scores[static_cast<size_t>(next)] = kNever;
  }
}

void set(std::span<float> scores, int64_t token, float value) {
  if (token >= 0 && token < static_cast<int64_t>(scores.size()))
    scores[static_cast<size_t>(token)] = value;
}

/// Forbids the last token of every word whose other tokens were just made.
void forbid_words(const GenerationOptions& options, const std::vector<int64_t>& tokens,
                  std::span<float> scores) {
  for (const std::vector<int64_t>& word : options.bad_words_ids) {
    if (word.size() > tokens.size() || (word.size() == 1 && ends(options, word[0]))) continue;
    const auto begun = static_cast<int64_t>(word.size()) - 1;
    if (std::equal(word.begin(), word.begin() + begun, tokens.end() - begun))
      set(scores, word.back(), kNever);
  }
}

void force(const std::vector<int64_t>& tokens, std::span<float> scores) {
  std::fill(scores.begin(), scores.end(), kNever);
  for (const int64_t token : tokens) set(scores, token, 0);
}

void forbid_first(const GenerationOptions& options, const Sequence& sequence,
                  std::span<float> scores) {
  // A forced first token is not the one that is meant.
  const int64_t first = sequence.prompt > 1 || !options.forced_bos_token_id ? 0 : 1;
  if (sequence.made() != first) return;
  for (const int64_t token : options.begin_suppress_tokens) set(scores, token, kNever);
}

void keep_largest(int64_t count, std::span<float> scores) {
  if (count <= 0 || count >= static_cast<int64_t>(scores.size())) return;
  std::vector<float> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end(), std::greater<>());
  const float limit = sorted[static_cast<size_t>(count - 1)];
  for (float& score : scores)
    if (score < limit) score = kNever;
}

/// exp(score - largest) of the scores, and their sum.
double to_weights(std::span<const float> scores, std::vector<double>& weights) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  weights.clear();
  for (const float score : scores) sum += weights.emplace_back(std::exp(score - largest));
  return sum;
}

/// Places from the least likely on; `least` of the end are left out.
std::vector<size_t> droppable(const std::vector<double>& weights, int64_t least) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weights[a] < weights[b]; });
  order.resize(order.size() - std::min(order.size(), static_cast<size_t>(least)));
  return order;
}

/// Drops the least likely tokens that together have a probability of at most 1 - p.
void keep_nucleus(double p, int64_t least, std::span<float> scores) {
  std::vector<double> weights;
  const double sum = to_weights(scores, weights);
  double dropped = 0;
  for (const size_t place : droppable(weights, least)) {
    dropped += weights[place];
    if (dropped > (1 - p) * sum) break;
    scores[place] = kNever;
  }
}

void keep_likely(double share, int64_t least, std::span<float> scores) {
  std::vector<double> weights;
  to_weights(scores, weights);
  for (const size_t place : droppable(weights, least)) {
    if (weights[place] >= share) break;  // the likeliest has weight 1
    scores[place] = kNever;
  }
}

}  // namespace

void apply_penalties(const GenerationOptions& options, const Sequence& sequence,
                     std::span<float> scores) {
  if (options.repetition_penalty != 1.0)
    penalise_repetition(options.repetition_penalty, sequence, scores);
  if (options.no_repeat_ngram_size > 0)
    forbid_ngrams(options.no_repeat_ngram_size, sequence.tokens, scores);
  forbid_words(options, sequence.tokens, scores);
  if (sequence.made() < options.min_new_tokens)
    for (const int64_t token : options.eos_token_ids) set(scores, token, kNever);
  if (options.forced_bos_token_id && sequence.tokens.size() == 1)
    force({*options.forced_bos_token_id}, scores);
  if (!options.forced_eos_token_ids.empty() && sequence.made() == options.max_new_tokens - 1)
    force(options.forced_eos_token_ids, scores);
  for (const int64_t token : options.suppress_tokens) set(scores, token, kNever);
  forbid_first(options, sequence, scores);
}

void warp_scores(const GenerationOptions& options, int64_t least, std::span<float> scores) {
  for (float& score : scores) score /= static_cast<float>(options.temperature);
  if (options.top_k > 0) keep_largest(std::max(options.top_k, least), scores);
  if (options.top_p < 1.0) keep_nucleus(options.top_p, least, scores);
  if (options.min_p > 0.0) keep_likely(options.min_p, least, scores);
}

int64_t best_token(std::span<const float> scores) {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

double draw_number(std::mt19937_64& random) {
  // 52 bits and a half fill a double; std::uniform_real_distribution differs between libraries.
  return (static_cast<double>(random() >> 12) + 0.5) * 0x1p-52;
}

std::mt19937_64 random_of(const GenerationOptions& options) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  return std::mt19937_64(options.seed ? *options.seed
                                      : static_cast<uint64_t>(randint(0, kMost, {}).item_int()));
}

int64_t draw_token(std::span<const float> scores, std::mt19937_64& random) {
  std::vector<double> weights;
  const double sum = to_weights(scores, weights);
  DS_CHECK(std::isfinite(sum) && sum > 0, ValueError,
           "generate: the model's scores are not finite numbers, so no token can be drawn");
  double left = draw_number(random) * sum;
  int64_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    last = static_cast<int64_t>(i);
    if ((left -= weights[i]) < 0) break;
  }
  return last;
}

bool ends(const GenerationOptions& options, int64_t token) {
  return std::find(options.eos_token_ids.begin(), options.eos_token_ids.end(), token) !=
         options.eos_token_ids.end();
}

}  // namespace ds::hub
