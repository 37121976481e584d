// SPDX-License-Identifier: Apache-2.0
// Local rewrites that need no other fact than the node, its inputs and who else reads them.
//
// Why: gradients and broadcasting leave neutral operations behind (a multiplication by one, an
// expand that the next operation does by itself, a sum over dimensions of size 1), each of which
// would be a sweep over memory; and gradients of weights come out transposed, which the update
// would read across its rows. Requires: a hash-consed graph. Guarantees: bit-identical values, but
// for transposed products, whose kernel may add in another order.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph simplify(const Graph& graph, Interner& interner);

}  // namespace ds
