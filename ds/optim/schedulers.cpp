// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/schedulers.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"

namespace ds::optim {
namespace {

constexpr double kPi = 3.14159265358979323846;

const std::vector<double>& entry(const SchedulerState& state, const std::string& name) {
  const auto found = state.find(name);
  DS_CHECK(found != state.end() && !found->second.empty(), KeyError,
           "scheduler: the state has no entry '", name, "'; it is another scheduler's");
  return found->second;
}

double cosine(double from, double to, double part) {
  return to + (from - to) * (1 + std::cos(kPi * part)) / 2;
}

std::vector<LambdaLR::Lambda> for_groups(const Optimizer& optimizer,
                                         std::vector<LambdaLR::Lambda> lambdas) {
  const size_t groups = optimizer.groups().size();
  if (lambdas.size() == 1) lambdas.resize(groups, lambdas[0]);
  DS_CHECK(lambdas.size() == groups, ValueError, "scheduler: ", lambdas.size(), " functions for ",
           groups, " groups; give one, or one for each");
  return lambdas;
}

}  // namespace

// --- the base ---

LRScheduler::LRScheduler(Optimizer& optimizer, int64_t last_epoch)
    : optimizer_(optimizer), last_epoch_(last_epoch) {
  for (ParamGroup& group : optimizer_.groups()) {
    if (last_epoch == -1) group.hyper.try_emplace("initial_lr", group.at("lr"));
    DS_CHECK(group.hyper.count("initial_lr"), KeyError, "scheduler: last_epoch is ", last_epoch,
             " but a group has no 'initial_lr'; load the optimizer's state first");
    base_lrs_.push_back(group.at("initial_lr"));
  }
}

void LRScheduler::begin() {
  step_count_ = 0;
  initial_ = true;
  step();
  initial_ = false;
}

void LRScheduler::restart() {
  for (size_t g = 0; g < base_lrs_.size(); ++g) optimizer_.groups()[g].hyper["lr"] = base_lrs_[g];
  initial_ = true;
  move_to(0);
  initial_ = false;
}

void LRScheduler::step() {
  ++step_count_;
  move_to(last_epoch_ + 1);
}

void LRScheduler::move_to(int64_t epoch) {
  last_epoch_ = epoch;
  set_lrs(next_lrs());
}

std::vector<double> LRScheduler::group_lrs() const {
  std::vector<double> lrs;
  for (const ParamGroup& group : optimizer_.groups()) lrs.push_back(group.at("lr"));
  return lrs;
}

std::vector<double> LRScheduler::scaled(double factor) const {
  std::vector<double> lrs = group_lrs();
  for (double& lr : lrs) lr *= factor;
  return lrs;
}

void LRScheduler::set_lrs(const std::vector<double>& lrs) {
  DS_CHECK(lrs.size() == optimizer_.groups().size(), ValueError, "scheduler: ", type_name(),
           " gives ", lrs.size(), " rates for ", optimizer_.groups().size(),
           " groups; add groups before making a scheduler");
  for (size_t g = 0; g < lrs.size(); ++g) optimizer_.groups()[g].hyper["lr"] = lrs[g];
  last_lr_ = lrs;
}

SchedulerState LRScheduler::state_dict() const {
  return {{"last_epoch", {static_cast<double>(last_epoch_)}},
          {"_step_count", {static_cast<double>(step_count_)}},
          {"base_lrs", base_lrs_},
          {"_last_lr", last_lr_}};
}

void LRScheduler::load_state_dict(const SchedulerState& state) {
  const std::vector<double>& base = entry(state, "base_lrs");
  const std::vector<double>& last = entry(state, "_last_lr");
  const size_t groups = optimizer_.groups().size();
  DS_CHECK(base.size() == groups && last.size() == groups, ValueError,
           "scheduler: the state is of ", base.size(), " groups, the optimizer has ", groups);
  const double epoch = entry(state, "last_epoch")[0], count = entry(state, "_step_count")[0];
  base_lrs_ = base;
  last_lr_ = last;
  last_epoch_ = static_cast<int64_t>(epoch);
  step_count_ = static_cast<int64_t>(count);
}

// --- factors ---

StepLR::StepLR(Optimizer& optimizer, int64_t step_size, double gamma, int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), step_size_(step_size), gamma_(gamma) {
  DS_CHECK(step_size > 0, ValueError, "StepLR: step_size ", step_size, " must be positive");
  begin();
}

std::vector<double> StepLR::next_lrs() {
  return scaled(last_epoch_ > 0 && last_epoch_ % step_size_ == 0 ? gamma_ : 1.0);
}

MultiStepLR::MultiStepLR(Optimizer& optimizer, const std::vector<int64_t>& milestones, double gamma,
                         int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), gamma_(gamma) {
  for (const int64_t milestone : milestones) ++milestones_[milestone];
  begin();
}

std::vector<double> MultiStepLR::next_lrs() {
  const auto found = milestones_.find(last_epoch_);
  return scaled(found == milestones_.end() ? 1.0 : std::pow(gamma_, found->second));
}

ConstantLR::ConstantLR(Optimizer& optimizer, double factor, int64_t total_iters, int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), factor_(factor), total_iters_(total_iters) {
  DS_CHECK(factor >= 0 && factor <= 1, ValueError, "ConstantLR: factor ", factor,
           " must be between 0 and 1");
  begin();
}

std::vector<double> ConstantLR::next_lrs() {
  if (last_epoch_ == 0) return scaled(factor_);
  if (last_epoch_ != total_iters_) return group_lrs();
  // A factor of 0 can not be divided out again.
  return factor_ == 0 ? base_lrs_ : scaled(1 / factor_);
}

LinearLR::LinearLR(Optimizer& optimizer, double start_factor, double end_factor,
                   int64_t total_iters, int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch),
      start_factor_(start_factor),
      end_factor_(end_factor),
      total_iters_(total_iters) {
  DS_CHECK(start_factor > 0 && start_factor <= 1, ValueError, "LinearLR: start_factor ",
           start_factor, " must be above 0 and at most 1");
  DS_CHECK(end_factor >= 0 && end_factor <= 1, ValueError, "LinearLR: end_factor ", end_factor,
           " must be between 0 and 1");
  begin();
}

std::vector<double> LinearLR::next_lrs() {
  if (last_epoch_ == 0) return scaled(start_factor_);
  if (initial_ || last_epoch_ > total_iters_) return group_lrs();
  // The quotient of two neighbouring points of the line, over their common denominator.
  const double rise = end_factor_ - start_factor_;
  const double before = static_cast<double>(total_iters_) * start_factor_ +
                        static_cast<double>(last_epoch_ - 1) * rise;
  return scaled(1 + rise / before);
}

ExponentialLR::ExponentialLR(Optimizer& optimizer, double gamma, int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), gamma_(gamma) {
  begin();
}

std::vector<double> ExponentialLR::next_lrs() { return scaled(initial_ ? 1.0 : gamma_); }

PolynomialLR::PolynomialLR(Optimizer& optimizer, int64_t total_iters, double power,
                           int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), total_iters_(total_iters), power_(power) {
  begin();
}

std::vector<double> PolynomialLR::next_lrs() {
  if (initial_ || last_epoch_ > total_iters_) return group_lrs();
  const double total = static_cast<double>(total_iters_), epoch = static_cast<double>(last_epoch_);
  return scaled(std::pow((1 - epoch / total) / (1 - (epoch - 1) / total), power_));
}

// --- cosines ---

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min,
                                     int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), t_max_(t_max), eta_min_(eta_min) {
  DS_CHECK(t_max > 0, ValueError, "CosineAnnealingLR: T_max ", t_max, " must be positive");
  begin();
}

std::vector<double> CosineAnnealingLR::next_lrs() {
  std::vector<double> lrs = group_lrs();
  if (initial_) return lrs;
  const double period = static_cast<double>(t_max_), epoch = static_cast<double>(last_epoch_);
  const double now = 1 + std::cos(kPi * epoch / period);
  const double before = 1 + std::cos(kPi * (epoch - 1) / period);
  for (size_t g = 0; g < lrs.size(); ++g) {
    if (step_count_ == 1 && last_epoch_ > 0)
      lrs[g] = cosine(base_lrs_[g], eta_min_, epoch / period);
    else if ((last_epoch_ - 1 - t_max_) % (2 * t_max_) == 0)
      // The wave's lowest point: a quotient would divide by zero.
      lrs[g] += (base_lrs_[g] - eta_min_) * (1 - std::cos(kPi / period)) / 2;
    else
      lrs[g] = now / before * (lrs[g] - eta_min_) + eta_min_;
  }
  return lrs;
}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(Optimizer& optimizer, int64_t t_0,
                                                         int64_t t_mult, double eta_min,
                                                         int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch),
      t_0_(t_0),
      t_mult_(t_mult),
      eta_min_(eta_min),
      t_cur_(static_cast<double>(last_epoch)),
      t_i_(static_cast<double>(t_0)) {
  DS_CHECK(t_0 > 0 && t_mult > 0, ValueError, "CosineAnnealingWarmRestarts: T_0 ", t_0,
           " and T_mult ", t_mult, " must be positive");
  begin();
}

std::vector<double> CosineAnnealingWarmRestarts::next_lrs() {
  std::vector<double> lrs;
  for (const double base : base_lrs_) lrs.push_back(cosine(base, eta_min_, t_cur_ / t_i_));
  return lrs;
}

void CosineAnnealingWarmRestarts::step() {
  ++step_count_;
  if (last_epoch_ < 0) return step_to(0);
  t_cur_ += 1;
  if (t_cur_ >= t_i_) {
    t_cur_ = std::fmod(t_cur_, t_i_);
    t_i_ *= static_cast<double>(t_mult_);
  }
  LRScheduler::move_to(last_epoch_ + 1);
}

void CosineAnnealingWarmRestarts::step_to(double epoch) {
  DS_CHECK(epoch >= 0, ValueError, "CosineAnnealingWarmRestarts: epoch ", epoch, " is negative");
  // Subtracting whole periods is exact where a logarithm may round to the wrong one.
  t_cur_ = epoch;
  t_i_ = static_cast<double>(t_0_);
  if (t_mult_ == 1) t_cur_ = std::fmod(epoch, t_i_);
  while (t_cur_ >= t_i_) {
    t_cur_ -= t_i_;
    t_i_ *= static_cast<double>(t_mult_);
  }
  LRScheduler::move_to(static_cast<int64_t>(std::floor(epoch)));
}

SchedulerState CosineAnnealingWarmRestarts::state_dict() const {
  SchedulerState state = LRScheduler::state_dict();
  state["T_cur"] = {t_cur_};
  state["T_i"] = {t_i_};
  return state;
}

void CosineAnnealingWarmRestarts::load_state_dict(const SchedulerState& state) {
  const double t_cur = entry(state, "T_cur")[0], t_i = entry(state, "T_i")[0];
  LRScheduler::load_state_dict(state);
  t_cur_ = t_cur;
  t_i_ = t_i;
}

// --- functions ---

LambdaLR::LambdaLR(Optimizer& optimizer, std::vector<Lambda> lambdas, int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), lambdas_(for_groups(optimizer, std::move(lambdas))) {
  begin();
}

LambdaLR::LambdaLR(Optimizer& optimizer, const Lambda& lambda, int64_t last_epoch)
    : LambdaLR(optimizer, std::vector<Lambda>{lambda}, last_epoch) {}

std::vector<double> LambdaLR::next_lrs() {
  std::vector<double> lrs;
  for (size_t g = 0; g < base_lrs_.size(); ++g)
    lrs.push_back(base_lrs_[g] * lambdas_[g](last_epoch_));
  return lrs;
}

MultiplicativeLR::MultiplicativeLR(Optimizer& optimizer, std::vector<LambdaLR::Lambda> lambdas,
                                   int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch), lambdas_(for_groups(optimizer, std::move(lambdas))) {
  begin();
}

std::vector<double> MultiplicativeLR::next_lrs() {
  std::vector<double> lrs = group_lrs();
  if (!initial_)
    for (size_t g = 0; g < lrs.size(); ++g) lrs[g] *= lambdas_[g](last_epoch_);
  return lrs;
}

LRSchedulerPtr constant_with_warmup(Optimizer& optimizer, int64_t warmup) {
  const double up = static_cast<double>(std::max<int64_t>(1, warmup));
  return std::make_shared<LambdaLR>(optimizer, [up, warmup](int64_t step) {
    return step < warmup ? static_cast<double>(step) / up : 1.0;
  });
}

LRSchedulerPtr linear_with_warmup(Optimizer& optimizer, int64_t warmup, int64_t total) {
  const double up = static_cast<double>(std::max<int64_t>(1, warmup));
  const double down = static_cast<double>(std::max<int64_t>(1, total - warmup));
  return std::make_shared<LambdaLR>(optimizer, [=](int64_t step) {
    if (step < warmup) return static_cast<double>(step) / up;
    return std::max(0.0, static_cast<double>(total - step) / down);
  });
}

LRSchedulerPtr cosine_with_warmup(Optimizer& optimizer, int64_t warmup, int64_t total,
                                  double cycles) {
  const double up = static_cast<double>(std::max<int64_t>(1, warmup));
  const double down = static_cast<double>(std::max<int64_t>(1, total - warmup));
  return std::make_shared<LambdaLR>(optimizer, [=](int64_t step) {
    if (step < warmup) return static_cast<double>(step) / up;
    const double part = static_cast<double>(step - warmup) / down;
    return std::max(0.0, 0.5 * (1 + std::cos(kPi * 2 * cycles * part)));
  });
}

}  // namespace ds::optim
