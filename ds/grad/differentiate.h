// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation of a recorded graph: the gradients are more graph.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "ds/ir/node.h"

namespace ds {

struct DifferentiateOptions {
  /// The gradients keep their own gradient path. Otherwise they end in stop_gradient.
  bool create_graph = false;
  /// Targets are treated as independent of each other: the walk ends at each of them.
  bool stop_at_targets = false;
  /// Called with the gradient that passes a `hook` node; a non-null result replaces it.
  std::function<Value(const Node& hook, const Value& grad)> on_hook;
  /// Called with the gradient of a `custom_gradient` node; returns one gradient for each of the
  /// inputs 1.., null where none flows. Input 0 gets none.
  std::function<Values(const Node& custom, const Value& grad)> on_custom;
};

struct Gradients {
  /// One for each target, null where no path leads from a root to it.
  Values targets;
  /// The `variable` nodes reached and their gradients, when no targets were given.
  std::vector<std::pair<NodePtr, Value>> leaves;
  /// Every node whose rule ran, latest first: what a caller releases after the pass.
  std::vector<NodePtr> visited;
};

/// Gradients of sum(roots[i] * root_grads[i]) for the targets, or for all `variable` nodes reached
/// when there are none. A null root gradient counts as ones; the others have the dtype and shape
/// of their root. Roots without a gradient path are skipped.
/// Markers: variable is a leaf, stop_gradient ends a path, released raises StateError where it may
/// lead to a result, hook and custom_gradient call the options' functions.
Gradients differentiate(const Values& roots, const Values& root_grads, const Values& targets,
                        const DifferentiateOptions& options = {});

}  // namespace ds
