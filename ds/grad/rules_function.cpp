// SPDX-License-Identifier: Apache-2.0
// The gradient of a recorded function is a function too: the body's gradients over its inputs and
// the gradients of its outputs. It computes again what it reads of the body; where both are planned
// together, planning finds that the operations are the same.
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ds/base/error.h"
#include "ds/grad/differentiate.h"
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"
#include "ds/ir/function.h"

namespace ds {
namespace {

Value placeholder(const Type& type, std::vector<NodePtr>& inputs) {
  const Value value =
      make(Op::input_, {}, {static_cast<int64_t>(inputs.size()), type.dtype, type.shape});
  inputs.push_back(value.node);
  return value;
}

/// The body's outputs on other inputs.
Values record_body(const Graph& body, const Values& inputs) {
  std::unordered_map<const Node*, NodePtr> done;
  for (size_t i = 0; i < inputs.size(); ++i) done[body.inputs[i].get()] = inputs[i].node;
  const auto find = [&](const Value& value) -> Value {
    return {done.at(value.node.get()), value.index};
  };
  for (const NodePtr& node : body.topological()) {
    if (done.count(node.get())) continue;
    Values operands;
    for (const Value& input : node->inputs()) operands.push_back(find(input));
    done[node.get()] = make_node(node->op(), std::move(operands), node->attrs());
  }
  Values outputs;
  for (const Value& output : body.outputs) outputs.push_back(find(output));
  return outputs;
}

Graph without_markers(const Graph& graph) {
  Interner interner;
  return rewrite_graph(graph, interner, [](const Node& node, const Values& inputs) {
    return node.info().op_class == OpClass::marker ? Values{inputs[0]} : Values{};
  });
}

/// Inputs: the function's, then the gradients of the outputs that have one.
struct Backward {
  FunctionPtr function;
  std::vector<size_t> inputs;  // whose gradients its outputs are
};

Backward make_backward(const Graph& body, const std::vector<bool>& needed,
                       const std::vector<bool>& given) {
  Graph graph;
  Values inputs, targets, roots, root_grads;
  for (size_t i = 0; i < body.inputs.size(); ++i) {
    inputs.push_back(placeholder(body.inputs[i]->type(), graph.inputs));
    if (!needed[i]) continue;
    inputs.back() = make(Op::variable_, {inputs.back()}, {static_cast<int64_t>(i)});
    targets.push_back(inputs.back());
  }
  const Values outputs = record_body(body, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!given[i]) continue;
    root_grads.push_back(placeholder(outputs[i].type(), graph.inputs));
    roots.push_back(outputs[i]);
  }
  DifferentiateOptions options;
  options.create_graph = true;
  options.stop_at_targets = true;
  const Values found = differentiate(roots, root_grads, targets, options).targets;
  Backward result;
  for (size_t i = 0, target = 0; i < needed.size(); ++i) {
    if (!needed[i]) continue;
    if (const Value& grad = found[target++]) {
      graph.outputs.push_back(grad);
      result.inputs.push_back(i);
    }
  }
  result.function = std::make_shared<const Function>(without_markers(graph));
  return result;
}

/// Made once for each function, as long as somebody holds that.
Backward backward_of(const FunctionPtr& function, const std::vector<bool>& needed,
                     const std::vector<bool>& given) {
  struct Entry {
    std::weak_ptr<const Function> function;  // a later one may stand at the same address
    Backward backward;
  };
  using Key = std::tuple<const Function*, std::vector<bool>, std::vector<bool>>;
  static auto* entries = new std::map<Key, Entry>;
  static auto* mutex = new std::recursive_mutex;  // a gradient's gradient is made within
  const std::lock_guard lock(*mutex);
  const Key key{function.get(), needed, given};
  const auto found = entries->find(key);
  if (found != entries->end() && !found->second.function.expired()) return found->second.backward;
  std::erase_if(*entries, [](const auto& item) { return item.second.function.expired(); });
  const Backward made = make_backward(*function, needed, given);
  (*entries)[key] = {function, made};
  return made;
}

Values function_rule(const GradContext& c) {
  const FunctionPtr function = function_of(*c.node);
  Values inputs = c.node->inputs();
  std::vector<bool> needed, given;
  for (size_t i = 0; i < inputs.size(); ++i) needed.push_back(inputs[i].requires_grad());
  for (const Value& grad : c.grads) {
    given.push_back(static_cast<bool>(grad));
    if (grad) inputs.push_back(grad);
  }
  const Backward backward = backward_of(function, needed, given);
  Values grads(c.node->inputs().size());
  if (backward.inputs.empty()) return grads;
  const NodePtr node = Interner().fused(std::move(inputs), backward.function);
  for (size_t i = 0; i < backward.inputs.size(); ++i)
    grads[backward.inputs[i]] = {node, static_cast<int>(i)};
  return grads;
}

}  // namespace

void add_function_rules(GradTable& table) { add_rule(table, Op::fused_, function_rule, ~0u); }

}  // namespace ds
