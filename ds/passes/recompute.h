// SPDX-License-Identifier: Apache-2.0
// Computes a few cheap operations again where they are read, instead of storing their result.
//
// Why: a sweep that stores `cast(x)` or `x - mean` for a later sweep writes and reads memory that
// the later one could save by reading x itself, which is there anyway. In training this is also
// memory kept from forward to backward.
// Requires: `fused` nodes. Guarantees: same values; an output of a fused node is dropped only when
// every reader is a fused node that reads no more bytes than before and stays within the limits of
// fuse.h.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph recompute_cheap(const Graph& graph, Interner& interner);

}  // namespace ds
