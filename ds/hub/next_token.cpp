// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/next_token.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ds/base/error.h"

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

void keep_largest(int64_t count, std::vector<float>& scores) {
  if (count <= 0 || count >= static_cast<int64_t>(scores.size())) return;
  std::vector<float> sorted = scores;
  std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end(), std::greater<>());
  const float least = sorted[static_cast<size_t>(count - 1)];
  for (float& score : scores)
    if (score < least) score = kNever;
}

/// exp(score - largest) in place of the scores, and their sum.
double to_weights(const std::vector<float>& scores, std::vector<double>& weights) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  weights.clear();
  for (const float score : scores) sum += weights.emplace_back(std::exp(score - largest));
  return sum;
}

/// Drops the least likely tokens that together have a probability of at most 1 - p.
void keep_nucleus(double p, const std::vector<double>& weights, double& sum,
                  std::vector<double>& kept) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weights[a] < weights[b]; });
  kept = weights;
  double dropped = 0;
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    dropped += weights[order[i]];
    if (dropped > (1 - p) * sum) break;
    kept[order[i]] = 0;
  }
  sum = std::accumulate(kept.begin(), kept.end(), 0.0);
}

}  // namespace

void apply_penalties(const GenerationOptions& options, const Sequence& sequence,
                     std::span<float> scores) {
  if (options.repetition_penalty != 1.0)
    penalise_repetition(options.repetition_penalty, sequence, scores);
  if (options.no_repeat_ngram_size > 0)
    forbid_ngrams(options.no_repeat_ngram_size, sequence.tokens, scores);
  if (sequence.made() >= options.min_new_tokens) return;
  for (const int64_t token : options.eos_token_ids)
    if (token >= 0 && token < static_cast<int64_t>(scores.size()))
      scores[static_cast<size_t>(token)] = kNever;
}

int64_t best_token(std::span<const float> scores) {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

int64_t draw_token(const GenerationOptions& options, std::span<const float> given,
                   std::mt19937_64& random) {
  std::vector<float> scores(given.begin(), given.end());
  for (float& score : scores) score /= static_cast<float>(options.temperature);
  keep_largest(options.top_k, scores);
  std::vector<double> weights;
  double sum = to_weights(scores, weights);
  DS_CHECK(std::isfinite(sum) && sum > 0, ValueError,
           "generate: the model's scores are not finite numbers, so no token can be drawn");
  if (options.top_p < 1.0) {
    const std::vector<double> all = weights;
    keep_nucleus(options.top_p, all, sum, weights);
  }
  // 53 bits fill a double; std::uniform_real_distribution differs between libraries.
  double left = static_cast<double>(random() >> 11) * 0x1p-53 * sum;
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
