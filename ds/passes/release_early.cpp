// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/release_early.h"

#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/location.h"
#include "ds/ir/after.h"
#include "ds/ir/cost.h"

namespace ds {
namespace {

// Smaller values are not worth an order of their own, nor is a shorter wait.
constexpr double kLeastBytes = 1 << 20;
constexpr int kLeastWait = 8;
constexpr int kRounds = 4;

double bytes_of(const Type& type) {
  return static_cast<double>(type.shape.numel()) * static_cast<double>(dtype_size(type.dtype));
}

bool is_product(const Node& node) { return node.info().op_class == OpClass::contraction; }

/// The node whose memory holds the value.
const Node* memory_of(const Value& value) {
  const Node* node = value.node.get();
  while (is_view(*node) && !node->inputs().empty()) node = node->input(0).node.get();
  return node;
}

class Orderer {
 public:
  Orderer(const Graph& graph, Interner& interner)
      : graph_(graph), interner_(interner), order_(graph.topological()) {
    for (size_t i = 0; i < order_.size(); ++i) position_[order_[i].get()] = static_cast<int>(i);
    for (const NodePtr& node : order_) {
      if (is_view(*node)) continue;
      for (const Value& input : node->inputs()) {
        std::vector<const Node*>& readers = readers_[memory_of(input)];
        if (readers.empty() || readers.back() != node.get()) readers.push_back(node.get());
      }
    }
    for (const Value& output : graph.outputs) readers_[memory_of(output)].push_back(nullptr);
  }

  /// The graph with the largest value released early; nothing when there is none.
  std::optional<Graph> run() {
    double largest = kLeastBytes;
    for (const NodePtr& node : order_)
      if (node->outputs() == 1 && bytes_of(node->type()) > largest && choose(*node))
        largest = bytes_of(node->type());
    if (!next_) return {};
    Graph result;
    result.inputs = graph_.inputs;
    for (const NodePtr& node : order_) made(node);
    for (const Value& output : graph_.outputs)
      result.outputs.push_back({made(output.node), output.index});
    return result;
  }

 private:
  int position(const Node* node) const { return position_.at(node); }

  /// Finds a reader of `value` that comes much later than it could, and what is to wait for it.
  bool choose(const Node& value) {
    const auto found = readers_.find(&value);
    if (is_view(value) || found == readers_.end()) return false;
    const std::vector<const Node*>& readers = found->second;
    const Node* last = readers.back();
    if (readers.size() < 2 || !last || !is_product(*last) ||
        bytes_of(last->type()) >= bytes_of(value.type()))
      return false;
    const int since = position(readers[readers.size() - 2]);
    if (position(last) - since <= kLeastWait) return false;
    const std::unordered_set<const Node*> needed = needed_by(*last, since);
    for (int i = since + 1; i < position(last) - kLeastWait; ++i) {
      const Node* next = order_[static_cast<size_t>(i)].get();
      if (!is_product(*next) || is_view(*memory_of(next->input(0))) || needed.count(next)) continue;
      next_ = next;
      first_ = last;
      return true;
    }
    return false;
  }

  /// What the node is computed from, as far as that comes behind step `since`.
  std::unordered_set<const Node*> needed_by(const Node& node, int since) const {
    std::unordered_set<const Node*> seen;
    std::vector<const Node*> stack{&node};
    while (!stack.empty()) {
      const Node* at = stack.back();
      stack.pop_back();
      for (const Value& input : at->inputs())
        if (position(input.node.get()) > since && seen.insert(input.node.get()).second)
          stack.push_back(input.node.get());
    }
    return seen;
  }

  /// The node with what it has to wait for before it.
  NodePtr made(const NodePtr& node) {
    if (const auto found = made_.find(node.get()); found != made_.end()) return found->second;
    Values inputs;
    for (const Value& input : node->inputs()) inputs.push_back({made(input.node), input.index});
    if (node.get() == next_) {
      const LocationScope place(node->location());
      const Value gate{made(order_[static_cast<size_t>(position(first_))]), 0};
      inputs[0] = make_after(inputs[0], gate, [this](Op op, Values in, Attrs attrs) {
        return interner_.make(op, std::move(in), std::move(attrs));
      });
    }
    const NodePtr result =
        node->op() == Op::input_ ? node : interner_.rebuild(*node, std::move(inputs));
    made_[node.get()] = result;
    return result;
  }

  const Graph& graph_;
  Interner& interner_;
  std::vector<NodePtr> order_;
  std::unordered_map<const Node*, int> position_;
  /// Nodes that read a node's memory, in order; null stands for the graph's outputs.
  std::unordered_map<const Node*, std::vector<const Node*>> readers_;
  const Node* next_ = nullptr;  // is to wait for
  const Node* first_ = nullptr;
  std::unordered_map<const Node*, NodePtr> made_;
};

}  // namespace

Graph release_early(const Graph& graph, Interner& interner) {
  Graph result = graph;
  for (int round = 0; round < kRounds; ++round) {
    std::optional<Graph> next = Orderer(result, interner).run();
    if (!next) break;
    result = std::move(*next);
  }
  return result;
}

}  // namespace ds
