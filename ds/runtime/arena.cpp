// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/arena.h"

#include <algorithm>
#include <numeric>

namespace ds {
namespace {

size_t peak(const std::vector<Lifetime>& lifetimes) {
  int steps = 0;
  for (const Lifetime& life : lifetimes) steps = std::max(steps, life.last + 1);
  std::vector<long long> change(static_cast<size_t>(steps) + 1, 0);
  for (const Lifetime& life : lifetimes) {
    change[static_cast<size_t>(life.first)] += static_cast<long long>(align_up(life.bytes));
    change[static_cast<size_t>(life.last) + 1] -= static_cast<long long>(align_up(life.bytes));
  }
  long long now = 0, most = 0;
  for (long long delta : change) most = std::max(most, now += delta);
  return static_cast<size_t>(most);
}

/// Places the blocks in `order`, each at the lowest offset that is free over its whole life.
ArenaPlan place(const std::vector<Lifetime>& lifetimes, const std::vector<size_t>& order) {
  ArenaPlan plan;
  plan.offsets.resize(lifetimes.size());
  std::vector<size_t> placed;  // sorted by offset
  for (size_t index : order) {
    const Lifetime& life = lifetimes[index];
    const size_t bytes = align_up(life.bytes);
    size_t offset = 0;
    for (size_t other : placed) {
      const Lifetime& taken = lifetimes[other];
      if (taken.last < life.first || taken.first > life.last) continue;
      if (plan.offsets[other] >= offset + bytes) break;  // the gap before it is large enough
      offset = std::max(offset, plan.offsets[other] + align_up(taken.bytes));
    }
    plan.offsets[index] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), index,
                         [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; }),
        index);
  }
  return plan;
}

using Weight = double (*)(const Lifetime&);
// Large blocks first is best for inference, long ones first where activations wait for the
// backward pass; area weighs both.
constexpr Weight kWeights[] = {
    [](const Lifetime& life) { return static_cast<double>(life.bytes); },
    [](const Lifetime& life) {
      return static_cast<double>(life.bytes) * (life.last - life.first + 1);
    },
    [](const Lifetime& life) { return static_cast<double>(life.last - life.first); }};

// A plan this near to the lower bound is not worth more time: by share, or by bytes that no device
// misses.
constexpr double kNearEnough = 1.005;
constexpr size_t kFewBytes = size_t{32} << 10;

bool near_enough(const ArenaPlan& plan) {
  return plan.bytes <= plan.lower_bound + kFewBytes ||
         static_cast<double>(plan.bytes) <= kNearEnough * static_cast<double>(plan.lower_bound);
}

// Limits of what better plans may cost: pairs of blocks looked at, and new orders of few blocks.
constexpr size_t kMaxWork = 20'000'000;
constexpr size_t kMaxRounds = 100;

/// Plans again and again with the block that ends highest moved to the front of the order.
void improve(const std::vector<Lifetime>& lifetimes, std::vector<size_t> order, ArenaPlan& best,
             size_t rounds) {
  ArenaPlan plan = best;
  for (size_t round = 0; round < rounds; ++round) {
    if (near_enough(best)) return;
    const auto top = std::max_element(order.begin(), order.end(), [&](size_t a, size_t b) {
      return plan.offsets[a] + lifetimes[a].bytes < plan.offsets[b] + lifetimes[b].bytes;
    });
    std::rotate(order.begin(), top, top + 1);
    plan = place(lifetimes, order);
    if (plan.bytes >= best.bytes) continue;
    best.bytes = plan.bytes;
    best.offsets = plan.offsets;
  }
}

}  // namespace

ArenaPlan plan_arena(const std::vector<Lifetime>& lifetimes) {
  const size_t lower_bound = peak(lifetimes);
  const size_t count = std::max<size_t>(lifetimes.size(), 1);
  ArenaPlan best;
  std::vector<size_t> best_order;
  for (const Weight weight : kWeights) {
    std::vector<size_t> order(lifetimes.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return weight(lifetimes[a]) > weight(lifetimes[b]);
    });
    ArenaPlan plan = place(lifetimes, order);
    if (!best_order.empty() && plan.bytes >= best.bytes) continue;
    best = std::move(plan);
    best.lower_bound = lower_bound;
    best_order = std::move(order);
    if (near_enough(best)) return best;
  }
  const size_t rounds = std::min(kMaxRounds, kMaxWork / (count * count));
  improve(lifetimes, std::move(best_order), best, rounds);
  return best;
}

ArenaUse plan_arena(std::vector<Lifetime> lifetimes, const std::vector<int>& takes_over) {
  const size_t count = lifetimes.size();
  std::vector<bool> taken(count, false);
  for (const int block : takes_over)
    if (block >= 0) taken[static_cast<size_t>(block)] = true;
  // Blocks of one offset are placed as one: from the last of them to the first.
  std::vector<Lifetime> joined;
  std::vector<size_t> place(count);
  for (size_t i = 0; i < count; ++i) {
    if (taken[i]) continue;
    Lifetime life = lifetimes[i];
    place[i] = joined.size();
    for (int block = takes_over[i]; block >= 0; block = takes_over[static_cast<size_t>(block)]) {
      place[static_cast<size_t>(block)] = joined.size();
      life.first = lifetimes[static_cast<size_t>(block)].first;
    }
    joined.push_back(life);
  }
  ArenaPlan plan = plan_arena(joined);
  std::vector<size_t> offsets(count);
  for (size_t i = 0; i < count; ++i) {
    offsets[i] = plan.offsets[place[i]];
    if (takes_over[i] >= 0)
      lifetimes[static_cast<size_t>(takes_over[i])].last = lifetimes[i].first - 1;
  }
  plan.offsets = std::move(offsets);
  return {std::move(lifetimes), std::move(plan)};
}

}  // namespace ds
