// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/graph.h"

#include <cstdint>

namespace ds {
namespace {

/// Nodes that a walk came to. Every pass walks, so this set is much of the time of planning: open
/// addressing in one block of memory takes a third of std::unordered_set's, and the block serves
/// the thread's next walks, which neither fetch nor clear memory.
class Seen {
 public:
  Seen() {
    ++walk_;
    count_ = 0;
  }
  /// Whether it is new.
  bool insert(const Node* node) {
    if (2 * count_ >= slots_.size()) grow();
    Slot& slot = find(node);
    if (slot.walk == walk_) return false;
    slot = {node, walk_};
    ++count_;
    return true;
  }

 private:
  struct Slot {
    const Node* node = nullptr;
    uint64_t walk = 0;  // empty for any other walk
  };

  static Slot& find(const Node* node) {
    // Fibonacci hashing: the upper bits of a product with 2^64 / golden ratio.
    const uint64_t hash = reinterpret_cast<uintptr_t>(node) * 0x9E3779B97F4A7C15U;
    size_t i = static_cast<size_t>(hash >> 32);
    for (;; ++i) {
      Slot& slot = slots_[i & (slots_.size() - 1)];
      if (slot.walk != walk_ || slot.node == node) return slot;
    }
  }
  static void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.walk == walk_) find(slot.node) = slot;
  }

  static thread_local std::vector<Slot> slots_;  // always a power of two
  static thread_local uint64_t walk_;
  static thread_local size_t count_;
};

thread_local std::vector<Seen::Slot> Seen::slots_ = std::vector<Slot>(1024);
thread_local uint64_t Seen::walk_ = 0;
thread_local size_t Seen::count_ = 0;

/// Memory that the thread's walks share.
struct Scratch {
  struct Frame {
    const NodePtr* node;  // held by the graph or by a node that reads it
    size_t next = 0;
  };
  std::vector<Frame> stack;
  std::vector<const NodePtr*> order;
};

}  // namespace

std::vector<NodePtr> Graph::topological() const {
  static thread_local Scratch scratch;
  auto& [stack, order] = scratch;
  order.clear();
  Seen seen;
  for (const NodePtr& input : inputs)
    if (seen.insert(input.get())) order.push_back(&input);
  const auto push = [&](const NodePtr& node) {
    if (seen.insert(node.get())) stack.push_back({&node});
  };
  for (const Value& output : outputs) {
    push(output.node);
    while (!stack.empty()) {
      Scratch::Frame& frame = stack.back();
      const Values& operands = (*frame.node)->inputs();
      if (frame.next < operands.size()) {
        push(operands[frame.next++].node);
      } else {
        order.push_back(frame.node);
        stack.pop_back();
      }
    }
  }
  std::vector<NodePtr> nodes;
  nodes.reserve(order.size());
  for (const NodePtr* node : order) nodes.push_back(*node);
  return nodes;
}

}  // namespace ds
