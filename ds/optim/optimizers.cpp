// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/optimizers.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::optim {
SGD::SGD(Params params, double lr, double momentum, double dampening, double weight_decay,
         bool nesterov, bool maximize)
    : Optimizer(checked("SGD", {{"lr", lr},
                                {"momentum", momentum},
                                {"dampening", dampening},
                                {"weight_decay", weight_decay},
                                {"nesterov", nesterov},
                                {"maximize", maximize}})) {
  DS_CHECK(!nesterov || (momentum > 0 && dampening == 0), ValueError,
           "SGD: nesterov needs a momentum and zero dampening");
  add_group(std::move(params));
}

Tensor SGD::update(const Tensor& param, const Tensor& grad, ParamState& state,
                   const ParamGroup& group, const Tensor& lr) {
  const double momentum = group.at("momentum"), decay = group.at("weight_decay");
  const Tensor factor = scalar("momentum", momentum);  // schedules cycle it
  Tensor g = decay == 0 ? grad : grad + param * decay;
  if (momentum != 0) {
    const bool first = !state.tensors.count("momentum_buffer");
    const Tensor buffer = zeros_state(state, "momentum_buffer", param);
    // The first buffer is the gradient itself, undamped. A 0-d input carries that, so that the
    // first step has the plan of all others.
    const Tensor share = scalar("share", first ? 1.0 : 1.0 - group.at("dampening"));
    const Tensor next = buffer * factor + g * share;
    write(buffer, next);
    g = group.flag("nesterov") ? g + next * factor : next;
  }
  return param - g * lr;
}

Adam::Adam(Params params, double lr, double beta1, double beta2, double eps, double weight_decay,
           bool amsgrad, bool maximize)
    : Adam(checked("Adam", {{"lr", lr},
                            {"beta1", beta1},
                            {"beta2", beta2},
                            {"eps", eps},
                            {"weight_decay", weight_decay},
                            {"amsgrad", amsgrad},
                            {"maximize", maximize}}),
           false) {
  add_group(std::move(params));
}

AdamW::AdamW(Params params, double lr, double beta1, double beta2, double eps, double weight_decay,
             bool amsgrad, bool maximize)
    : Adam(checked("AdamW", {{"lr", lr},
                             {"beta1", beta1},
                             {"beta2", beta2},
                             {"eps", eps},
                             {"weight_decay", weight_decay},
                             {"amsgrad", amsgrad},
                             {"maximize", maximize}}),
           true) {
  add_group(std::move(params));
}

Tensor Adam::update(const Tensor& param, const Tensor& grad, ParamState& state,
                    const ParamGroup& group, const Tensor&) {
  const double b1 = group.at("beta1"), b2 = group.at("beta2"), decay = group.at("weight_decay");
  const double step = state.numbers["step"] += 1, rate = group.at("lr");
  Tensor p = param, g = grad;
  if (decay != 0) {
    if (decoupled_)
      p = p * scalar("kept", 1 - rate * decay);
    else
      g = g + p * decay;
  }
  const Tensor m = zeros_state(state, "exp_avg", param),
               v = zeros_state(state, "exp_avg_sq", param);
  // Schedules cycle beta1.
  const Tensor m_next = m * scalar("beta1", b1) + g * scalar("1 - beta1", 1 - b1);
  const Tensor v_next = v * b2 + g * g * (1 - b2);
  write(m, m_next);
  write(v, v_next);
  Tensor v_used = v_next;
  if (group.flag("amsgrad")) {
    const Tensor most = zeros_state(state, "max_exp_avg_sq", param);
    v_used = maximum(most, v_next);
    write(most, v_used);
  }
  const Tensor inverse_root2 = scalar("root2", 1.0 / std::sqrt(1 - std::pow(b2, step)));
  const Tensor size = scalar("size", rate / (1 - std::pow(b1, step)));
  return p - size * m_next / (sqrt(v_used) * inverse_root2 + group.at("eps"));
}

RMSprop::RMSprop(Params params, double lr, double alpha, double eps, double weight_decay,
                 double momentum, bool centered, bool maximize)
    : Optimizer(checked("RMSprop", {{"lr", lr},
                                    {"alpha", alpha},
                                    {"eps", eps},
                                    {"weight_decay", weight_decay},
                                    {"momentum", momentum},
                                    {"centered", centered},
                                    {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor RMSprop::update(const Tensor& param, const Tensor& grad, ParamState& state,
                       const ParamGroup& group, const Tensor& lr) {
  const double alpha = group.at("alpha"), decay = group.at("weight_decay");
  state.numbers["step"] += 1;
  const Tensor g = decay == 0 ? grad : grad + param * decay;
  const Tensor square = zeros_state(state, "square_avg", param);
  const Tensor next = square * alpha + g * g * (1 - alpha);
  write(square, next);
  Tensor variance = next;
  if (group.flag("centered")) {
    const Tensor mean = zeros_state(state, "grad_avg", param);
    const Tensor mean_next = mean * alpha + g * (1 - alpha);
    write(mean, mean_next);
    variance = next - mean_next * mean_next;
  }
  const Tensor scaled = g / (sqrt(variance) + group.at("eps"));
  if (group.at("momentum") == 0) return param - scaled * lr;
  const Tensor buffer = zeros_state(state, "momentum_buffer", param);
  const Tensor buffer_next = buffer * group.at("momentum") + scaled;
  write(buffer, buffer_next);
  return param - buffer_next * lr;
}

Adagrad::Adagrad(Params params, double lr, double lr_decay, double weight_decay,
                 double initial_accumulator_value, double eps, bool maximize)
    : Optimizer(checked("Adagrad", {{"lr", lr},
                                    {"lr_decay", lr_decay},
                                    {"weight_decay", weight_decay},
                                    {"initial_accumulator_value", initial_accumulator_value},
                                    {"eps", eps},
                                    {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor Adagrad::update(const Tensor& param, const Tensor& grad, ParamState& state,
                       const ParamGroup& group, const Tensor& lr) {
  const double decay = group.at("weight_decay");
  const double step = state.numbers["step"] += 1;
  const Tensor g = decay == 0 ? grad : grad + param * decay;
  const Tensor sum = zeros_state(state, "sum", param, group.at("initial_accumulator_value"));
  const Tensor next = sum + g * g;
  write(sum, next);
  const Tensor size = lr * scalar("decay", 1.0 / (1 + (step - 1) * group.at("lr_decay")));
  return param - size * g / (sqrt(next) + group.at("eps"));
}

Adafactor::Adafactor(Params params, double lr, double beta2_decay, double eps1, double eps2,
                     double d, double weight_decay, bool maximize)
    : Optimizer(checked("Adafactor", {{"lr", lr},
                                      {"beta2_decay", beta2_decay},
                                      {"eps1", eps1},
                                      {"eps2", eps2},
                                      {"d", d},
                                      {"weight_decay", weight_decay},
                                      {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor Adafactor::update(const Tensor& param, const Tensor& grad, ParamState& state,
                         const ParamGroup& group, const Tensor& lr) {
  const double step = state.numbers["step"] += 1;
  // Negative eps1 stands for the machine epsilon of f32.
  const double eps1 = group.at("eps1") < 0 ? 0x1p-23 : group.at("eps1");
  const Tensor share =
      scalar("share", std::pow(step, group.at("beta2_decay")));  // 1 - beta2 of this step
  const auto rms = [](const Tensor& x) { return sqrt(mean(x * x)); };
  const Tensor rate = minimum(lr, scalar("rate", 1.0 / std::sqrt(step)));
  const Tensor alpha = maximum(rms(param), group.at("eps2")) * rate;
  const Tensor p =
      group.at("weight_decay") == 0 ? param : param * (1.0 - lr * group.at("weight_decay"));
  Tensor variance;
  if (param.dim() >= 2) {
    Shape row_shape = param.shape(), col_shape = param.shape();
    row_shape.back() = 1;
    col_shape[param.dim() - 2] = 1;
    const Tensor row = zeros_state(state, "row_var", param, row_shape),
                 col = zeros_state(state, "col_var", param, col_shape);
    const Tensor square = grad * grad;
    const Tensor row_next = lerp(row, mean(square, {-1}, true), share);
    const Tensor col_next = lerp(col, mean(square, {-2}, true), share);
    write(row, row_next);
    write(col, col_next);
    variance = row_next * col_next / maximum(mean(row_next, {-2}, true), eps1);
  } else {
    const Tensor v = zeros_state(state, "variance", param);
    variance = lerp(v, grad * grad, share);
    write(v, variance);
  }
  const Tensor step_direction = grad / sqrt(maximum(variance, eps1 * eps1));
  const Tensor denominator = maximum(rms(step_direction) * (1.0 / group.at("d")), 1.0);
  return p - step_direction * (alpha / denominator);
}

LAMB::LAMB(Params params, double lr, double beta1, double beta2, double eps, double weight_decay)
    : Optimizer(checked("LAMB", {{"lr", lr},
                                 {"beta1", beta1},
                                 {"beta2", beta2},
                                 {"eps", eps},
                                 {"weight_decay", weight_decay}})) {
  add_group(std::move(params));
}

Tensor LAMB::update(const Tensor& param, const Tensor& grad, ParamState& state,
                    const ParamGroup& group, const Tensor& lr) {
  const double b1 = group.at("beta1"), b2 = group.at("beta2");
  const double step = state.numbers["step"] += 1;
  const Tensor m = zeros_state(state, "exp_avg", param),
               v = zeros_state(state, "exp_avg_sq", param);
  const Tensor m_next = m * b1 + grad * (1 - b1);
  const Tensor v_next = v * b2 + grad * grad * (1 - b2);
  write(m, m_next);
  write(v, v_next);
  const Tensor m_hat = m_next * scalar("correction1", 1 / (1 - std::pow(b1, step)));
  const Tensor v_hat = v_next * scalar("correction2", 1 / (1 - std::pow(b2, step)));
  const Tensor direction =
      m_hat / (sqrt(v_hat) + group.at("eps")) + param * group.at("weight_decay");
  const Tensor p_norm = sqrt(sum(param * param)), d_norm = sqrt(sum(direction * direction));
  const Tensor both = logical_and(gt(p_norm, 0.0), gt(d_norm, 0.0));
  const Tensor trust = where(both, p_norm / d_norm, ones_like(p_norm));
  return param - direction * (lr * trust);
}

Lion::Lion(Params params, double lr, double beta1, double beta2, double weight_decay)
    : Optimizer(checked(
          "Lion",
          {{"lr", lr}, {"beta1", beta1}, {"beta2", beta2}, {"weight_decay", weight_decay}})) {
  add_group(std::move(params));
}

Tensor Lion::update(const Tensor& param, const Tensor& grad, ParamState& state,
                    const ParamGroup& group, const Tensor& lr) {
  const double b1 = group.at("beta1"), b2 = group.at("beta2");
  const Tensor m = zeros_state(state, "exp_avg", param);
  const Tensor direction = sign(m * b1 + grad * (1 - b1));
  write(m, m * b2 + grad * (1 - b2));
  return param * (1.0 - lr * group.at("weight_decay")) - direction * lr;
}

Tensor clip_grad_norm_(const Params& params, double max_norm, double norm_type,
                       bool error_if_nonfinite) {
  const GradMode no_grad(false);
  std::vector<Tensor> norms;
  for (const Tensor& param : params)
    if (param.grad().defined()) norms.push_back(vector_norm(to_floating(param.grad()), norm_type));
  if (norms.empty()) return Tensor::input_scalar(0.0);
  const Tensor total = vector_norm(stack(norms), norm_type);
  DS_CHECK(!error_if_nonfinite || std::isfinite(total.item()), ValueError,
           "clip_grad_norm_: the total norm of the gradients is not finite");
  const Tensor factor = minimum(div(max_norm, total + 1e-6), 1.0);
  for (const Tensor& param : params)
    if (param.grad().defined()) ds::assign(param.grad(), param.grad() * factor);
  return total;
}

void clip_grad_value_(const Params& params, double clip_value) {
  const GradMode no_grad(false);
  for (const Tensor& param : params)
    if (param.grad().defined())
      ds::assign(param.grad(), clamp(param.grad(), -clip_value, clip_value));
}

}  // namespace ds::optim
