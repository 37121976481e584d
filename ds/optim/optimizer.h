// SPDX-License-Identifier: Apache-2.0
// Optimizer: parameter groups, per-parameter state and the step, as torch.optim.
//
// A step records the update of parameters that are alike once, as ordinary tensor operations, and
// applies it to each as one node (ds/tensor/function.h). It closes the training step: forward,
// backward and update become one plan, whose fused updates write in place.
// What changes between steps (learning rate, bias corrections) is an input of the plan.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::optim {

/// Named numbers; flags are 0 or 1.
using Hyper = std::map<std::string, double>;

struct ParamGroup {
  std::vector<Tensor> params;
  Hyper hyper;
  double at(const std::string& name) const;
  bool flag(const std::string& name) const { return at(name) != 0.0; }
};

/// Tensors and numbers kept for one parameter.
struct ParamState {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, double> numbers;
  /// What the numbers were before each of the last steps, of which it is not known yet whether
  /// they worked.
  std::vector<std::map<std::string, double>> earlier;
  /// Failed steps of the parameter that have been taken back.
  int failed = 0;
};

/// What state_dict() holds: states by the parameter's position over all groups.
struct OptimizerState {
  std::vector<Hyper> groups;
  std::vector<ParamState> params;
};

/// Multiplies gradients before use and skips the step where they are not finite: how a gradient
/// scaler talks to an optimizer without reading a value back.
struct StepGuard {
  Tensor inverse_scale;  // 0-d f32
  Tensor found_inf;      // 0-d bool
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// "SGD", "Adam", ...
  virtual std::string type_name() const = 0;
  /// Updates every parameter that has a gradient. Where the guard says so, nothing changes, nor
  /// when no plan of the step fits the memory budget: it raises then, and can be called again. A
  /// step that fails while it runs, which a later call says, leaves parameters and states too.
  void step(const StepGuard& guard = {});
  void zero_grad(bool set_to_none = true);

  std::vector<ParamGroup>& groups() { return groups_; }
  const std::vector<ParamGroup>& groups() const { return groups_; }
  /// ValueError when empty, when a parameter is in a group already or is not a leaf.
  void add_group(std::vector<Tensor> params, const Hyper& overrides = {});
  /// Learning rate of all groups.
  void set_lr(double lr);

  ParamState& state(const Tensor& param);
  OptimizerState state_dict();
  /// ValueError when the groups or sizes do not match; nothing is changed then.
  void load_state_dict(const OptimizerState& state);
  std::string repr() const;

 protected:
  /// The numbers themselves; ValueError naming `op` for one that makes no sense.
  static Hyper checked(const char* op, Hyper hyper);
  explicit Optimizer(Hyper defaults) : defaults_(std::move(defaults)) {}
  /// Records the update of one parameter: returns its next value. `lr` is a 0-d input.
  virtual Tensor update(const Tensor& param, const Tensor& grad, ParamState& state,
                        const ParamGroup& group, const Tensor& lr) = 0;
  /// A 0-d input of this step. Parameters of a group share one for the same name and value; other
  /// names and groups never do, so that equal numbers by chance do not change the plan.
  Tensor scalar(const char* name, double value);

  /// A tensor of `value` like `param`, or of `shape`, in `state`: computed before the step, so that
  /// every step has one plan.
  Tensor zeros_state(ParamState& state, const std::string& name, const Tensor& param,
                     double value = 0.0) {
    return zeros_state(state, name, param, param.shape(), value);
  }
  Tensor zeros_state(ParamState& state, const std::string& name, const Tensor& param,
                     const Shape& shape, double value = 0.0);
  /// Writes a state tensor, or keeps the old one where the guard skips the step.
  void write(const Tensor& target, const Tensor& value);

  Hyper defaults_;

 private:
  struct Update;
  class UpdateRecorder;

  /// The gradient as update() wants it.
  Tensor prepared(const Tensor& grad, const Tensor& param, const ParamGroup& group) const;
  Update record_update(const Tensor& param, const Tensor& grad, const ParamState& state,
                       const ParamGroup& group);
  /// Makes the states that an update adds; returns them, not yet computed.
  static std::vector<Tensor> make_states(const Update& update, ParamState& state);
  static void apply(const Update& update, const Tensor& param, const Tensor& grad,
                    ParamState& state);

  std::vector<ParamGroup> groups_;
  std::unordered_map<const TensorImpl*, ParamState> states_;
  std::map<std::tuple<size_t, std::string, double>, Tensor> scalars_;  // of the current step
  size_t group_ = 0;                                                   // being updated
  StepGuard guard_;
  UpdateRecorder* recorder_ = nullptr;  // while an update is being recorded
};

}  // namespace ds::optim
