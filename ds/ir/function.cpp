// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/function.h"

#include <unordered_map>
#include <utility>

#include "ds/base/error.h"
#include "ds/base/hash.h"
#include "ds/base/location.h"

namespace ds {

bool is_number(const Node& node) {
  return node.op() == Op::constant_ || node.op() == Op::constant_int_;
}

Function::Function(Graph graph) : Graph(std::move(graph)) {
  std::unordered_map<const Node*, uint64_t> numbers;
  const auto add = [&](const Value& value) {
    hash =
        hash_combine(hash, numbers.at(value.node.get()) * 64 + static_cast<uint64_t>(value.index));
  };
  for (const NodePtr& node : topological()) {
    numbers.emplace(node.get(), numbers.size());
    if (is_number(*node)) constants.push_back(node.get());
    hash = hash_combine(hash, node->static_hash());
    for (const Value& input : node->inputs()) add(input);
  }
  for (const Value& output : outputs) add(output);
}

FunctionPtr function_of(const Node& fused) {
  DS_ASSERT(fused.op() == Op::fused_, op_name(fused.op()), " applies no function");
  return std::static_pointer_cast<const Function>(fused.body());
}

Values inline_function(const Node& call, const Values& inputs,
                       const std::unordered_map<const Node*, Values>& replaced,
                       Interner& interner) {
  const FunctionPtr body = function_of(call);
  std::unordered_map<const Node*, Values> done = replaced;
  for (size_t i = 0; i < inputs.size(); ++i) done[body->inputs[i].get()] = {inputs[i]};
  const auto find = [&](const Value& value) {
    return done.at(value.node.get())[static_cast<size_t>(value.index)];
  };
  for (const NodePtr& node : body->topological()) {
    if (done.count(node.get())) continue;
    const LocationScope place(body->own_places ? node->location() : call.location());
    Values operands;
    for (const Value& input : node->inputs()) operands.push_back(find(input));
    const NodePtr made = interner.node(node->op(), std::move(operands), node->attrs());
    for (int i = 0; i < made->outputs(); ++i) done[node.get()].push_back({made, i});
  }
  Values outputs;
  for (const Value& output : body->outputs) outputs.push_back(find(output));
  return outputs;
}

}  // namespace ds
