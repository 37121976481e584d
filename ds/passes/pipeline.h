// SPDX-License-Identifier: Apache-2.0
// The passes in the order they run on every planned graph.
#pragma once

#include "ds/ir/graph.h"
#include "ds/ir/target_info.h"

namespace ds {

/// The graph rewritten for the target: same inputs, same outputs, same values. `remat_level` is how
/// much is computed again to save memory (remat.h).
Graph run_pipeline(const Graph& graph, const TargetInfo& target, int remat_level = 0);

}  // namespace ds
