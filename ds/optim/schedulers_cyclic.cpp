// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/schedulers_cyclic.h"

#include <cmath>

#include "ds/base/error.h"

namespace ds::optim {
namespace {

constexpr double kPi = 3.14159265358979323846;

void for_groups(std::vector<double>& values, const Optimizer& optimizer, const char* who,
                const char* name) {
  const size_t groups = optimizer.groups().size();
  if (values.size() == 1) values.resize(groups, values[0]);
  DS_CHECK(values.size() == groups, ValueError, who, ": ", name, " has ", values.size(),
           " values for ", groups, " groups; give one, or one for each");
}

/// The hyperparameter that plays momentum's part.
std::string momentum_name(const Optimizer& optimizer, const char* who) {
  for (const char* name : {"momentum", "beta1"})
    if (optimizer.groups().at(0).hyper.count(name)) return name;
  DS_CHECK(false, ValueError, who, ": ", optimizer.type_name(),
           " has neither momentum nor betas; pass cycle_momentum = false");
  return {};
}

}  // namespace

OneCycleLR::OneCycleLR(Optimizer& optimizer, OneCycleOptions options)
    : LRScheduler(optimizer, options.last_epoch), options_(std::move(options)) {
  DS_CHECK(options_.total_steps > 0, ValueError, "OneCycleLR: total_steps ", options_.total_steps,
           " must be positive");
  DS_CHECK(options_.pct_start >= 0 && options_.pct_start <= 1, ValueError, "OneCycleLR: pct_start ",
           options_.pct_start, " must be between 0 and 1");
  for_groups(options_.max_lr, optimizer, "OneCycleLR", "max_lr");
  for_groups(options_.base_momentum, optimizer, "OneCycleLR", "base_momentum");
  for_groups(options_.max_momentum, optimizer, "OneCycleLR", "max_momentum");
  if (options_.cycle_momentum) momentum_ = momentum_name(optimizer, "OneCycleLR");
  if (options_.last_epoch == -1)
    for (size_t g = 0; g < base_lrs_.size(); ++g)
      optimizer.groups()[g].hyper["initial_lr"] = base_lrs_[g] =
          options_.max_lr[g] / options_.div_factor;
  const double total = static_cast<double>(options_.total_steps);
  phases_ = {{options_.pct_start * total - 1, Level::initial, Level::max}};
  if (options_.three_phase) {
    phases_.push_back({2 * options_.pct_start * total - 2, Level::max, Level::initial});
    phases_.push_back({total - 1, Level::initial, Level::min});
  } else {
    phases_.push_back({total - 1, Level::max, Level::min});
  }
  begin();
}

double OneCycleLR::lr_at(Level level, size_t group) const {
  if (level == Level::max) return options_.max_lr[group];
  return level == Level::initial ? base_lrs_[group] : base_lrs_[group] / options_.final_div_factor;
}

double OneCycleLR::anneal(double from, double to, double part) const {
  if (options_.linear) return (to - from) * part + from;
  return to + (from - to) / 2 * (std::cos(kPi * part) + 1);
}

std::vector<double> OneCycleLR::next_lrs() {
  DS_CHECK(last_epoch_ <= options_.total_steps, ValueError, "OneCycleLR: step ", last_epoch_,
           " lies behind the last of total_steps ", options_.total_steps);
  const double step = static_cast<double>(last_epoch_);
  size_t phase = 0;
  double start = 0;
  while (phase + 1 < phases_.size() && step > phases_[phase].end) start = phases_[phase++].end;
  const auto [end, from, to] = phases_[phase];
  const double part = (step - start) / (end - start);
  std::vector<double> lrs;
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    lrs.push_back(anneal(lr_at(from, g), lr_at(to, g), part));
    if (!options_.cycle_momentum) continue;
    // Momentum is low where the rate is high.
    const double before = from == Level::max ? options_.base_momentum[g] : options_.max_momentum[g];
    const double after = to == Level::max ? options_.base_momentum[g] : options_.max_momentum[g];
    optimizer_.groups()[g].hyper[momentum_] = anneal(before, after, part);
  }
  return lrs;
}

CyclicLR::CyclicLR(Optimizer& optimizer, CyclicOptions options)
    : LRScheduler(optimizer, options.last_epoch), options_(std::move(options)) {
  for_groups(options_.base_lr, optimizer, "CyclicLR", "base_lr");
  for_groups(options_.max_lr, optimizer, "CyclicLR", "max_lr");
  for_groups(options_.base_momentum, optimizer, "CyclicLR", "base_momentum");
  for_groups(options_.max_momentum, optimizer, "CyclicLR", "max_momentum");
  DS_CHECK(options_.step_size_up > 0, ValueError, "CyclicLR: step_size_up ", options_.step_size_up,
           " must be positive");
  if (options_.step_size_down < 0) options_.step_size_down = options_.step_size_up;
  if (!options_.scale) options_.scale_by_cycle = options_.mode != CyclicOptions::Mode::exp_range;
  total_ = options_.step_size_up + options_.step_size_down;
  up_part_ = options_.step_size_up / total_;
  if (options_.cycle_momentum) momentum_ = momentum_name(optimizer, "CyclicLR");
  base_lrs_ = options_.base_lr;
  if (options_.last_epoch == -1)
    for (size_t g = 0; g < base_lrs_.size(); ++g)
      optimizer.groups()[g].hyper["initial_lr"] = base_lrs_[g];
  begin();
}

double CyclicLR::height(double cycle) const {
  const double x = options_.scale_by_cycle ? cycle : static_cast<double>(last_epoch_);
  if (options_.scale) return options_.scale(x);
  switch (options_.mode) {
    case CyclicOptions::Mode::triangular2: return std::pow(0.5, x - 1);
    case CyclicOptions::Mode::exp_range: return std::pow(options_.gamma, x);
    default: return 1.0;
  }
}

std::vector<double> CyclicLR::next_lrs() {
  const double step = static_cast<double>(last_epoch_);
  const double cycle = std::floor(1 + step / total_);
  const double x = 1 + step / total_ - cycle;
  const double ramp = x <= up_part_ ? x / up_part_ : (x - 1) / (up_part_ - 1);
  const double factor = ramp * height(cycle);
  std::vector<double> lrs;
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    lrs.push_back(base_lrs_[g] + (options_.max_lr[g] - base_lrs_[g]) * factor);
    if (options_.cycle_momentum)
      optimizer_.groups()[g].hyper[momentum_] =
          options_.max_momentum[g] -
          (options_.max_momentum[g] - options_.base_momentum[g]) * factor;
  }
  return lrs;
}

}  // namespace ds::optim
