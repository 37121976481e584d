// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/batch.h"

#include <algorithm>
#include <unordered_set>

#include "ds/backends/cpu/tiles.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

/// Runs the tiles of all parts as one parallel loop over their units.
void run_parts(const std::vector<std::shared_ptr<TileStep>>& parts, const Frame& frame) {
  std::vector<int64_t> start = {0};
  double threads = 0;  // that would pay
  for (const auto& part : parts) {
    const int64_t units = part->prepare(frame);
    start.push_back(start.back() + units);
    if (units > 0) threads += static_cast<double>(units) / part->runner().grain();
  }
  const int64_t total = start.back();
  const auto grain = static_cast<int64_t>(static_cast<double>(total) / std::max(1.0, threads));
  parallel_for(total, grain, [&](int64_t begin, int64_t end) {
    size_t i =
        static_cast<size_t>(std::upper_bound(start.begin(), start.end(), begin) - start.begin()) -
        1;
    for (; begin < end; ++i) {
      const int64_t last = std::min(end, start[i + 1]);
      if (last > begin) parts[i]->runner().run(begin - start[i], last - start[i]);
      begin = std::max(begin, last);
    }
  });
}

bool is_small(const Step& step) {
  return step.tiles && step.tiles->elements() <= kSmallStep && step.for_copies.empty();
}

Step join(std::vector<Step> parts) {
  Step batch;
  batch.info = parts.front().info;
  batch.info.kernel = str("cpu:batch of ", parts.size(), ", first ", batch.info.kernel);
  batch.info.flops = batch.info.bytes = 0;
  std::vector<std::shared_ptr<TileStep>> tiles;
  for (const Step& part : parts) {
    batch.info.flops += part.info.flops;
    batch.info.bytes += part.info.bytes;
    batch.reads.insert(batch.reads.end(), part.reads.begin(), part.reads.end());
    batch.writes.insert(batch.writes.end(), part.writes.begin(), part.writes.end());
    tiles.push_back(part.tiles);
  }
  batch.run = [tiles = std::move(tiles)](const Frame& frame) { run_parts(tiles, frame); };
  batch.parts = std::move(parts);
  return batch;
}

/// Small steps that wait, independent of each other.
struct Waiting {
  std::vector<Step> steps;
  std::unordered_set<int> reads, writes;  // memory
};

/// Keeps rows of waiting steps; what is in a row depends on rows before it only.
class Batcher {
 public:
  explicit Batcher(const std::vector<int>& memory) : memory_(memory) {}

  void add(Step step) {
    size_t row = waiting_.size();
    while (row > 0 && !conflicts(step, waiting_[row - 1])) --row;
    if (!is_small(step)) {
      flush(row);
      done_.push_back(std::move(step));
      return;
    }
    if (row == waiting_.size()) waiting_.emplace_back();
    Waiting& joined = waiting_[row];
    for (const int slot : step.reads) joined.reads.insert(memory(slot));
    for (const int slot : step.writes) joined.writes.insert(memory(slot));
    joined.steps.push_back(std::move(step));
  }

  std::vector<Step> finish() {
    flush(waiting_.size());
    return std::move(done_);
  }

 private:
  int memory(int slot) const { return memory_[static_cast<size_t>(slot)]; }

  /// The step must not run before, or together with, those that wait.
  bool conflicts(const Step& step, const Waiting& row) const {
    return std::any_of(step.reads.begin(), step.reads.end(),
                       [&](int slot) { return row.writes.count(memory(slot)) > 0; }) ||
           std::any_of(step.writes.begin(), step.writes.end(), [&](int slot) {
             return row.writes.count(memory(slot)) > 0 || row.reads.count(memory(slot)) > 0;
           });
  }

  void flush(size_t rows) {
    for (size_t i = 0; i < rows; ++i) {
      std::vector<Step>& steps = waiting_[i].steps;
      if (steps.size() == 1)
        done_.push_back(std::move(steps.front()));
      else
        done_.push_back(join(std::move(steps)));
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(rows));
  }

  const std::vector<int>& memory_;
  std::vector<Step> done_;
  std::vector<Waiting> waiting_;
};

}  // namespace

std::vector<Step> batch_small_steps(std::vector<Step> steps, const std::vector<int>& memory) {
  Batcher batcher(memory);
  for (Step& step : steps) batcher.add(std::move(step));
  return batcher.finish();
}

std::vector<Step> put_first_what_inputs_give(std::vector<Step> steps,
                                             const std::vector<Slot>& slots,
                                             const std::vector<int>& memory) {
  const auto kind = [&](int slot) { return slots[static_cast<size_t>(slot)].kind; };
  const auto given = [&](int slot) {
    return kind(slot) == SlotKind::input || kind(slot) == SlotKind::constant;
  };
  const auto overwrites = [&](int slot) {
    return kind(memory[static_cast<size_t>(slot)]) == SlotKind::input;
  };
  std::stable_partition(steps.begin(), steps.end(), [&](const Step& step) {
    return is_small(step) && std::all_of(step.reads.begin(), step.reads.end(), given) &&
           std::none_of(step.writes.begin(), step.writes.end(), overwrites);
  });
  return steps;
}

}  // namespace ds::cpu
