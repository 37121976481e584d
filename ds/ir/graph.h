// SPDX-License-Identifier: Apache-2.0
// Graph: a closed program of hash-consed nodes, what passes rewrite and backends compile.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "ds/ir/node.h"

namespace ds {

/// inputs[i] is an `input` node with index i; every node reachable from the outputs ends in these,
/// in constants or in iota. Nodes of one graph come from one Interner: equal nodes are one object.
struct Graph {
  std::vector<NodePtr> inputs;
  Values outputs;

  /// The reachable nodes, inputs of a node before it, in a deterministic order. All graph inputs
  /// come first, used or not.
  std::vector<NodePtr> topological() const;
};

/// Makes nodes so that equal ones (op, attributes, inputs, types) are one object: CSE for free.
class Interner {
 public:
  NodePtr node(Op op, Values inputs, Attrs attrs = {});
  Value make(Op op, Values inputs, Attrs attrs = {}) {
    return {node(op, std::move(inputs), std::move(attrs)), 0};
  }
  /// A fused node over `body`, whose inputs are the node's inputs. Never merged with another.
  NodePtr fused(Values inputs, std::shared_ptr<const Graph> body);
  /// The same operation as `old` on other inputs.
  NodePtr rebuild(const Node& old, Values inputs);

 private:
  std::unordered_multimap<uint64_t, NodePtr> nodes_;
};

/// Rebuilds `graph` bottom-up: for every node `rewrite` gets the node and its new inputs and
/// returns the new values of its outputs, or an empty list to keep the operation as it is.
/// Graph inputs stay. The result is interned in `interner`.
template <class Rewrite>
Graph rewrite_graph(const Graph& graph, Interner& interner, Rewrite&& rewrite) {
  std::unordered_map<const Node*, Values> done;
  for (const NodePtr& node : graph.topological()) {
    Values inputs;
    for (const Value& input : node->inputs())
      inputs.push_back(done.at(input.node.get())[static_cast<size_t>(input.index)]);
    Values outputs;
    if (node->op() != Op::input_) outputs = rewrite(*node, inputs);
    if (outputs.empty()) {
      const NodePtr kept =
          node->op() == Op::input_ ? node : interner.rebuild(*node, std::move(inputs));
      for (int i = 0; i < kept->outputs(); ++i) outputs.push_back({kept, i});
    }
    done.emplace(node.get(), std::move(outputs));
  }
  Graph result;
  result.inputs = graph.inputs;
  for (const Value& output : graph.outputs)
    result.outputs.push_back(done.at(output.node.get())[static_cast<size_t>(output.index)]);
  return result;
}

/// Text form, one node a line; parse_graph reads it back.
///   %0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]
///   %1 = relu(%0) : f32[2,3]
///   return %1
/// A second output of %5 is %5.1.
std::string print_graph(const Graph& graph);

/// The graph of a text form; FileFormatError with the line number when malformed.
Graph parse_graph(const std::string& text);

/// Checks that types follow the rules, inputs are declared and nodes are interned; InternalError
/// names the first node that does not.
void verify_graph(const Graph& graph);

}  // namespace ds
