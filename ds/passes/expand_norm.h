// SPDX-License-Identifier: Apache-2.0
// Writes the elementwise part of batch and group normalisation as elementwise operations.
//
// Why: y and diff_src are one sweep over the activations each; as elementwise operations they join
// the ReLU, the residual addition and the ReLU's mask behind them. What remains of batch_norm is
// its statistics, of batch_norm_backward its two sums; backends skip outputs that nobody reads. The
// backward pass of group normalisation needs sums that are no outputs, and stays whole.
// Requires: a target that fuses. Guarantees: the same formulas in f32, rounded once to the dtype.
#pragma once

#include "ds/ir/graph.h"
#include "ds/ir/target_info.h"

namespace ds {

Graph expand_norm(const Graph& graph, const TargetInfo& target, Interner& interner);

}  // namespace ds
