// SPDX-License-Identifier: Apache-2.0
// What recomputation has to know of a training step: which values the backward pass reads, and
// when.
#pragma once

#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ds/ir/graph.h"

namespace ds {

/// Bound by memory: computing it again costs about as much as reading and writing it.
bool is_sweep(const Node& node);
/// A sweep that is fused with others.
bool is_elementwise(const Node& node);
bool is_source(const Node& node);
double bytes_of(const Value& value);

/// Facts about a training step's graph. Positions are those in `order`.
struct Step {
  using Key = std::pair<const Node*, int>;
  static Key key_of(const Value& value) { return {value.node.get(), value.index}; }

  explicit Step(const Graph& graph);

  /// The last contraction (or the like) of the backward pass before position `at`; null when there
  /// is none.
  const Node* gate_before(int at) const;
  const Node* gate_before(const Node& node) const { return gate_before(position.at(&node)); }
  bool is_late(const Node* node) const { return late.count(node) != 0; }
  /// Values of less than a small share of what is kept stay: statistics, scales, masks of samples.
  bool small(const Value& value) const;
  /// Bytes that readers in the forward pass still need after each position.
  std::vector<double> crossing() const;
  /// Arithmetic, for each of its bytes, that a value takes beside sweeps: of the operations from
  /// which sweeps lead to it, as far as nothing between is kept.
  double density(const Value& value) const;

  std::vector<NodePtr> order;
  std::unordered_map<const Node*, int> position;
  std::unordered_set<const Node*> late;        // the backward pass and what follows it
  std::map<Key, std::vector<int>> early_uses;  // positions of the readers in the forward pass
  std::map<Key, int> first_late_use, last_late_use;
  std::set<Key> outputs;
  std::vector<Value> kept;  // of the forward pass, read late
  double kept_bytes = 0;
  std::vector<int> heavy;  // positions of late nodes that are no sweeps

 private:
  void note(const Node& node, int at);
};

}  // namespace ds
