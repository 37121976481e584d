// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/autograd.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/grad/differentiate.h"
#include "ds/ir/build.h"
#include "ds/ir/phase.h"
#include "ds/tensor/checkpoint.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

/// What markers refer to by id; under graph_mutex().
struct Registry {
  uint64_t next_id = 1;
  std::unordered_map<uint64_t, std::weak_ptr<TensorImpl>> variables;
  std::unordered_map<uint64_t, std::weak_ptr<HookList>> hooks;
};

Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

uint64_t marker_id(const Node& node) { return static_cast<uint64_t>(node.attr_int("id")); }

/// Drops the entries of destroyed tensors when they may be the majority.
template <class Map>
void prune(Map& map) {
  if (map.size() < 1024 || (map.size() & (map.size() - 1)) != 0) return;
  std::erase_if(map, [](const auto& entry) { return entry.second.expired(); });
}

Tensor run_hooks(const HookList& list, Tensor grad) {
  const auto hooks = list.hooks;  // a hook may remove itself
  for (const auto& [key, hook] : hooks)
    if (Tensor replaced = hook(grad); replaced.defined()) grad = replaced;
  return grad;
}

using CheckpointPassPtr = std::shared_ptr<CheckpointPass>;

DifferentiateOptions make_options(
    Device device, bool create_graph,
    const CheckpointPassPtr& pass = std::make_shared<CheckpointPass>()) {
  DifferentiateOptions options;
  options.create_graph = create_graph;
  options.on_hook = [device](const Node& node, const Value& grad) -> Value {
    std::shared_ptr<HookList> list;
    {
      const std::lock_guard lock(graph_mutex());
      const auto found = registry().hooks.find(marker_id(node));
      if (found != registry().hooks.end()) list = found->second.lock();
    }
    return list ? run_hooks(*list, Tensor(grad, device)).value() : Value{};
  };
  options.on_custom = [device, create_graph, pass](const Node& node, const Value& grad) {
    if (is_checkpoint(node))
      return pass->gradients(node, grad, make_options(device, create_graph, pass));
    const auto& function = *std::static_pointer_cast<const CustomFunction>(node.attachment());
    const std::vector<Tensor> grads = function.backward(Tensor(grad, function.device));
    DS_CHECK(grads.size() + 1 == node.inputs().size(), ValueError,
             "custom_gradient: backward returned ", grads.size(), " gradients for ",
             node.inputs().size() - 1, " inputs");
    Values values;
    for (const Tensor& g : grads) values.push_back(g.defined() ? g.value() : Value{});
    return values;
  };
  return options;
}

/// Marks the live tensors whose history a backward pass has used up: those it visited, and sums of
/// such as a program keeps of its losses.
void release_history(const std::vector<NodePtr>& visited) {
  const std::lock_guard lock(graph_mutex());
  const uint64_t epoch = next_visit_epoch();
  for (const NodePtr& node : visited) node->visit_epoch = epoch;
  for_each_live([&](TensorImpl& impl) {
    if (!impl.released && is_used_up(impl.value, epoch)) impl.release();
  });
}

Value check_gradient(const Tensor& output, const Tensor& gradient) {
  if (!gradient.defined()) {
    DS_CHECK(output.numel() == 1, ShapeError, "backward: the tensor is ", output.type(),
             ", not a scalar; pass a gradient of its shape");
    return make_full(output.shape(), 1.0, output.dtype());
  }
  DS_CHECK(gradient.type() == output.type(), ShapeError, "backward: the gradient is ",
           gradient.type(), ", the tensor ", output.type());
  return gradient.value();
}

void check_outputs(const std::vector<Tensor>& outputs) {
  for (const Tensor& output : outputs)
    DS_CHECK(output.requires_grad(), StateError,
             "backward: the tensor does not require grad; nothing in its history has "
             "requires_grad=True");
}

void accumulate(TensorImpl& impl, const Value& grad, bool create_graph) {
  const LocationScope place(backward_place(current_location()));
  Tensor incoming(grad, impl.device);
  if (impl.hooks) incoming = run_hooks(*impl.hooks, incoming);
  if (!impl.grad.defined()) {
    impl.grad = incoming;
    return;
  }
  const GradMode mode(create_graph);
  const Value old = create_graph ? impl.grad.value() : detached(impl.grad.value());
  if (create_graph)
    impl.grad = Tensor(old + incoming.value(), impl.device);
  else
    impl.grad.assign(old + detached(incoming.value()));
}

}  // namespace

bool Tensor::requires_grad() const {
  const std::lock_guard lock(graph_mutex());
  return impl_->leaf_requires_grad || impl_->current().requires_grad();
}

Tensor& Tensor::requires_grad_(bool on) {
  TensorImpl& impl = *impl_;
  DS_CHECK(!on || is_floating(dtype()), DTypeError, "requires_grad_: the tensor is ", type(),
           "; only floating tensors can require grad");
  if (impl.current().requires_grad()) {
    DS_CHECK(on, StateError, "requires_grad_: only a leaf can stop requiring grad; use detach()");
    return *this;
  }
  impl.leaf_requires_grad = on;
  impl.variable = {};
  if (on && impl.variable_id == 0) {
    const std::lock_guard lock(graph_mutex());
    impl.variable_id = registry().next_id++;
    prune(registry().variables);
    registry().variables[impl.variable_id] = impl_;
  }
  return *this;
}

bool Tensor::is_leaf() const {
  const std::lock_guard lock(graph_mutex());
  return impl_->leaf_requires_grad || !impl_->current().requires_grad();
}
Tensor Tensor::grad() const { return impl_->grad; }

void Tensor::set_grad(const Tensor& grad) {
  DS_CHECK(!grad.defined() || grad.shape() == shape(), ShapeError, "grad: a gradient ", grad.type(),
           " does not fit the tensor ", type());
  impl_->grad = grad;
}

uint64_t Tensor::register_hook(std::function<Tensor(const Tensor&)> hook) {
  DS_CHECK(requires_grad(), StateError, "register_hook: the tensor does not require grad");
  const std::lock_guard lock(graph_mutex());
  if (!impl_->hooks) {
    impl_->hooks = std::make_shared<HookList>();
    impl_->hooks->id = registry().next_id++;
    prune(registry().hooks);
    registry().hooks[impl_->hooks->id] = impl_->hooks;
  }
  const uint64_t key = registry().next_id++;
  impl_->hooks->hooks.emplace_back(key, std::move(hook));
  return key;
}

void Tensor::remove_hook(uint64_t key) {
  if (impl_->hooks)
    std::erase_if(impl_->hooks->hooks, [&](const auto& h) { return h.first == key; });
}

void Tensor::retain_grad() {
  if (impl_->leaf_requires_grad) return;
  std::weak_ptr<TensorImpl> weak = impl_;
  register_hook([weak](const Tensor& grad) {
    if (const auto impl = weak.lock())
      impl->grad =
          impl->grad.defined() ? Tensor(impl->grad.value() + grad.value(), impl->device) : grad;
    return Tensor();
  });
}

Tensor Tensor::detach() const {
  const std::lock_guard lock(graph_mutex());
  Value from = impl_->recorded();
  Value value = detached(from);
  return Tensor(std::make_shared<TensorImpl>(impl_, Op::stop_gradient_, Attrs{}, std::move(value),
                                             std::move(from)));
}

std::string Tensor::grad_op() const {
  if (is_leaf()) return {};
  Value value = impl_->current();
  while (value.node->info().op_class == OpClass::marker && value.node->op() != Op::custom_gradient_)
    value = Value(value.node->input(0));
  return std::string(value.node->info().name);
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  check_outputs({*this});
  const Value seed = check_gradient(*this, gradient);
  const Gradients result =
      differentiate({value()}, {seed}, {}, make_options(device(), create_graph));
  for (const auto& [variable, grad] : result.leaves) {
    std::shared_ptr<TensorImpl> impl;
    {
      const std::lock_guard lock(graph_mutex());
      const auto found = registry().variables.find(marker_id(*variable));
      if (found != registry().variables.end()) impl = found->second.lock();
    }
    if (impl) accumulate(*impl, grad, create_graph);
  }
  if (!retain_graph && !create_graph) release_history(result.visited);
}

std::vector<Tensor> gradients(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& grad_outputs, bool retain_graph,
                              bool create_graph, bool allow_unused) {
  check_outputs(outputs);
  DS_CHECK(!inputs.empty() && !outputs.empty(), ValueError,
           "grad: outputs and inputs must not be empty");
  DS_CHECK(grad_outputs.empty() || grad_outputs.size() == outputs.size(), ValueError,
           "grad: ", grad_outputs.size(), " grad_outputs for ", outputs.size(), " outputs");
  Values roots, seeds, targets;
  for (size_t i = 0; i < outputs.size(); ++i) {
    roots.push_back(outputs[i].value());
    seeds.push_back(check_gradient(outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]));
  }
  for (const Tensor& input : inputs) {
    DS_CHECK(input.requires_grad(), StateError, "grad: an input does not require grad");
    targets.push_back(input.value());
  }
  const Gradients result =
      differentiate(roots, seeds, targets, make_options(outputs[0].device(), create_graph));
  std::vector<Tensor> grads;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& grad = result.targets[i];
    DS_CHECK(grad || allow_unused, StateError, "grad: input ", i,
             " does not appear in the history of the outputs; pass allow_unused=True to get None");
    grads.push_back(grad ? Tensor(grad, inputs[i].device()) : Tensor());
  }
  if (!retain_graph && !create_graph) release_history(result.visited);
  return grads;
}

Tensor custom_gradient(const Tensor& output, const std::vector<Tensor>& inputs,
                       BackwardFunction backward) {
  Values values{detached(output.value())};
  for (const Tensor& input : inputs) values.push_back(input.value());
  Value value = make(Op::custom_gradient_, std::move(values));
  value.node->attach(
      std::make_shared<const CustomFunction>(CustomFunction{output.device(), std::move(backward)}));
  return {std::move(value), output.device()};
}

}  // namespace ds
