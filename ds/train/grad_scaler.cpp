// SPDX-License-Identifier: Apache-2.0
#include "ds/train/grad_scaler.h"

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::train {
namespace {

Tensor counter() {
  const int64_t zero = 0;
  return Tensor::from_host(&zero, {DType::i64, {}});
}

std::vector<Tensor> gradients_of(optim::Optimizer& optimizer) {
  std::vector<Tensor> grads;
  for (const optim::ParamGroup& group : optimizer.groups())
    for (const Tensor& param : group.params)
      if (param.grad().defined()) grads.push_back(param.grad());
  return grads;
}

/// True when some gradient element is infinite or NaN.
Tensor any_nonfinite(const std::vector<Tensor>& grads) {
  std::vector<Tensor> flags;
  for (const Tensor& grad : grads) flags.push_back(logical_not(all(isfinite(grad))));
  return any(stack(flags));
}

}  // namespace

GradScaler::GradScaler(GradScalerOptions options)
    : options_(options),
      scale_(Tensor::input_scalar(options.init_scale)),
      growth_tracker_(counter()),
      skipped_(counter()) {
  DS_CHECK(options.init_scale > 0 && options.growth_factor > 1 && options.backoff_factor > 0 &&
               options.backoff_factor < 1 && options.growth_interval >= 1,
           ValueError, "GradScaler: init_scale ", options.init_scale,
           " must be positive, growth_factor ", options.growth_factor, " above 1, backoff_factor ",
           options.backoff_factor, " between 0 and 1, growth_interval ", options.growth_interval,
           " at least 1");
}

Tensor GradScaler::scale(const Tensor& loss) { return options_.enabled ? mul(loss, scale_) : loss; }

void GradScaler::unscale_(optim::Optimizer& optimizer) {
  if (!options_.enabled) return;
  DS_CHECK(!unscaled_, StateError,
           "GradScaler: unscale_() was already called for this step; call update() first");
  const GradMode no_grad(false);
  const std::vector<Tensor> grads = gradients_of(optimizer);
  DS_CHECK(!grads.empty(), StateError,
           "GradScaler: no parameter has a gradient; call backward() first");
  found_inf_ = any_nonfinite(grads);
  const Tensor inverse = reciprocal(scale_);
  for (const Tensor& grad : grads) ds::assign(grad, mul(grad, inverse));
  unscaled_ = true;
}

void GradScaler::step(optim::Optimizer& optimizer) {
  if (!options_.enabled) {
    optimizer.step();
    return;
  }
  const GradMode no_grad(false);
  optim::StepGuard guard;
  if (!unscaled_) {
    const std::vector<Tensor> grads = gradients_of(optimizer);
    DS_CHECK(!grads.empty(), StateError,
             "GradScaler: no parameter has a gradient; call backward() first");
    found_inf_ = any_nonfinite(grads);
    guard.inverse_scale = reciprocal(scale_);
  }
  guard.found_inf = found_inf_;
  optimizer.step(guard);
}

void GradScaler::update() {
  if (!options_.enabled) return;
  DS_CHECK(found_inf_.defined(), StateError, "GradScaler: update() needs a step() before it");
  const GradMode no_grad(false);
  const Tensor good = growth_tracker_ + 1;
  const Tensor grow = ge(good, options_.growth_interval);
  const Tensor kept = where(grow, mul(scale_, options_.growth_factor), scale_);
  // Growth stops before the scale itself overflows.
  const Tensor grown = where(isfinite(kept), kept, scale_);
  const Tensor zero = zeros_like(growth_tracker_);
  ds::assign(scale_, where(found_inf_, mul(scale_, options_.backoff_factor), grown));
  ds::assign(growth_tracker_, where(logical_or(found_inf_, grow), zero, good));
  ds::assign(skipped_, skipped_ + to_dtype(found_inf_, DType::i64));
  evaluate({scale_, growth_tracker_, skipped_});
  found_inf_ = {};
  unscaled_ = false;
}

double GradScaler::get_scale() const { return options_.enabled ? scale_.item() : 1.0; }
int64_t GradScaler::skipped_steps() const { return skipped_.item_int(); }

std::vector<std::pair<std::string, Tensor>> GradScaler::state_dict() const {
  return {{"scale", scale_}, {"growth_tracker", growth_tracker_}, {"skipped", skipped_}};
}

void GradScaler::load_state_dict(const std::vector<std::pair<std::string, Tensor>>& state) {
  const GradMode no_grad(false);
  for (const auto& [name, tensor] : state) {
    const Tensor& target = name == "scale"            ? scale_
                           : name == "growth_tracker" ? growth_tracker_
                                                      : skipped_;
    DS_CHECK(name == "scale" || name == "growth_tracker" || name == "skipped", KeyError,
             "GradScaler: the state has an unknown entry '", name, "'");
    ds::assign(target, tensor);
  }
  evaluate({scale_, growth_tracker_, skipped_});
}

}  // namespace ds::train
