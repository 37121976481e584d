// SPDX-License-Identifier: Apache-2.0
// Offsets for temporaries in one block of memory, from when each is first written and last read.
#pragma once

#include <cstddef>
#include <vector>

namespace ds {

inline constexpr size_t kAlignment = 64;  // a cache line, and the widest vector of any target

/// A block of `bytes` that is in use from step `first` to step `last`, both included.
struct Lifetime {
  size_t bytes;
  int first;
  int last;
};

struct ArenaPlan {
  std::vector<size_t> offsets;  // one per lifetime, multiples of kAlignment
  size_t bytes = 0;             // size of the arena
  size_t lower_bound = 0;       // most bytes in use at one step: no plan is smaller
};

/// The blocks of an arena and where they lie, for reports. Steps are those of an Executable.
struct ArenaUse {
  std::vector<Lifetime> lifetimes;
  ArenaPlan plan;
};

/// Greedy: one block after the other at the lowest offset that is free over its whole life
/// (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020), in
/// several orders, the best of which is improved until it is near the lower bound.
ArenaPlan plan_arena(const std::vector<Lifetime>& lifetimes);
/// The same where some blocks are written over others: takes_over[i] is the block whose offset
/// block i gets, as large and in use until the step in which i begins; -1 for none. No two take
/// over one. The earlier block ends a step sooner in the result.
ArenaUse plan_arena(std::vector<Lifetime> lifetimes, const std::vector<int>& takes_over);

inline size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace ds
