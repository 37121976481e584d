// SPDX-License-Identifier: Apache-2.0
#include "ds/optim/schedulers_compose.h"

#include <algorithm>
#include <limits>

#include "ds/base/error.h"

namespace ds::optim {
namespace {

void check_schedulers(const Optimizer& optimizer, const std::vector<LRSchedulerPtr>& schedulers,
                      const char* who) {
  for (const LRSchedulerPtr& scheduler : schedulers) {
    DS_CHECK(&scheduler->optimizer() == &optimizer, ValueError, who, ": a ", scheduler->type_name(),
             " is over another optimizer");
    DS_CHECK(!dynamic_cast<const ReduceLROnPlateau*>(scheduler.get()), ValueError, who,
             ": ReduceLROnPlateau needs a metric at each step; step it on its own");
  }
}

Optimizer& optimizer_of(const std::vector<LRSchedulerPtr>& schedulers) {
  DS_CHECK(!schedulers.empty(), ValueError, "ChainedScheduler: there is no scheduler to chain");
  return schedulers[0]->optimizer();
}

void add_nested(SchedulerState& state, const std::vector<LRSchedulerPtr>& schedulers) {
  for (size_t i = 0; i < schedulers.size(); ++i)
    for (auto& [name, values] : schedulers[i]->state_dict()) state[str(i, ".", name)] = values;
}

void load_nested(const SchedulerState& state, const std::vector<LRSchedulerPtr>& schedulers) {
  for (size_t i = 0; i < schedulers.size(); ++i) {
    const std::string prefix = str(i, ".");
    SchedulerState own;
    for (const auto& [name, values] : state)
      if (name.compare(0, prefix.size(), prefix) == 0) own[name.substr(prefix.size())] = values;
    schedulers[i]->load_state_dict(own);
  }
}

}  // namespace

// --- in turn ---

SequentialLR::SequentialLR(Optimizer& optimizer, std::vector<LRSchedulerPtr> schedulers,
                           std::vector<int64_t> milestones, int64_t last_epoch)
    : LRScheduler(optimizer, last_epoch),
      schedulers_(std::move(schedulers)),
      milestones_(std::move(milestones)) {
  DS_CHECK(milestones_.size() + 1 == schedulers_.size(), ValueError,
           "SequentialLR: ", schedulers_.size(), " schedulers need ", schedulers_.size(),
           " - 1 milestones, there are ", milestones_.size());
  check_schedulers(optimizer, schedulers_, "SequentialLR");
  last_epoch_ = last_epoch + 1;
  // Each scheduler has set its first rates already: only one of them is to count.
  for (const LRSchedulerPtr& scheduler : schedulers_) scheduler->undo();
  for (size_t g = 0; g < base_lrs_.size(); ++g) optimizer.groups()[g].hyper["lr"] = base_lrs_[g];
  schedulers_[0]->begin();
  last_lr_ = schedulers_[0]->last_lr();
}

size_t SequentialLR::turn() const {
  return static_cast<size_t>(std::upper_bound(milestones_.begin(), milestones_.end(), last_epoch_) -
                             milestones_.begin());
}

void SequentialLR::step() {
  ++step_count_;
  ++last_epoch_;
  const size_t index = turn();
  LRScheduler& scheduler = *schedulers_[index];
  if (index > 0 && milestones_[index - 1] == last_epoch_)
    scheduler.restart();
  else
    scheduler.step();
  last_lr_ = scheduler.last_lr();
}

void SequentialLR::undo() {
  --last_epoch_;
  for (const LRSchedulerPtr& scheduler : schedulers_) scheduler->undo();
}

void SequentialLR::restart() {
  last_epoch_ = 0;
  schedulers_[0]->restart();
  last_lr_ = schedulers_[0]->last_lr();
}

SchedulerState SequentialLR::state_dict() const {
  SchedulerState state = LRScheduler::state_dict();
  add_nested(state, schedulers_);
  return state;
}

void SequentialLR::load_state_dict(const SchedulerState& state) {
  load_nested(state, schedulers_);
  LRScheduler::load_state_dict(state);
}

// --- together ---

ChainedScheduler::ChainedScheduler(std::vector<LRSchedulerPtr> schedulers)
    : LRScheduler(optimizer_of(schedulers), -1), schedulers_(std::move(schedulers)) {
  check_schedulers(optimizer_, schedulers_, "ChainedScheduler");
  last_epoch_ = 0;
  last_lr_ = group_lrs();
}

void ChainedScheduler::step() {
  ++step_count_;
  ++last_epoch_;
  for (const LRSchedulerPtr& scheduler : schedulers_)
    // Within begin() after undo() the parts set their own first rates.
    initial_ ? scheduler->begin() : scheduler->step();
  last_lr_ = group_lrs();
}

void ChainedScheduler::undo() {
  --last_epoch_;
  for (const LRSchedulerPtr& scheduler : schedulers_) scheduler->undo();
}

void ChainedScheduler::restart() {
  last_epoch_ = 0;
  for (size_t g = 0; g < base_lrs_.size(); ++g) optimizer_.groups()[g].hyper["lr"] = base_lrs_[g];
  for (const LRSchedulerPtr& scheduler : schedulers_) {
    while (scheduler->last_epoch() >= 0) scheduler->undo();
    scheduler->begin();
  }
  last_lr_ = group_lrs();
}

SchedulerState ChainedScheduler::state_dict() const {
  SchedulerState state = LRScheduler::state_dict();
  add_nested(state, schedulers_);
  return state;
}

void ChainedScheduler::load_state_dict(const SchedulerState& state) {
  load_nested(state, schedulers_);
  LRScheduler::load_state_dict(state);
}

// --- by a metric ---

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, PlateauOptions options)
    : LRScheduler(optimizer, -1), options_(std::move(options)) {
  DS_CHECK(options_.factor < 1, ValueError, "ReduceLROnPlateau: factor ", options_.factor,
           " must be below 1");
  const size_t groups = optimizer.groups().size();
  if (options_.min_lr.size() == 1) options_.min_lr.resize(groups, options_.min_lr[0]);
  DS_CHECK(options_.min_lr.size() == groups, ValueError, "ReduceLROnPlateau: min_lr has ",
           options_.min_lr.size(), " values for ", groups, " groups");
  best_ = (options_.maximize ? -1 : 1) * std::numeric_limits<double>::infinity();
  last_epoch_ = 0;
  last_lr_ = group_lrs();
}

void ReduceLROnPlateau::step() {
  DS_CHECK(false, StateError, "ReduceLROnPlateau: step() needs the metric it watches");
}

bool ReduceLROnPlateau::is_better(double value) const {
  const double sign = options_.maximize ? 1 : -1;
  const double bar = options_.absolute ? best_ + sign * options_.threshold
                                       : best_ * (1 + sign * options_.threshold);
  return options_.maximize ? value > bar : value < bar;
}

void ReduceLROnPlateau::step(double metric) {
  ++step_count_;
  ++last_epoch_;
  if (is_better(metric)) {
    best_ = metric;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  if (cooldown_ > 0) {
    --cooldown_;
    bad_epochs_ = 0;
  }
  if (bad_epochs_ > options_.patience) {
    set_lrs(next_lrs());
    cooldown_ = options_.cooldown;
    bad_epochs_ = 0;
  }
  last_lr_ = group_lrs();
}

std::vector<double> ReduceLROnPlateau::next_lrs() {
  std::vector<double> lrs = group_lrs();
  for (size_t g = 0; g < lrs.size(); ++g) {
    const double lower = std::max(lrs[g] * options_.factor, options_.min_lr[g]);
    if (lrs[g] - lower > options_.eps) lrs[g] = lower;
  }
  return lrs;
}

SchedulerState ReduceLROnPlateau::state_dict() const {
  SchedulerState state = LRScheduler::state_dict();
  state["best"] = {best_};
  state["num_bad_epochs"] = {static_cast<double>(bad_epochs_)};
  state["cooldown_counter"] = {static_cast<double>(cooldown_)};
  return state;
}

void ReduceLROnPlateau::load_state_dict(const SchedulerState& state) {
  for (const char* name : {"best", "num_bad_epochs", "cooldown_counter"})
    DS_CHECK(state.count(name) && !state.at(name).empty(), KeyError,
             "ReduceLROnPlateau: the state has no entry '", name, "'");
  LRScheduler::load_state_dict(state);
  best_ = state.at("best")[0];
  bad_epochs_ = static_cast<int64_t>(state.at("num_bad_epochs")[0]);
  cooldown_ = static_cast<int64_t>(state.at("cooldown_counter")[0]);
}

}  // namespace ds::optim
