// SPDX-License-Identifier: Apache-2.0
// What a node costs on any machine: its arithmetic and the memory it moves. For plans of machines
// that are not here and for choosing what to compute again.
#pragma once

#include "ds/ir/node.h"

namespace ds {

/// A view, or nothing at all: no data moves.
bool is_view(const Node& node);

struct Cost {
  double flops = 0;
  double bytes = 0;  // of all inputs, as they lie under their views, and outputs; 0 for views
};

/// Contractions count two operations for each product (attention as if nothing were masked,
/// backward five products as for two forward), everything else one for each element it writes.
Cost node_cost(const Node& node);

}  // namespace ds
