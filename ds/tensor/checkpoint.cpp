// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/checkpoint.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "ds/base/location.h"
#include "ds/ir/after.h"
#include "ds/ir/build.h"
#include "ds/ir/graph.h"
#include "ds/ir/phase.h"
#include "ds/tensor/record.h"

namespace ds {
namespace {

bool is_constant(const Node& node) {
  return node.info().op_class == OpClass::source && node.op() != Op::input_;
}

/// The values recorded up to `mark`, and the leaves, that the outputs were computed from.
Values find_inputs(const Values& outputs, uint64_t mark) {
  Values inputs;
  std::set<std::pair<const Node*, int>> seen;
  Values stack = outputs;
  while (!stack.empty()) {
    const Value value = std::move(stack.back());
    stack.pop_back();
    const Node& node = *value.node;
    if (is_constant(node) || !seen.emplace(&node, value.index).second) continue;
    if (node.id() <= mark || node.op() == Op::input_ || node.op() == Op::variable_ ||
        node.op() == Op::released_)
      inputs.push_back(value);
    else
      stack.insert(stack.end(), node.inputs().rbegin(), node.inputs().rend());
  }
  return inputs;
}

}  // namespace

bool is_checkpoint(const Node& node) {
  return !std::static_pointer_cast<const CustomFunction>(node.attachment())->backward;
}

/// Rebuilds what lies between the gated inputs and `output`.
Value CheckpointPass::again(const Value& output, Again& copy) {
  std::vector<const Node*> order;
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> stack;
  const auto push = [&](const Value& value) {
    const Node* node = value.node.get();
    if (copy.values.count({node, value.index}) || is_constant(*node)) return;
    if (seen.insert(node).second) stack.push_back(node);
  };
  push(output);
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    order.push_back(node);
    for (const Value& input : node->inputs()) push(input);
  }
  std::sort(order.begin(), order.end(),
            [](const Node* a, const Node* b) { return a->id() < b->id(); });
  const auto find = [&](const Value& value) {
    const auto found = copy.values.find({value.node.get(), value.index});
    return found == copy.values.end() ? value : found->second;
  };
  for (const Node* node : order) {
    const LocationScope place(backward_place(node->location()));
    Values inputs;
    for (const Value& input : node->inputs()) inputs.push_back(find(input));
    const NodePtr made = node->op() == Op::fused_
                             ? Interner().fused(std::move(inputs), node->body())
                             : make_node(node->op(), std::move(inputs), node->attrs());
    if (node->attachment()) made->attach(node->attachment());
    for (int i = 0; i < node->outputs(); ++i) copy.values.emplace(Key{node, i}, Value{made, i});
  }
  return find(output);
}

Values CheckpointPass::gradients(const Node& checkpoint, const Value& grad,
                                 DifferentiateOptions options) {
  std::vector<Key> key;
  for (size_t i = 1; i < checkpoint.inputs().size(); ++i)
    key.emplace_back(checkpoint.inputs()[i].node.get(), checkpoint.inputs()[i].index);
  Again& copy = copies_[key];
  if (copy.gated.empty())
    for (size_t i = 0; i < key.size(); ++i) {
      copy.gated.push_back(make_after(checkpoint.inputs()[i + 1], grad, &make));
      copy.values.emplace(key[i], copy.gated.back());
    }
  // The first input is the detached output.
  const Value output = again(checkpoint.input(0).node->input(0), copy);
  Values targets;
  for (const Value& input : copy.gated)
    if (input.requires_grad()) targets.push_back(input);
  options.stop_at_targets = true;
  Values found = differentiate({output}, {grad}, targets, options).targets;
  Values grads;
  auto next = found.begin();
  for (const Value& input : copy.gated)
    grads.push_back(input.requires_grad() ? std::move(*next++) : Value{});
  return grads;
}

uint64_t checkpoint_mark() { return make_constant(0, DType::f32).node->id(); }

std::vector<Tensor> checkpoint_since(uint64_t mark, const std::vector<Tensor>& outputs) {
  if (!grad_enabled()) return outputs;
  Values values;
  for (const Tensor& output : outputs)
    if (output.requires_grad() && output.value().node->id() > mark)
      values.push_back(output.value());
  const Values inputs = find_inputs(values, mark);
  std::vector<Tensor> results;
  for (const Tensor& output : outputs) {
    const Value value = output.value();
    if (!output.requires_grad() || value.node->id() <= mark || value.node->op() == Op::variable_) {
      results.push_back(output);
      continue;
    }
    Values all{make(Op::stop_gradient_, {value})};
    all.insert(all.end(), inputs.begin(), inputs.end());
    const Value result = make(Op::custom_gradient_, std::move(all));
    result.node->attach(
        std::make_shared<const CustomFunction>(CustomFunction{output.device(), {}}));
    results.emplace_back(result, output.device());
  }
  return results;
}

std::vector<Tensor> checkpoint(
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& function,
    const std::vector<Tensor>& inputs) {
  const uint64_t mark = checkpoint_mark();
  return checkpoint_since(mark, function(inputs));
}

}  // namespace ds
