// SPDX-License-Identifier: Apache-2.0
// Local rewrites that need no other fact than the node and its inputs.
//
// Why: gradients and broadcasting leave neutral operations behind (a multiplication by one, an
// expand that the next operation does by itself, a sum over dimensions of size 1), each of which
// would be a sweep over memory.
// Requires: a hash-consed graph. Guarantees: bit-identical values.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph simplify(const Graph& graph, Interner& interner);

}  // namespace ds
