// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/temporaries.h"

#include <algorithm>
#include <map>

namespace ds::cpu {
namespace {

// Smaller values are not worth a call of the system, nor is a wait of few steps.
constexpr size_t kLeastSpill = size_t{64} << 10;
constexpr int kLeastWait = 4;
// What gaps between blocks may cost when the limit is met by the blocks themselves.
constexpr double kTighter = 0.97;
constexpr int kTrials = 12;

class Planner {
 public:
  Planner(const std::vector<Slot>& slots, const std::vector<Step>& steps)
      : slots_(slots), steps_(steps), touches_(slots.size()), movable_(slots.size(), true) {
    for (size_t s = 0; s < steps.size(); ++s) {
      const auto touch = [&](int slot) {
        std::vector<int>& touched = touches_[static_cast<size_t>(slot)];
        if (touched.empty() || touched.back() != static_cast<int>(s))
          touched.push_back(static_cast<int>(s));
        // The parts of a batch go on by themselves after an error.
        if (!steps[s].parts.empty()) movable_[static_cast<size_t>(slot)] = false;
      };
      for (const int slot : steps[s].writes) touch(slot);
      for (const int slot : steps[s].reads) touch(slot);
    }
    taken_by_.resize(slots.size(), -1);
    takes_over_.resize(slots.size(), -1);
    for (const Step& step : steps) find_taken(step, static_cast<int>(&step - steps.data()));
  }

  TemporaryPlan run(size_t limit) {
    TemporaryPlan plan = place();
    double target = static_cast<double>(limit);
    for (int trial = 0; limit > 0 && plan.arena.plan.bytes > limit && trial < kTrials; ++trial) {
      if (!spill(static_cast<size_t>(target))) break;
      plan = place();
      target *= kTighter;
    }
    return plan;
  }

 private:
  bool is_temporary(int slot) const {
    return slots_[static_cast<size_t>(slot)].kind == SlotKind::temporary;
  }

  /// What the step writes first goes where it reads something as large for the last time, element
  /// by element.
  void find_taken(const Step& step, int at) {
    if (!step.parts.empty()) return;
    for (const int written : step.writes) {
      const auto w = static_cast<size_t>(written);
      if (!is_temporary(written) || touches_[w].front() != at || takes_over_[w] >= 0) continue;
      for (const int read : step.reads) {
        const auto r = static_cast<size_t>(read);
        if (read == written || !is_temporary(read) || touches_[r].back() != at ||
            touches_[r].front() == at || taken_by_[r] >= 0 || slots_[r].bytes != slots_[w].bytes ||
            !step.may_share(read, written))
          continue;
        takes_over_[w] = read;
        taken_by_[r] = written;
        break;
      }
    }
  }

  /// Bytes in use at each step, with what waits in the file so far.
  std::vector<size_t> live() const {
    std::vector<long long> change(steps_.size() + 1, 0);
    const auto add = [&](int first, int last, size_t bytes) {
      change[static_cast<size_t>(first)] += static_cast<long long>(align_up(bytes));
      change[static_cast<size_t>(last) + 1] -= static_cast<long long>(align_up(bytes));
    };
    for (size_t i = 0; i < slots_.size(); ++i)
      if (is_temporary(static_cast<int>(i)) && !touches_[i].empty())
        add(touches_[i].front(), touches_[i].back() - (taken_by_[i] >= 0 ? 1 : 0), slots_[i].bytes);
    for (const auto& [wait, slot] : waiting_) {
      change[static_cast<size_t>(wait.first) + 1] -=
          static_cast<long long>(align_up(slots_[static_cast<size_t>(slot)].bytes));
      change[static_cast<size_t>(wait.second)] +=
          static_cast<long long>(align_up(slots_[static_cast<size_t>(slot)].bytes));
    }
    std::vector<size_t> bytes;
    long long now = 0;
    for (const long long delta : change) bytes.push_back(static_cast<size_t>(now += delta));
    return bytes;
  }

  /// Moves more into the file until no step needs more than `limit`; false when nothing was moved.
  bool spill(size_t limit) {
    std::vector<size_t> bytes = live();
    bool moved = false;
    while (true) {
      const auto peak = std::max_element(bytes.begin(), bytes.end());
      if (*peak <= limit) return moved;
      const int slot = farthest(static_cast<int>(peak - bytes.begin()));
      if (slot < 0) return moved;
      const auto wait = gap(slot, static_cast<int>(peak - bytes.begin()));
      waiting_.emplace(wait, slot);
      moved = true;
      for (int s = wait.first + 1; s < wait.second; ++s)
        bytes[static_cast<size_t>(s)] -= align_up(slots_[static_cast<size_t>(slot)].bytes);
    }
  }

  /// The steps around `at` that touch the slot; {-1, -1} when it is not in memory unused then.
  std::pair<int, int> gap(int slot, int at) const {
    const std::vector<int>& touched = touches_[static_cast<size_t>(slot)];
    const auto next = std::upper_bound(touched.begin(), touched.end(), at);
    if (next == touched.begin() || next == touched.end() || *(next - 1) == at) return {-1, -1};
    return {*(next - 1), *next};
  }

  /// The slot to wait in the file over step `at`: that which waits longest.
  int farthest(int at) const {
    int best = -1, longest = kLeastWait - 1;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const int slot = static_cast<int>(i);
      if (!is_temporary(slot) || !movable_[i] || slots_[i].bytes < kLeastSpill) continue;
      const auto wait = gap(slot, at);
      if (wait.first < 0 || wait.second - wait.first <= longest) continue;
      const auto [first, last] = waiting_.equal_range(wait);
      if (std::any_of(first, last, [slot](const auto& entry) { return entry.second == slot; }))
        continue;
      longest = wait.second - wait.first;
      best = slot;
    }
    return best;
  }

  TemporaryPlan place() const {
    std::vector<std::vector<std::pair<int, int>>> waits(slots_.size());
    for (const auto& [wait, slot] : waiting_) waits[static_cast<size_t>(slot)].push_back(wait);
    std::vector<Lifetime> lifetimes;
    std::vector<Placement> placements;
    std::vector<int> first_block(slots_.size(), -1), last_block(slots_.size(), -1);
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (!is_temporary(static_cast<int>(i)) || touches_[i].empty()) continue;
      int first = touches_[i].front();
      first_block[i] = static_cast<int>(lifetimes.size());
      for (const auto& [stored, loaded] : waits[i]) {
        lifetimes.push_back({slots_[i].bytes, first, stored});
        placements.push_back({static_cast<int>(i), first, 0});
        first = loaded;
      }
      last_block[i] = static_cast<int>(lifetimes.size());
      lifetimes.push_back({slots_[i].bytes, first, touches_[i].back()});
      placements.push_back({static_cast<int>(i), first, 0});
    }
    std::vector<int> takes_over(lifetimes.size(), -1);
    for (size_t i = 0; i < slots_.size(); ++i)
      if (takes_over_[i] >= 0)
        takes_over[static_cast<size_t>(first_block[i])] =
            last_block[static_cast<size_t>(takes_over_[i])];
    // What is loaded in the very step that takes it over would end before it begins.
    for (size_t i = 0; i < lifetimes.size(); ++i)
      if (takes_over[i] >= 0 &&
          lifetimes[static_cast<size_t>(takes_over[i])].first == lifetimes[i].first)
        takes_over[i] = -1;
    TemporaryPlan plan;
    plan.arena = plan_arena(std::move(lifetimes), takes_over);
    for (size_t i = 0; i < placements.size(); ++i)
      placements[i].offset = plan.arena.plan.offsets[i];
    std::stable_sort(placements.begin(), placements.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    plan.placements = std::move(placements);
    place_in_file(plan);
    return plan;
  }

  void place_in_file(TemporaryPlan& plan) const {
    std::vector<Lifetime> waits;
    for (const auto& [wait, slot] : waiting_) {
      waits.push_back({slots_[static_cast<size_t>(slot)].bytes, wait.first, wait.second});
      plan.spills.push_back({slot, wait.first, wait.second, 0});
    }
    const ArenaPlan file = plan_arena(waits);
    for (size_t i = 0; i < plan.spills.size(); ++i) plan.spills[i].file_offset = file.offsets[i];
    plan.file_bytes = file.bytes;
    plan.spilled_bytes = file.lower_bound;
  }

  const std::vector<Slot>& slots_;
  const std::vector<Step>& steps_;
  std::vector<std::vector<int>> touches_;            // steps, by slot
  std::vector<bool> movable_;                        // by slot
  std::vector<int> taken_by_, takes_over_;           // slots, by slot
  std::multimap<std::pair<int, int>, int> waiting_;  // slots, by the steps they wait between
};

}  // namespace

TemporaryPlan plan_temporaries(const std::vector<Slot>& slots, const std::vector<Step>& steps,
                               size_t limit) {
  return Planner(slots, steps).run(limit);
}

}  // namespace ds::cpu
