// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/optimizers_adaptive.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::optim {
namespace {

/// The gradient with L2 regularisation.
Tensor regularized(const Tensor& param, const Tensor& grad, const ParamGroup& group) {
  const double decay = group.at("weight_decay");
  return decay == 0 ? grad : grad + param * decay;
}

}  // namespace

Adadelta::Adadelta(Params params, double lr, double rho, double eps, double weight_decay,
                   bool maximize)
    : Optimizer(checked("Adadelta", {{"lr", lr},
                                     {"rho", rho},
                                     {"eps", eps},
                                     {"weight_decay", weight_decay},
                                     {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor Adadelta::update(const Tensor& param, const Tensor& grad, ParamState& state,
                        const ParamGroup& group, const Tensor& lr) {
  const double rho = group.at("rho"), eps = group.at("eps");
  state.numbers["step"] += 1;
  const Tensor g = regularized(param, grad, group);
  const Tensor square = zeros_state(state, "square_avg", param),
               moved = zeros_state(state, "acc_delta", param);
  const Tensor square_next = square * rho + g * g * (1 - rho);
  const Tensor delta = sqrt(moved + eps) / sqrt(square_next + eps) * g;
  write(square, square_next);
  write(moved, moved * rho + delta * delta * (1 - rho));
  return param - delta * lr;
}

Adamax::Adamax(Params params, double lr, double beta1, double beta2, double eps,
               double weight_decay, bool maximize)
    : Optimizer(checked("Adamax", {{"lr", lr},
                                   {"beta1", beta1},
                                   {"beta2", beta2},
                                   {"eps", eps},
                                   {"weight_decay", weight_decay},
                                   {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor Adamax::update(const Tensor& param, const Tensor& grad, ParamState& state,
                      const ParamGroup& group, const Tensor& lr) {
  const double b1 = group.at("beta1"), b2 = group.at("beta2");
  const double step = state.numbers["step"] += 1;
  const Tensor g = regularized(param, grad, group);
  const Tensor m = zeros_state(state, "exp_avg", param), u = zeros_state(state, "exp_inf", param);
  const Tensor m_next = m * scalar("beta1", b1) + g * scalar("1 - beta1", 1 - b1);
  const Tensor u_next = maximum(u * b2, abs(g) + group.at("eps"));
  write(m, m_next);
  write(u, u_next);
  return param - lr * scalar("correction1", 1 / (1 - std::pow(b1, step))) * m_next / u_next;
}

NAdam::NAdam(Params params, double lr, double beta1, double beta2, double eps, double weight_decay,
             double momentum_decay, bool decoupled_weight_decay, bool maximize)
    : Optimizer(checked("NAdam", {{"lr", lr},
                                  {"beta1", beta1},
                                  {"beta2", beta2},
                                  {"eps", eps},
                                  {"weight_decay", weight_decay},
                                  {"momentum_decay", momentum_decay},
                                  {"decoupled_weight_decay", decoupled_weight_decay},
                                  {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor NAdam::update(const Tensor& param, const Tensor& grad, ParamState& state,
                     const ParamGroup& group, const Tensor& lr) {
  const double b1 = group.at("beta1"), b2 = group.at("beta2");
  const double step = state.numbers["step"] += 1;
  const bool decoupled = group.flag("decoupled_weight_decay");
  const Tensor p = decoupled ? param * (1.0 - lr * group.at("weight_decay")) : param;
  const Tensor g = decoupled ? grad : regularized(param, grad, group);
  const auto momentum = [&](double t) {
    return b1 * (1 - 0.5 * std::pow(0.96, t * group.at("momentum_decay")));
  };
  const double mu = momentum(step), mu_next = momentum(step + 1);
  double& product = state.numbers.try_emplace("mu_product", 1.0).first->second;
  product *= mu;
  const Tensor m = zeros_state(state, "exp_avg", param),
               v = zeros_state(state, "exp_avg_sq", param);
  const Tensor m_next = m * scalar("beta1", b1) + g * scalar("1 - beta1", 1 - b1);
  const Tensor v_next = v * b2 + g * g * (1 - b2);
  write(m, m_next);
  write(v, v_next);
  const Tensor root2 = scalar("root2", 1 / std::sqrt(1 - std::pow(b2, step)));
  const Tensor direction = g * scalar("share", (1 - mu) / (1 - product)) +
                           m_next * scalar("ahead", mu_next / (1 - product * mu_next));
  return p - lr * direction / (sqrt(v_next) * root2 + group.at("eps"));
}

RAdam::RAdam(Params params, double lr, double beta1, double beta2, double eps, double weight_decay,
             bool decoupled_weight_decay, bool maximize)
    : Optimizer(checked("RAdam", {{"lr", lr},
                                  {"beta1", beta1},
                                  {"beta2", beta2},
                                  {"eps", eps},
                                  {"weight_decay", weight_decay},
                                  {"decoupled_weight_decay", decoupled_weight_decay},
                                  {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor RAdam::update(const Tensor& param, const Tensor& grad, ParamState& state,
                     const ParamGroup& group, const Tensor& lr) {
  const double b1 = group.at("beta1"), b2 = group.at("beta2");
  const double step = state.numbers["step"] += 1;
  const bool decoupled = group.flag("decoupled_weight_decay");
  const Tensor p = decoupled ? param * (1.0 - lr * group.at("weight_decay")) : param;
  const Tensor g = decoupled ? grad : regularized(param, grad, group);
  const Tensor m = zeros_state(state, "exp_avg", param),
               v = zeros_state(state, "exp_avg_sq", param);
  const Tensor m_next = m * scalar("beta1", b1) + g * scalar("1 - beta1", 1 - b1);
  const Tensor v_next = v * b2 + g * g * (1 - b2);
  write(m, m_next);
  write(v, v_next);
  const double correction2 = 1 - std::pow(b2, step), limit = 2 / (1 - b2) - 1;
  const double length = limit - 2 * step * std::pow(b2, step) / correction2;
  // While the variance is not tractable the step is plain momentum. Both forms are in the plan,
  // weighted by inputs, so that the change makes no new one.
  const bool adaptive = length > 5;
  const double rectified = adaptive ? std::sqrt((length - 4) * (length - 2) * limit /
                                                ((limit - 4) * (limit - 2) * length) * correction2)
                                    : 0.0;
  const Tensor factor = scalar("rectified", rectified) / (sqrt(v_next) + group.at("eps")) +
                        scalar("plain", adaptive ? 0.0 : 1.0);
  return p - lr * scalar("correction1", 1 / (1 - std::pow(b1, step))) * m_next * factor;
}

Rprop::Rprop(Params params, double lr, double eta_minus, double eta_plus, double step_min,
             double step_max, bool maximize)
    : Optimizer(checked("Rprop", {{"lr", lr},
                                  {"eta_minus", eta_minus},
                                  {"eta_plus", eta_plus},
                                  {"step_min", step_min},
                                  {"step_max", step_max},
                                  {"maximize", maximize}})) {
  DS_CHECK(eta_minus > 0 && eta_minus < 1 && eta_plus > 1, ValueError, "Rprop: etas (", eta_minus,
           ", ", eta_plus, ") must be below and above 1");
  add_group(std::move(params));
}

Tensor Rprop::update(const Tensor& param, const Tensor& grad, ParamState& state,
                     const ParamGroup& group, const Tensor&) {
  state.numbers["step"] += 1;
  const Tensor last = zeros_state(state, "prev", param),
               size = zeros_state(state, "step_size", param, group.at("lr"));
  const Tensor agreement = grad * last;
  const Tensor turned = lt(agreement, 0.0);
  const Tensor grown = where(gt(agreement, 0.0), size * group.at("eta_plus"), size);
  const Tensor next = clamp(where(turned, size * group.at("eta_minus"), grown),
                            group.at("step_min"), group.at("step_max"));
  const Tensor used = where(turned, zeros_like(grad), grad);
  write(size, next);
  write(last, used);
  return param - sign(used) * next;
}

ASGD::ASGD(Params params, double lr, double lambd, double alpha, double t0, double weight_decay,
           bool maximize)
    : Optimizer(checked("ASGD", {{"lr", lr},
                                 {"lambd", lambd},
                                 {"alpha", alpha},
                                 {"t0", t0},
                                 {"weight_decay", weight_decay},
                                 {"maximize", maximize}})) {
  add_group(std::move(params));
}

Tensor ASGD::update(const Tensor& param, const Tensor& grad, ParamState& state,
                    const ParamGroup& group, const Tensor&) {
  const double rate = group.at("lr"), lambd = group.at("lambd");
  const double step = state.numbers["step"] += 1;
  double& eta = state.numbers.try_emplace("eta", rate).first->second;
  double& mu = state.numbers.try_emplace("mu", 1.0).first->second;
  const Tensor g = regularized(param, grad, group);
  const Tensor next = param * scalar("shrink", 1 - lambd * eta) - g * scalar("eta", eta);
  const Tensor average = zeros_state(state, "ax", param);
  write(average, lerp(average, next, scalar("mu", mu)));
  eta = rate / std::pow(1 + lambd * rate * step, group.at("alpha"));
  mu = 1 / std::max(1.0, step - group.at("t0"));
  return next;
}

}  // namespace ds::optim
