// SPDX-License-Identifier: Apache-2.0
// Beam search, as transformers does it: of every item of the batch the best num_beams sequences go
// on, and the best num_beams that have ended are kept.
#include <algorithm>
#include <cmath>
#include <queue>

#include "ds/base/error.h"
#include "ds/hub/next_token.h"

namespace ds::hub {
namespace {

/// Added to the score of what must not be chosen; scores of real sequences are far above.
constexpr float kHopeless = -1e9f;

struct Beam {
  Sequence sequence;
  float score = kHopeless;
  bool ended = false;
  size_t from = 0;              // the running beam it continues
  std::vector<int64_t> path{};  // the beam among all of a step that each of its tokens followed
};

/// One item of the batch.
struct Item {
  std::vector<Beam> running, finished;
  bool improvable = true;  // running beams may yet beat the finished ones
};

/// Indices of the `count` largest scores, the best first; of equal ones the first.
std::vector<size_t> largest(const std::vector<float>& scores, size_t count) {
  using Entry = std::pair<float, size_t>;
  const auto better = [](const Entry& a, const Entry& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  std::priority_queue<Entry, std::vector<Entry>, decltype(better)> best(better);
  for (size_t i = 0; i < scores.size(); ++i) {
    if (best.size() < count) {
      best.emplace(scores[i], i);
    } else if (scores[i] > best.top().first) {
      best.pop();
      best.emplace(scores[i], i);
    }
  }
  std::vector<size_t> order(best.size());
  for (size_t i = order.size(); i-- > 0; best.pop()) order[i] = best.top().second;
  return order;
}

class BeamSearch {
 public:
  BeamSearch(Generation& generation, const GenerationOptions& options)
      : generation_(generation), options_(options), beams_(static_cast<size_t>(options.num_beams)) {
    if (options.do_sample) random_ = random_of(options);
    // Enough that num_beams go on even when every one of them meets all ends.
    keep_ = std::max<size_t>(2, 1 + options.eos_token_ids.size()) * beams_;
    for (const Sequence& prompt : generation.sequences) {
      Item item;
      item.finished.assign(beams_, Beam{prompt});
      item.running.assign(beams_, Beam{prompt});
      item.running[0].score = 0;  // all begin alike, so only the first counts
      items_.push_back(std::move(item));
    }
  }

  Generated run() {
    while (step()) {
    }
    return results();
  }

 private:
  /// False when the search has come to its end.
  bool step() {
    // Prompts are computed once each; their scores for every beam.
    const bool first = made_ == 0;
    std::vector<float> scores = generation_.next_scores(true, first ? options_.num_beams : 1);
    std::vector<const Sequence*> begun;
    for (const Item& item : items_)
      for (const Beam& beam : item.running) begun.push_back(&beam.sequence);
    generation_.adjust(begun, scores);
    std::vector<std::vector<Beam>> candidates;
    for (size_t i = 0; i < items_.size(); ++i) candidates.push_back(best_candidates(i, scores));
    mark_ended(candidates);
    std::vector<int64_t> rows;
    bool all_ended = true;
    for (size_t i = 0; i < items_.size(); ++i) {
      for (const Beam& candidate : candidates[i]) all_ended = all_ended && candidate.ended;
      go_on(items_[i], candidates[i]);
      keep_finished(items_[i], candidates[i]);
      for (const Beam& beam : items_[i].running)
        rows.push_back(static_cast<int64_t>(first ? i : i * beams_ + beam.from));
    }
    ++made_;
    generation_.select(rows);
    size_t row = 0;
    bool improvable = false, full = true;
    for (Item& item : items_) {
      for (const Beam& beam : item.running) generation_.sequences[row++] = beam.sequence;
      judge(item);
      improvable = improvable || item.improvable;
      full = full && is_full(item);
    }
    return improvable && !(full && options_.early_stopping == EarlyStopping::yes) && !all_ended;
  }

  std::vector<Beam> best_candidates(size_t item, const std::vector<float>& scores) {
    const auto vocab = static_cast<size_t>(generation_.vocab_size());
    const auto begin = scores.begin() + static_cast<int64_t>(item * beams_ * vocab);
    std::vector<float> sums(begin, begin + static_cast<int64_t>(beams_ * vocab));
    for (size_t b = 0; b < beams_; ++b)
      for (float& score : std::span<float>(sums.data() + b * vocab, vocab))
        score += items_[item].running[b].score;
    std::vector<Beam> candidates;
    for (const size_t place : options_.do_sample ? drawn(sums) : largest(sums, keep_)) {
      const size_t from = place / vocab;
      const Beam& beam = items_[item].running[from];
      Beam candidate{beam.sequence, sums[place], false, from, beam.path};
      candidate.path.push_back(static_cast<int64_t>(item * beams_ + from));
      candidate.sequence.tokens.push_back(static_cast<int64_t>(place % vocab));
      candidates.push_back(std::move(candidate));
    }
    return candidates;
  }

  /// Places drawn one after the other by the probabilities of what is left, the likeliest first:
  /// they are the largest of the sums when each gets noise of Gumbel's distribution (Kool et al.,
  /// 2019).
  std::vector<size_t> drawn(const std::vector<float>& sums) {
    std::vector<float> noisy;
    for (const float sum : sums) {
      DS_CHECK(!std::isnan(sum), ValueError,
               "generate: the model's scores are not finite numbers, so no token can be drawn");
      noisy.push_back(sum - static_cast<float>(std::log(-std::log(draw_number(random_)))));
    }
    std::vector<size_t> places = largest(noisy, keep_);
    std::stable_sort(places.begin(), places.end(),
                     [&](size_t a, size_t b) { return sums[a] > sums[b]; });
    return places;
  }

  void mark_ended(std::vector<std::vector<Beam>>& candidates) {
    TokenRows all;
    for (auto& list : candidates)
      for (Beam& candidate : list) {
        candidate.ended = ends(options_, candidate.sequence.tokens.back()) ||
                          candidate.sequence.made() >= options_.max_new_tokens;
        if (options_.stop) all.push_back(candidate.sequence.tokens);
      }
    if (!options_.stop) return;
    const std::vector<bool> stopped = options_.stop(all);
    size_t row = 0;
    for (auto& list : candidates)
      for (Beam& candidate : list) candidate.ended = stopped.at(row++) || candidate.ended;
  }

  void go_on(Item& item, const std::vector<Beam>& candidates) {
    std::vector<float> scores;
    for (const Beam& candidate : candidates)
      scores.push_back(candidate.score + (candidate.ended ? kHopeless : 0));
    item.running.clear();
    for (const size_t place : largest(scores, beams_)) {
      item.running.push_back(candidates[place]);
      item.running.back().score = scores[place];
    }
  }

  bool is_full(const Item& item) const {
    return std::all_of(item.finished.begin(), item.finished.end(),
                       [](const Beam& beam) { return beam.ended; });
  }

  void keep_finished(Item& item, const std::vector<Beam>& candidates) {
    const bool closed =
        !item.improvable || (is_full(item) && options_.early_stopping == EarlyStopping::yes);
    std::vector<Beam> all = item.finished;
    std::vector<float> scores;
    for (const Beam& beam : all) scores.push_back(beam.score);
    for (size_t i = 0; i < candidates.size(); ++i) {
      Beam beam = candidates[i];
      beam.ended = beam.ended && i < beams_;  // the rest is there to have num_beams to go on with
      beam.score /= length_factor(made_ + 1);
      if (closed) beam.score += kHopeless;
      if (!beam.ended) beam.score += kHopeless;
      scores.push_back(beam.score);
      all.push_back(std::move(beam));
    }
    item.finished.clear();
    for (const size_t place : largest(scores, beams_)) item.finished.push_back(all[place]);
  }

  /// Whether the best running beam may yet beat the worst finished one.
  void judge(Item& item) const {
    const bool longest =
        options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
    const float best =
        item.running[0].score / length_factor(longest ? options_.max_new_tokens : made_);
    float worst = item.finished[0].score;
    for (const Beam& beam : item.finished) worst = std::min(worst, beam.score);
    const bool beats =
        std::any_of(item.finished.begin(), item.finished.end(),
                    [&](const Beam& beam) { return best > (beam.ended ? worst : kHopeless); });
    item.improvable = item.improvable && beats;
  }

  float length_factor(int64_t length) const {
    return static_cast<float>(std::pow(static_cast<double>(length), options_.length_penalty));
  }

  Generated results() const {
    size_t made = 0;
    TokenRows rows, paths;
    std::vector<float> scores;
    for (const Item& item : items_)
      for (int64_t r = 0; r < options_.num_return_sequences; ++r) {
        const Beam& beam = item.finished[static_cast<size_t>(r)];
        made = std::max(made, beam.path.size());
        rows.push_back(beam.sequence.tokens);
        paths.push_back(beam.path);
        scores.push_back(beam.score);
      }
    // As in transformers, where a padding token 0 counts as none.
    const int64_t pad = options_.eos_token_ids.empty()      ? -1
                        : options_.pad_token_id.value_or(0) ? *options_.pad_token_id
                                                            : options_.eos_token_ids[0];
    const auto prompt = static_cast<size_t>(items_[0].finished[0].sequence.prompt);
    for (auto& row : rows) row.resize(prompt + made, pad);
    for (auto& path : paths) path.resize(made, -1);
    const Device device = generation_.device();
    const auto count = static_cast<int64_t>(scores.size());
    return {to_tensor(rows, device),
            Tensor::from_host(scores.data(), {DType::f32, {count}}, device),
            to_tensor(paths, device)};
  }

  Generation& generation_;
  const GenerationOptions& options_;
  size_t beams_, keep_;
  std::vector<Item> items_;
  std::mt19937_64 random_;
  int64_t made_ = 0;
};

}  // namespace

Generated beam_search(Generation& generation, const GenerationOptions& options) {
  return BeamSearch(generation, options).run();
}

}  // namespace ds::hub
