// SPDX-License-Identifier: Apache-2.0
// Schedulers that move the rate up and down and the momentum against it, as PyTorch's: one-cycle
// (Smith and Topin, "Super-Convergence", 2018) and cyclical rates (Smith, 2017).
#pragma once

#include <functional>

#include "ds/optim/schedulers.h"

namespace ds::optim {

/// Lists have one number for all groups or one for each.
struct OneCycleOptions {
  std::vector<double> max_lr;
  int64_t total_steps = 0;
  double pct_start = 0.3;
  bool linear = false;  // else a half cosine
  bool cycle_momentum = true;
  std::vector<double> base_momentum = {0.85};
  std::vector<double> max_momentum = {0.95};
  double div_factor = 25.0;
  double final_div_factor = 1e4;
  bool three_phase = false;
  int64_t last_epoch = -1;
};

/// Up from max_lr / div_factor to max_lr, then down to the end; step() after every batch.
class OneCycleLR : public LRScheduler {
 public:
  /// ValueError when an option makes no sense or the optimizer has neither momentum nor beta1 to
  /// cycle.
  OneCycleLR(Optimizer& optimizer, OneCycleOptions options);
  std::string type_name() const override { return "OneCycleLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  enum class Level { initial, max, min };
  struct Phase {
    double end;
    Level from, to;
  };
  double lr_at(Level level, size_t group) const;
  double anneal(double from, double to, double part) const;

  OneCycleOptions options_;
  std::vector<Phase> phases_;
  std::string momentum_;  // the hyperparameter that cycles
};

struct CyclicOptions {
  std::vector<double> base_lr;
  std::vector<double> max_lr;
  double step_size_up = 2000;
  double step_size_down = -1;  // as up when negative
  enum class Mode { triangular, triangular2, exp_range } mode = Mode::triangular;
  double gamma = 1.0;
  std::function<double(double)> scale;  // replaces the mode's
  bool scale_by_cycle = true;           // its argument: the cycle, else the iteration
  bool cycle_momentum = true;
  std::vector<double> base_momentum = {0.8};
  std::vector<double> max_momentum = {0.9};
  int64_t last_epoch = -1;
};

/// Triangles between base_lr and max_lr.
class CyclicLR : public LRScheduler {
 public:
  CyclicLR(Optimizer& optimizer, CyclicOptions options);
  std::string type_name() const override { return "CyclicLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  double height(double cycle) const;

  CyclicOptions options_;
  double total_, up_part_;
  std::string momentum_;
};

}  // namespace ds::optim
