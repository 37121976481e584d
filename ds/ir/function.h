// SPDX-License-Identifier: Apache-2.0
// Function: a computation that was recorded once over placeholders and is applied many times, each
// time as one fused node (ds/tensor/function.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ds/ir/graph.h"

namespace ds {

struct Function;
using FunctionPtr = std::shared_ptr<const Function>;

/// A graph with what planning and differentiation ask of it again and again. Immutable.
struct Function : Graph {
  explicit Function(Graph graph);

  std::vector<const Node*> constants;
  /// Of operations, attributes, types and connections; not of the constants' values.
  uint64_t hash = 0;
};

/// A constant whose value plans may take as an input.
bool is_number(const Node& node);

/// The function that a recorded fused node applies; the nodes that passes make hold other bodies.
FunctionPtr function_of(const Node& fused);

}  // namespace ds
