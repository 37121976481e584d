// SPDX-License-Identifier: Apache-2.0
// Memory of a graph whose nodes run one by one on row-major values: what a backend needs that does
// not choose layouts or merge steps.
#pragma once

#include <unordered_map>
#include <vector>

#include "ds/runtime/backend.h"

namespace ds {

/// Where a value lies while the graph runs.
struct Place {
  enum class Kind : uint8_t { input, output, arena };
  Kind kind = Kind::arena;
  size_t index = 0;   // of the graph's input or output
  size_t offset = 0;  // in the arena
};

/// Nodes write straight into the memory of a graph output where they can. An output that takes over
/// the memory of an input is computed in the arena and copied after all nodes have run, because
/// the input may be read until then.
struct NodePlan {
  struct Move {
    Place from;
    Place to;
    size_t bytes;
  };
  std::vector<NodePtr> nodes;                                  // to run, without the inputs
  std::unordered_map<const Node*, std::vector<Place>> places;  // one per output of a node
  std::vector<Move> moves;  // to make afterwards, in this order; both ends may be one memory
  ArenaUse arena;
};

/// InternalError when the graph still has marker nodes.
NodePlan plan_nodes(const Graph& graph, const CompileOptions& options);

}  // namespace ds
