// SPDX-License-Identifier: Apache-2.0
// One run of a compiled graph, as the engine does it.
#pragma once

#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "ds/runtime/allocator.h"
#include "ds/runtime/backend.h"

namespace ds::testing {

/// With memory of its own for temporaries and for copies of inputs. `lost` are nodes that an
/// earlier error has made impossible.
inline void run_executable(Executable& executable, std::span<const void* const> inputs,
                           std::span<void* const> outputs,
                           std::unordered_set<const Node*> lost = {}) {
  const std::shared_ptr<void> arena = allocate_host(executable.arena_bytes());
  std::vector<std::shared_ptr<void>> copies;
  RunContext context;
  context.arena = arena.get();
  context.lost = std::move(lost);
  for (const InputCopy& copy : executable.input_copies()) {
    copies.push_back(allocate_host(copy.layout->nbytes()));
    context.copies.push_back(copies.back().get());
    context.copied.push_back(false);
  }
  executable.run(inputs, outputs, context);
}

}  // namespace ds::testing
