// SPDX-License-Identifier: Apache-2.0
// Memory of a graph on a backend as good as can be: views take none, chains are fused, an
// elementwise step writes over the input that its output takes over.
#pragma once

#include <vector>

#include "ds/runtime/backend.h"

namespace ds::null {

struct Plan {
  std::vector<NodePtr> nodes;  // its steps
  ArenaUse arena;
};

Plan plan_memory(const Graph& graph, const CompileOptions& options);

}  // namespace ds::null
