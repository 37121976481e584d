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

}  // namespace

ArenaPlan plan_arena(const std::vector<Lifetime>& lifetimes) {
  ArenaPlan plan;
  plan.offsets.resize(lifetimes.size());
  plan.lower_bound = peak(lifetimes);
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
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

}  // namespace ds
