// SPDX-License-Identifier: Apache-2.0
// Function: a computation that was recorded once over placeholders and is applied many times, each
// time as one fused node (ds/tensor/function.h).
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
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
  /// Its operations keep the places where they were recorded; else they take that of the node that
  /// applies the function.
  bool own_places = false;
};

/// A constant whose value plans may take as an input.
bool is_number(const Node& node);

/// The function that a recorded fused node applies; the nodes that passes make hold other bodies.
FunctionPtr function_of(const Node& fused);

/// What `call` computes for `inputs`, as operations of the function's body. Constants in `replaced`
/// give way to the values there.
Values inline_function(const Node& call, const Values& inputs,
                       const std::unordered_map<const Node*, Values>& replaced, Interner& interner);

}  // namespace ds
