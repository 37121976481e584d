// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/remat_step.h"

#include <algorithm>

#include "ds/ir/cost.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

constexpr double kSmall = 1.0 / 2000;

}  // namespace

bool is_elementwise(const Node& node) {
  switch (node.info().op_class) {
    case OpClass::unary:
    case OpClass::test:
    case OpClass::binary:
    case OpClass::compare:
    case OpClass::select: return true;
    case OpClass::random: return node.op() == Op::dropout_;
    default: return false;
  }
}

bool is_sweep(const Node& node) {
  switch (node.info().op_class) {
    case OpClass::movement:
    case OpClass::softmax:
    case OpClass::norm: return true;
    default: return is_elementwise(node);
  }
}

bool is_source(const Node& node) { return node.info().op_class == OpClass::source; }

double bytes_of(const Value& value) {
  return static_cast<double>(value.shape().numel()) *
         static_cast<double>(dtype_size(value.dtype()));
}

Step::Step(const Graph& graph) : order(graph.topological()) {
  for (const Value& output : graph.outputs) outputs.insert(key_of(output));
  for (size_t i = 0; i < order.size(); ++i) note(*order[i], static_cast<int>(i));
}

void Step::note(const Node& node, int at) {
  position[&node] = at;
  // What is computed behind the first gradient is not kept, whatever it belongs to.
  bool is_late = in_backward(node) || !heavy.empty();
  for (const Value& input : node.inputs()) is_late = is_late || late.count(input.node.get());
  if (is_late) late.insert(&node);
  if (is_late && !is_sweep(node) && !is_source(node)) heavy.push_back(at);
  for (const Value& input : node.inputs()) {
    const Key key = key_of(input);
    if (late.count(input.node.get()) || is_source(*input.node)) continue;
    if (!is_late) {
      early_uses[key].push_back(at);
      continue;
    }
    last_late_use[key] = at;
    if (first_late_use.emplace(key, at).second && !outputs.count(key)) {
      kept.push_back(input);
      kept_bytes += bytes_of(input);
    }
  }
}

const Node* Step::gate_before(int at) const {
  const auto next = std::lower_bound(heavy.begin(), heavy.end(), at);
  return next == heavy.begin() ? nullptr : order[static_cast<size_t>(*(next - 1))].get();
}

bool Step::small(const Value& value) const { return bytes_of(value) < kSmall * kept_bytes; }

std::vector<double> Step::crossing() const {
  std::vector<double> change(order.size() + 1, 0);
  for (const auto& [key, uses] : early_uses) {
    const double bytes = static_cast<double>(key.first->type(key.second).shape.numel()) *
                         static_cast<double>(dtype_size(key.first->type(key.second).dtype));
    change[static_cast<size_t>(position.at(key.first))] += bytes;
    change[static_cast<size_t>(uses.back())] -= bytes;
  }
  for (size_t i = 1; i < change.size(); ++i) change[i] += change[i - 1];
  return change;
}

double Step::density(const Value& value) const {
  double flops = 0;
  std::unordered_set<const Node*> seen{value.node.get()};
  std::vector<const Node*> stack{value.node.get()};
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (!is_sweep(*node)) {
      flops += is_source(*node) ? 0 : node_cost(*node).flops;
      continue;
    }
    for (const Value& input : node->inputs())
      if (!first_late_use.count(key_of(input)) && seen.insert(input.node.get()).second)
        stack.push_back(input.node.get());
  }
  return flops / bytes_of(value);
}

}  // namespace ds
