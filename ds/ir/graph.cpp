// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/graph.h"

#include <unordered_set>

namespace ds {

std::vector<NodePtr> Graph::topological() const {
  struct Frame {
    NodePtr node;
    size_t next = 0;
  };
  std::vector<NodePtr> order;
  std::unordered_set<const Node*> seen;
  for (const NodePtr& input : inputs)
    if (seen.insert(input.get()).second) order.push_back(input);
  std::vector<Frame> stack;
  const auto push = [&](const NodePtr& node) {
    if (seen.insert(node.get()).second) stack.push_back({node});
  };
  for (const Value& output : outputs) {
    push(output.node);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next < frame.node->inputs().size()) {
        push(frame.node->inputs()[frame.next++].node);
      } else {
        order.push_back(std::move(frame.node));
        stack.pop_back();
      }
    }
  }
  return order;
}

}  // namespace ds
