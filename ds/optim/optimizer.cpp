// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/optimizer.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "ds/base/error.h"
#include "ds/base/location.h"
#include "ds/base/options.h"
#include "ds/engine/memory.h"
#include "ds/tensor/function.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"
#include "ds/tensor/undo.h"

namespace ds::optim {
namespace {

/// Computes the tensors in one plan, or as much in each as a budget leaves room for.
void evaluate_in_parts(const std::vector<Tensor>& tensors) {
  const size_t limit = memory_budget() / 8;
  std::vector<Tensor> part;
  size_t bytes = 0;
  for (const Tensor& tensor : tensors) {
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

/// The update of parameters that are alike: of one type, with gradients and states of one type and
/// the same numbers.
struct Optimizer::Update {
  Type param, grad;
  Device device;
  std::map<std::string, double> numbers, numbers_after;
  std::vector<std::pair<std::string, Type>> states;

  /// A state tensor that the update makes.
  struct Initial {
    std::string name;
    Type type;
    double value;
  };
  std::vector<Initial> initial;
  /// Inputs of the body after the parameter and its gradient: a state by name, or what all
  /// parameters share.
  struct Source {
    std::string state;
    Tensor shared;
  };
  std::vector<Source> sources;
  std::vector<std::string> written;  // states that outputs 1.. of the body are; output 0: parameter
  FunctionPtr body;

  bool fits(const Tensor& p, const Tensor& g, const ParamState& state) const {
    if (!(param == p.type()) || !(grad == g.type()) || !(device == p.device()) ||
        numbers != state.numbers || states.size() != state.tensors.size())
      return false;
    return std::equal(states.begin(), states.end(), state.tensors.begin(),
                      [](const auto& mine, const auto& theirs) {
                        return mine.first == theirs.first && mine.second == theirs.second.type();
                      });
  }
};

/// Stands in for tensors of a parameter while its update is recorded.
class Optimizer::UpdateRecorder {
 public:
  UpdateRecorder(Update& update, const ParamState& state) : update_(update) {
    param = recorder_.input(update.param, update.device);
    grad = recorder_.input(update.grad, update.device);
    stand_in.numbers = state.numbers;
    for (const auto& [name, type] : update.states) add_state(name, type);
  }

  Tensor add_state(const std::string& name, const Type& type) {
    update_.sources.push_back({name, {}});
    Tensor placeholder = recorder_.input(type, update_.device);
    before_.emplace_back(name, placeholder.value());
    return stand_in.tensors[name] = placeholder;
  }
  Tensor make_state(const std::string& name, const Type& type, double value) {
    update_.initial.push_back({name, type, value});
    return add_state(name, type);
  }
  /// The stand-in of a tensor that all parameters share.
  Tensor shared(const Tensor& tensor) {
    const auto [entry, made] = shared_.try_emplace(tensor.impl().get());
    if (made) {
      update_.sources.push_back({{}, tensor});
      entry->second = recorder_.input(tensor.type(), tensor.device());
    }
    return entry->second;
  }
  void finish() {
    std::vector<Tensor> outputs = {param};
    for (const auto& [name, value] : before_) {
      const Tensor& now = stand_in.tensors.at(name);
      if (now.value() == value) continue;
      update_.written.push_back(name);
      outputs.push_back(now);
    }
    update_.numbers_after = stand_in.numbers;
    update_.body = recorder_.finish(outputs);
  }

 private:
  FunctionRecorder recorder_;  // the stand-ins go before it
  Update& update_;
  std::vector<std::pair<std::string, Value>> before_;
  std::unordered_map<const TensorImpl*, Tensor> shared_;

 public:
  Tensor param, grad;
  ParamState stand_in;
};

namespace {

/// Takes back the numbers of steps that left the parameter as it was.
void take_back_failed(const Tensor& param, ParamState& state) {
  if (state.earlier.empty()) return;
  const std::optional<int> steps = failed_steps(param);
  if (!steps) return;
  // Numbers depend on how many steps there were, not on which of the noted ones failed.
  const int failed = std::clamp(*steps - state.failed, 0, static_cast<int>(state.earlier.size()));
  if (failed > 0) state.numbers = *(state.earlier.end() - failed);
  state.failed = *steps;
  state.earlier.clear();
}

}  // namespace

Tensor Optimizer::scalar(const char* name, double value) {
  const auto [entry, made] = scalars_.try_emplace({group_, name, value});
  if (made)
    entry->second = Tensor::input_scalar(value, DType::f32, groups_[group_].params[0].device());
  return recorder_ ? recorder_->shared(entry->second) : entry->second;
}

Tensor Optimizer::zeros_state(ParamState& state, const std::string& name, const Tensor& param,
                              const Shape& shape, double value) {
  const auto found = state.tensors.find(name);
  if (found != state.tensors.end() && found->second.defined()) return found->second;
  if (recorder_) return recorder_->make_state(name, {param.dtype(), shape}, value);
  return state.tensors[name] = full(shape, value, param.dtype(), param.device()).evaluate();
}

void Optimizer::write(const Tensor& target, const Tensor& value) {
  if (!guard_.found_inf.defined()) {
    ds::assign(target, value);
    return;
  }
  const Tensor skip = recorder_ ? recorder_->shared(guard_.found_inf) : guard_.found_inf;
  ds::assign(target, where(skip, target, value));
}

Tensor Optimizer::prepared(const Tensor& grad, const Tensor& param, const ParamGroup& group) const {
  Tensor g = grad;
  if (guard_.inverse_scale.defined())
    g = mul(g, recorder_ ? recorder_->shared(guard_.inverse_scale) : guard_.inverse_scale);
  if (group.hyper.count("maximize") && group.flag("maximize")) g = neg(g);
  return to_dtype(g, param.dtype());
}

Optimizer::Update Optimizer::record_update(const Tensor& param, const Tensor& grad,
                                           const ParamState& state, const ParamGroup& group) {
  Update result{param.type(), grad.type(), param.device(), state.numbers, {}, {}, {}, {}, {}, {}};
  for (const auto& [name, tensor] : state.tensors) result.states.emplace_back(name, tensor.type());
  UpdateRecorder recorder(result, state);
  recorder_ = &recorder;
  try {
    const Tensor g = prepared(recorder.grad, recorder.param, group);
    const Tensor next =
        update(recorder.param, g, recorder.stand_in, group, scalar("lr", group.at("lr")));
    write(recorder.param, next);
    recorder.finish();
  } catch (...) {
    recorder_ = nullptr;
    throw;
  }
  recorder_ = nullptr;
  return result;
}

std::vector<Tensor> Optimizer::make_states(const Update& update, ParamState& state) {
  std::vector<Tensor> made;
  for (const auto& [name, type, value] : update.initial)
    made.push_back(state.tensors[name] = full(type.shape, value, type.dtype, update.device));
  return made;
}

void Optimizer::apply(const Update& update, const Tensor& param, const Tensor& grad,
                      ParamState& state) {
  std::vector<Tensor> inputs = {param, grad};
  inputs.reserve(update.sources.size() + 2);
  for (const Update::Source& source : update.sources)
    inputs.push_back(source.state.empty() ? source.shared : state.tensors.at(source.state));
  const Values outputs = apply_function(update.body, inputs);
  param.assign(outputs[0]);
  for (size_t i = 0; i < update.written.size(); ++i)
    state.tensors.at(update.written[i]).assign(outputs[i + 1]);
  state.earlier.push_back(std::exchange(state.numbers, update.numbers_after));
}

void Optimizer::step(const StepGuard& guard) {
  const GradMode no_grad(false);
  const LocationScope place(current_location());  // found once, not once per parameter
  guard_ = guard;
  scalars_.clear();
  struct Use {
    const Update* update;
    Tensor param, grad;
    ParamState* state;
  };
  std::deque<Update> updates;
  std::vector<Use> uses;
  std::vector<Tensor> updated, made;
  for (group_ = 0; group_ < groups_.size(); ++group_) {
    const ParamGroup& group = groups_[group_];
    const auto first = static_cast<std::ptrdiff_t>(updates.size());
    for (const Tensor& param : group.params) {
      const Tensor grad = param.grad();
      if (!grad.defined()) continue;
      ParamState& state = states_[param.impl().get()];
      take_back_failed(param, state);
      updated.push_back(param);
      if (options().eager) {  // nothing may wait, so nothing is recorded for later
        write(param, update(param, prepared(grad, param, group), state, group,
                            scalar("lr", group.at("lr"))));
        continue;
      }
      auto known = std::find_if(updates.begin() + first, updates.end(), [&](const Update& other) {
        return other.fits(param, grad, state);
      });
      if (known == updates.end()) {
        updates.push_back(record_update(param, grad, state, group));
        known = updates.end() - 1;
      }
      uses.push_back({&*known, param, grad, &state});
    }
  }
  for (const Use& use : uses)
    for (Tensor& tensor : make_states(*use.update, *use.state)) made.push_back(std::move(tensor));
  evaluate_in_parts(made);
  Undo undo;
  for (const Use& use : uses) {
    undo.add(use.param);
    for (const std::string& name : use.update->written) undo.add(use.state->tensors.at(name));
    apply(*use.update, use.param, use.grad, *use.state);
  }
  guard_ = {};
  scalars_.clear();
  try {
    evaluate(updated);
  } catch (...) {
    undo.run();
    for (const Use& use : uses) {
      use.state->numbers = use.update->numbers;
      use.state->earlier.pop_back();
    }
    throw;
  }
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
  take_back_failed(param, found->second);
  return found->second;
}

OptimizerState Optimizer::state_dict() {
  OptimizerState result;
  for (const ParamGroup& group : groups_) {
    result.groups.push_back(group.hyper);
    for (const Tensor& param : group.params) {
      const ParamState& own = state(param);
      ParamState copy{{}, own.numbers, {}, 0};
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
      own.earlier.clear();
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
