// SPDX-License-Identifier: Apache-2.0
// Sums of many alike addends become one operation: blocks padded with zeros to one size become
// their concatenation, products of matrices one product over all their inner dimensions, and rows
// added to zeros are added to the rest of the sum.
//
// Why: the gradient of a slice is its gradient padded to the whole, so what was split (the steps of
// a sequence, q, k and v of one projection) gets a sum of as many padded tensors as there were
// parts; and a weight that T steps of a recurrent network read gets a sum of T small products, each
// as large as the weight, which would be written and read T times. The gradient of an embedding
// that is also the weight of a head, or is read twice, is few rows added to a large table.
// Requires: a graph before fusion, which would take the additions. Guarantees: the same sums, in
// another order of adding; zeros may differ in sign.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph join_sums(const Graph& graph, Interner& interner);

}  // namespace ds
