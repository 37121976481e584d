// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/graph.h"

#include <cstdint>

namespace ds {
namespace {

/// Nodes that a walk came to. Every pass walks, so this set is much of the time of planning: open
/// addressing in one block of memory takes a third of std::unordered_set's.
class Seen {
 public:
  /// Whether it is new.
  bool insert(const Node* node) {
    if (2 * count_ >= slots_.size()) grow();
    const Node*& slot = find(node);
    if (slot) return false;
    slot = node;
    ++count_;
    return true;
  }

 private:
  const Node*& find(const Node* node) {
    // Fibonacci hashing: the upper bits of a product with 2^64 / golden ratio.
    const uint64_t hash = reinterpret_cast<uintptr_t>(node) * 0x9E3779B97F4A7C15U;
    size_t i = static_cast<size_t>(hash >> 32);
    for (;; ++i) {
      const Node*& slot = slots_[i & (slots_.size() - 1)];
      if (!slot || slot == node) return slot;
    }
  }
  void grow() {
    std::vector<const Node*> old(2 * slots_.size());
    old.swap(slots_);
    for (const Node* node : old)
      if (node) find(node) = node;
  }

  std::vector<const Node*> slots_ = std::vector<const Node*>(128);  // always a power of two
  size_t count_ = 0;
};

}  // namespace

std::vector<NodePtr> Graph::topological() const {
  struct Frame {
    const NodePtr* node;  // held by the graph or by a node that reads it
    size_t next = 0;
  };
  std::vector<NodePtr> order;
  Seen seen;
  for (const NodePtr& input : inputs)
    if (seen.insert(input.get())) order.push_back(input);
  std::vector<Frame> stack;
  const auto push = [&](const NodePtr& node) {
    if (seen.insert(node.get())) stack.push_back({&node});
  };
  for (const Value& output : outputs) {
    push(output.node);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const Values& operands = (*frame.node)->inputs();
      if (frame.next < operands.size()) {
        push(operands[frame.next++].node);
      } else {
        order.push_back(*frame.node);
        stack.pop_back();
      }
    }
  }
  return order;
}

}  // namespace ds
