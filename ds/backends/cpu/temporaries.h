// SPDX-License-Identifier: Apache-2.0
// Where the temporaries of a program lie while it runs: which are written over others, and which
// wait in a file because the arena has a limit.
#pragma once

#include <vector>

#include "ds/backends/cpu/program.h"

namespace ds::cpu {

/// A temporary that waits in a file from behind step `stored` until step `loaded`.
struct Spill {
  int slot;
  int stored;
  int loaded;
  size_t file_offset;
};

/// From step `first` on the slot lies at this offset.
struct Placement {
  int slot;
  int first;
  size_t offset;
};

struct TemporaryPlan {
  ArenaUse arena;
  std::vector<Placement> placements;  // by step
  std::vector<Spill> spills;
  size_t file_bytes = 0;
  size_t spilled_bytes = 0;  // most at one time
};

/// `limit`: the arena should be no larger; 0 for none.
TemporaryPlan plan_temporaries(const std::vector<Slot>& slots, const std::vector<Step>& steps,
                               size_t limit);

}  // namespace ds::cpu
