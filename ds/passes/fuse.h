// SPDX-License-Identifier: Apache-2.0
// Joins elementwise operations into `fused` nodes.
//
// Why: elementwise work is bound by memory; one sweep that keeps intermediates in the first-level
// cache replaces a sweep per operation. Optimizer updates and the glue around norms live from it.
// Dropout joins too: which elements it drops follows from their numbers and the rng state, an
// operand that does not have the iteration shape.
// Requires: hash-consed graph whose elementwise nodes have one dtype per op.
// Guarantees: same values; every fused node has one iteration shape, at most kMaxFusedOperands
// inputs and outputs together and kMaxFusedOps operations; no cycle arises.
#pragma once

#include "ds/ir/graph.h"
#include "ds/ir/target_info.h"

namespace ds {

inline constexpr int kMaxFusedOperands = 24;
inline constexpr int kMaxFusedOps = 64;

Graph fuse_elementwise(const Graph& graph, const TargetInfo& target, Interner& interner);

}  // namespace ds
