// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/optimizer.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/engine/memory.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::optim {

namespace {

/// Sets a flag while it lives.
class Rehearsal {
 public:
  explicit Rehearsal(bool& flag) : flag_(flag) { flag_ = true; }
  ~Rehearsal() { flag_ = false; }
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;

 private:
  bool& flag_;
};

}  // namespace

double ParamGroup::at(const std::string& name) const {
  const auto found = hyper.find(name);
  DS_CHECK(found != hyper.end(), KeyError, "optimizer: the group has no hyperparameter '", name,
           "'");
  return found->second;
}

void Optimizer::add_group(std::vector<Tensor> params, const Hyper& overrides) {
  DS_CHECK(!params.empty(), ValueError, "optimizer: the parameter list is empty");
  for (const auto& [name, value] : overrides)
    DS_CHECK(defaults_.count(name), ValueError, "optimizer: ", type_name(),
             " has no hyperparameter '", name, "'");
  for (const Tensor& param : params) {
    DS_CHECK(param.is_leaf(), ValueError, "optimizer: a parameter ", param.type(),
             " is not a leaf; pass model.parameters()");
    DS_CHECK(!states_.count(param.impl().get()), ValueError,
             "optimizer: a parameter appears in more than one group");
    states_[param.impl().get()];
  }
  // Initial values are computed now: the plan of a step would otherwise contain them once.
  evaluate(params);
  ParamGroup group{std::move(params), defaults_};
  for (const auto& [name, value] : overrides) group.hyper[name] = value;
  groups_.push_back(std::move(group));
}

Hyper Optimizer::checked(const char* op, Hyper hyper) {
  for (const auto& [name, value] : hyper) {
    const bool share = name == "beta1" || name == "beta2" || name == "rho";
    const bool positive = share || name == "lr" || name == "eps" || name == "weight_decay" ||
                          name == "momentum" || name == "momentum_decay";
    DS_CHECK(!positive || value >= 0, ValueError, op, ": ", name, " is ", value,
             "; it must not be negative");
    DS_CHECK(!share || value < 1, ValueError, op, ": ", name, " is ", value,
             "; it must be below 1");
  }
  return hyper;
}

void Optimizer::set_lr(double lr) {
  for (ParamGroup& group : groups_) group.hyper["lr"] = lr;
}

Tensor Optimizer::scalar(const char* name, double value) {
  const auto [entry, made] = scalars_.try_emplace({group_, name, value});
  if (made)
    entry->second = Tensor::input_scalar(value, DType::f32, groups_[group_].params[0].device());
  return entry->second;
}

Tensor& Optimizer::zeros_state(ParamState& state, const std::string& name, const Tensor& param,
                               const Shape& shape, double value) {
  Tensor& tensor = state.tensors[name];
  if (tensor.defined()) return tensor;
  if (const auto found = ready_.find({&state, name}); found != ready_.end())
    return tensor = std::move(ready_.extract(found).mapped());
  tensor = full(shape, value, param.dtype(), param.device());
  if (!rehearsing_) tensor.evaluate();
  return tensor;
}

void Optimizer::write(const Tensor& target, const Tensor& value) {
  if (rehearsing_) return;
  ds::assign(target, guard_.found_inf.defined() ? where(guard_.found_inf, target, value) : value);
}

Tensor Optimizer::next_value(const Tensor& param, const Tensor& grad) {
  const ParamGroup& group = groups_[group_];
  return update(param, to_dtype(grad, param.dtype()), states_[param.impl().get()], group,
                scalar("lr", group.at("lr")));
}

void Optimizer::make_states() {
  std::vector<Tensor> made;
  const Rehearsal rehearsal(rehearsing_);
  for (group_ = 0; group_ < groups_.size(); ++group_)
    for (const Tensor& param : groups_[group_].params) {
      if (!param.grad().defined() || !stepped_.insert(param.impl().get()).second) continue;
      ParamState& state = states_[param.impl().get()];
      ParamState before = state;
      next_value(param, param.grad());
      for (auto& [name, tensor] : state.tensors)
        if (!before.tensors.count(name)) made.push_back(ready_[{&state, name}] = tensor);
      state = std::move(before);
    }
  scalars_.clear();
  // One plan for all, or as much in each as a budget leaves room for.
  const size_t limit = memory_budget() / 8;
  std::vector<Tensor> part;
  size_t bytes = 0;
  for (const Tensor& tensor : made) {
    const size_t more = static_cast<size_t>(tensor.numel()) * dtype_size(tensor.dtype());
    if (limit > 0 && !part.empty() && bytes + more > limit) {
      evaluate(part);
      part.clear();
      bytes = 0;
    }
    part.push_back(tensor);
    bytes += more;
  }
  evaluate(part);
}

void Optimizer::step(const StepGuard& guard) {
  const GradMode no_grad(false);
  scalars_.clear();
  make_states();
  guard_ = guard;
  std::vector<Tensor> updated;
  for (group_ = 0; group_ < groups_.size(); ++group_) {
    const ParamGroup& group = groups_[group_];
    for (const Tensor& param : group.params) {
      Tensor grad = param.grad();
      if (!grad.defined()) continue;
      if (guard.inverse_scale.defined()) grad = mul(grad, guard.inverse_scale);
      if (group.hyper.count("maximize") && group.flag("maximize")) grad = neg(grad);
      write(param, next_value(param, grad));
      updated.push_back(param);
    }
  }
  guard_ = {};
  scalars_.clear();
  evaluate(updated);
}

void Optimizer::zero_grad(bool set_to_none) {
  for (ParamGroup& group : groups_)
    for (Tensor& param : group.params) {
      if (set_to_none || !param.grad().defined())
        param.set_grad({});
      else
        param.set_grad(zeros_like(param.grad()));
    }
}

ParamState& Optimizer::state(const Tensor& param) {
  const auto found = states_.find(param.impl().get());
  DS_CHECK(found != states_.end(), KeyError, "optimizer: the tensor is not one of its parameters");
  return found->second;
}

OptimizerState Optimizer::state_dict() const {
  OptimizerState result;
  for (const ParamGroup& group : groups_) {
    result.groups.push_back(group.hyper);
    for (const Tensor& param : group.params) {
      const ParamState& own = states_.at(param.impl().get());
      ParamState copy{{}, own.numbers};
      for (const auto& [name, tensor] : own.tensors) copy.tensors[name] = clone(tensor.detach());
      result.params.push_back(std::move(copy));
    }
  }
  return result;
}

void Optimizer::load_state_dict(const OptimizerState& state) {
  size_t count = 0;
  for (const ParamGroup& group : groups_) count += group.params.size();
  DS_CHECK(state.groups.size() == groups_.size() && state.params.size() == count, ValueError,
           "optimizer: the state has ", state.groups.size(), " groups and ", state.params.size(),
           " parameters, the optimizer ", groups_.size(), " and ", count);
  for (size_t g = 0; g < groups_.size(); ++g)
    for (const auto& [name, value] : state.groups[g])
      // initial_lr is what a scheduler leaves in a group.
      DS_CHECK(groups_[g].hyper.count(name) || name == "initial_lr", ValueError,
               "optimizer: ", type_name(), " has no hyperparameter '", name, "'");
  size_t index = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (const auto& [name, value] : state.groups[g]) groups_[g].hyper[name] = value;
    for (const Tensor& param : groups_[g].params) {
      const ParamState& given = state.params[index++];
      ParamState& own = states_[param.impl().get()];
      own.numbers = given.numbers;
      own.tensors.clear();
      std::vector<Tensor> copies;
      for (const auto& [name, tensor] : given.tensors)
        copies.push_back(own.tensors[name] = clone(to_device(tensor, param.device())));
      evaluate(copies);
    }
  }
}

std::string Optimizer::repr() const {
  std::string text = type_name() + " (";
  for (size_t g = 0; g < groups_.size(); ++g) {
    text += str("\nParameter Group ", g);
    for (const auto& [name, value] : groups_[g].hyper) text += str("\n    ", name, ": ", value);
  }
  return text + "\n)";
}

}  // namespace ds::optim
