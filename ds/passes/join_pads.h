// SPDX-License-Identifier: Apache-2.0
// A sum of blocks that are padded with zeros to one size becomes their concatenation.
//
// Why: the gradient of a slice is its gradient padded to the whole, so what was split (the steps of
// a sequence, q, k and v of one projection) gets a sum of as many padded tensors as there were parts:
// for the T steps of a recurrent network T sweeps over all T steps.
// Requires: a graph before fusion, which would take the additions. Guarantees: the same numbers,
// but for the order in which further addends join the sum and the sign of zeros.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph join_pads(const Graph& graph, Interner& interner);

}  // namespace ds
