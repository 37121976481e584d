// SPDX-License-Identifier: Apache-2.0
// Computes the last product that reads a large value early, so that the value's memory is free.
//
// Why: a graph's order follows its outputs. The gradient of tied weights joins that of the
// embedding at the end of the backward pass, so the product that makes it, and with it the gradient
// of all logits, would wait until then. Guarantees: same values; only the order of nodes changes,
// by ds/ir/after.h.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph release_early(const Graph& graph, Interner& interner);

}  // namespace ds
