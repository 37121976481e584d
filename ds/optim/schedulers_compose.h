// SPDX-License-Identifier: Apache-2.0
// Schedulers made of schedulers, and the one that watches a metric.
#pragma once

#include "ds/optim/schedulers.h"

namespace ds::optim {

/// One scheduler after another: number i runs from milestone i - 1 on.
class SequentialLR : public LRScheduler {
 public:
  /// ValueError unless there is one scheduler more than milestones, all over `optimizer`.
  SequentialLR(Optimizer& optimizer, std::vector<LRSchedulerPtr> schedulers,
               std::vector<int64_t> milestones, int64_t last_epoch = -1);
  std::string type_name() const override { return "SequentialLR"; }
  void step() override;
  SchedulerState state_dict() const override;
  void load_state_dict(const SchedulerState& state) override;

 protected:
  std::vector<double> next_lrs() override { return group_lrs(); }
  void undo() override;
  void restart() override;

 private:
  size_t turn() const;
  std::vector<LRSchedulerPtr> schedulers_;
  std::vector<int64_t> milestones_;
};

/// All of them at every step: their factors multiply.
class ChainedScheduler : public LRScheduler {
 public:
  /// ValueError when there is none or they have several optimizers.
  explicit ChainedScheduler(std::vector<LRSchedulerPtr> schedulers);
  std::string type_name() const override { return "ChainedScheduler"; }
  void step() override;
  SchedulerState state_dict() const override;
  void load_state_dict(const SchedulerState& state) override;

 protected:
  std::vector<double> next_lrs() override { return group_lrs(); }
  void undo() override;
  void restart() override;

 private:
  std::vector<LRSchedulerPtr> schedulers_;
};

struct PlateauOptions {
  bool maximize = false;  // mode "max": larger is better
  double factor = 0.1;
  int64_t patience = 10;  // epochs without a better value that are still accepted
  double threshold = 1e-4;
  bool absolute = false;  // threshold_mode "abs"
  int64_t cooldown = 0;
  std::vector<double> min_lr = {0.0};
  double eps = 1e-8;
};

/// Times `factor` when the metric has not improved for more than `patience` epochs.
class ReduceLROnPlateau : public LRScheduler {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, PlateauOptions options = {});
  std::string type_name() const override { return "ReduceLROnPlateau"; }
  /// StateError: this scheduler needs the metric.
  void step() override;
  void step(double metric);
  double best() const { return best_; }
  int64_t bad_epochs() const { return bad_epochs_; }
  SchedulerState state_dict() const override;
  void load_state_dict(const SchedulerState& state) override;

 protected:
  std::vector<double> next_lrs() override;

 private:
  bool is_better(double value) const;
  PlateauOptions options_;
  double best_;
  int64_t bad_epochs_ = 0;
  int64_t cooldown_ = 0;
};

}  // namespace ds::optim
