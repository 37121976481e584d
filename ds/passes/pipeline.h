// SPDX-License-Identifier: Apache-2.0
// The passes in the order they run on every planned graph.
#pragma once

#include "ds/ir/graph.h"
#include "ds/ir/target_info.h"

namespace ds {

/// The graph rewritten for the target: same inputs, same outputs, same values.
Graph run_pipeline(const Graph& graph, const TargetInfo& target);

}  // namespace ds
