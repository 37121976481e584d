// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedulers over an Optimizer's parameter groups, as torch.optim.lr_scheduler.
//
// A scheduler writes the groups' numbers; the optimizer hands them to each step's plan as inputs,
// so a new rate never makes a new plan. As in PyTorch every rule but the closed ones works on the
// rate the group has now, so schedulers over one optimizer multiply. The optimizer must outlive
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ds/optim/optimizer.h"

namespace ds::optim {

/// Stands in for an optimizer written in another language, whose groups' numbers are copied to and
/// fro: schedulers read and write numbers only.
class GroupNumbers final : public Optimizer {
 public:
  GroupNumbers(std::string type_name, std::vector<Hyper> numbers)
      : Optimizer({}), type_name_(std::move(type_name)) {
    for (Hyper& hyper : numbers) groups().push_back({{}, std::move(hyper)});
  }
  std::string type_name() const override { return type_name_; }

 protected:
  /// It has no parameters to update.
  Tensor update(const Tensor& param, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override {
    return param;
  }

 private:
  std::string type_name_;
};

/// What changes in a scheduler while it runs; its arguments are not part of it. Nested schedulers
/// use keys such as "0.last_epoch".
using SchedulerState = std::map<std::string, std::vector<double>>;

class LRScheduler {
 public:
  virtual ~LRScheduler() = default;
  LRScheduler(const LRScheduler&) = delete;
  LRScheduler& operator=(const LRScheduler&) = delete;

  virtual std::string type_name() const = 0;
  /// Sets the rates of the next epoch (or step, whichever the user counts).
  virtual void step();
  /// Rates of all groups after the last step().
  const std::vector<double>& last_lr() const { return last_lr_; }
  /// Rates the groups had before any scheduler.
  const std::vector<double>& base_lrs() const { return base_lrs_; }
  int64_t last_epoch() const { return last_epoch_; }
  Optimizer& optimizer() const { return optimizer_; }

  virtual SchedulerState state_dict() const;
  /// KeyError or ValueError when the state is another scheduler's. The rates themselves are the
  /// optimizer's state.
  virtual void load_state_dict(const SchedulerState& state);

 protected:
  /// `last_epoch` -1 starts; another value continues an optimizer whose state was loaded (KeyError
  /// when its groups have no initial_lr).
  LRScheduler(Optimizer& optimizer, int64_t last_epoch);
  /// Sets the first rates; every constructor of a final class ends with it.
  void begin();
  /// Rates for last_epoch_, one per group.
  virtual std::vector<double> next_lrs() = 0;
  /// Moves to an epoch without counting a step.
  virtual void move_to(int64_t epoch);
  /// Takes back the step that begin() made, for a scheduler that starts later.
  virtual void undo() { --last_epoch_; }
  /// Starts over from the base rates, for a scheduler whose turn comes.
  virtual void restart();

  std::vector<double> group_lrs() const;
  /// Every group's rate now times a factor.
  std::vector<double> scaled(double factor) const;
  void set_lrs(const std::vector<double>& lrs);

  Optimizer& optimizer_;
  std::vector<double> base_lrs_;
  std::vector<double> last_lr_;
  int64_t last_epoch_;
  int64_t step_count_ = 0;
  bool initial_ = false;  // inside begin()

 private:
  friend class SequentialLR;
  friend class ChainedScheduler;
};

using LRSchedulerPtr = std::shared_ptr<LRScheduler>;

/// Times gamma every step_size epochs.
class StepLR : public LRScheduler {
 public:
  StepLR(Optimizer& optimizer, int64_t step_size, double gamma = 0.1, int64_t last_epoch = -1);
  std::string type_name() const override { return "StepLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  int64_t step_size_;
  double gamma_;
};

/// Times gamma at each milestone (twice at one given twice).
class MultiStepLR : public LRScheduler {
 public:
  MultiStepLR(Optimizer& optimizer, const std::vector<int64_t>& milestones, double gamma = 0.1,
              int64_t last_epoch = -1);
  std::string type_name() const override { return "MultiStepLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  std::map<int64_t, int> milestones_;
  double gamma_;
};

/// Times `factor` for the first total_iters epochs.
class ConstantLR : public LRScheduler {
 public:
  explicit ConstantLR(Optimizer& optimizer, double factor = 1.0 / 3, int64_t total_iters = 5,
                      int64_t last_epoch = -1);
  std::string type_name() const override { return "ConstantLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  double factor_;
  int64_t total_iters_;
};

/// From start_factor to end_factor on a line over total_iters epochs: a warm-up.
class LinearLR : public LRScheduler {
 public:
  explicit LinearLR(Optimizer& optimizer, double start_factor = 1.0 / 3, double end_factor = 1.0,
                    int64_t total_iters = 5, int64_t last_epoch = -1);
  std::string type_name() const override { return "LinearLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  double start_factor_, end_factor_;
  int64_t total_iters_;
};

/// Times gamma every epoch.
class ExponentialLR : public LRScheduler {
 public:
  ExponentialLR(Optimizer& optimizer, double gamma, int64_t last_epoch = -1);
  std::string type_name() const override { return "ExponentialLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  double gamma_;
};

/// (1 - epoch / total_iters) to a power, 0 from total_iters on.
class PolynomialLR : public LRScheduler {
 public:
  explicit PolynomialLR(Optimizer& optimizer, int64_t total_iters = 5, double power = 1.0,
                        int64_t last_epoch = -1);
  std::string type_name() const override { return "PolynomialLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  int64_t total_iters_;
  double power_;
};

/// Half a cosine wave from the base rate to eta_min in t_max epochs, and back (Loshchilov and
/// Hutter, "SGDR", 2017).
class CosineAnnealingLR : public LRScheduler {
 public:
  CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min = 0.0,
                    int64_t last_epoch = -1);
  std::string type_name() const override { return "CosineAnnealingLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  int64_t t_max_;
  double eta_min_;
};

/// Cosine annealing that starts again after t_0 epochs, each period t_mult times the one before.
class CosineAnnealingWarmRestarts : public LRScheduler {
 public:
  CosineAnnealingWarmRestarts(Optimizer& optimizer, int64_t t_0, int64_t t_mult = 1,
                              double eta_min = 0.0, int64_t last_epoch = -1);
  std::string type_name() const override { return "CosineAnnealingWarmRestarts"; }
  void step() override;
  /// To a point in time that may lie inside an epoch: step_to(epoch + batch / batches).
  void step_to(double epoch);
  SchedulerState state_dict() const override;
  void load_state_dict(const SchedulerState& state) override;

 protected:
  std::vector<double> next_lrs() override;
  void move_to(int64_t epoch) override { step_to(static_cast<double>(epoch)); }

 private:
  int64_t t_0_, t_mult_;
  double eta_min_, t_cur_, t_i_;
};

/// Base rate times a function of the epoch: one for all groups or one for each.
class LambdaLR : public LRScheduler {
 public:
  using Lambda = std::function<double(int64_t epoch)>;
  LambdaLR(Optimizer& optimizer, std::vector<Lambda> lambdas, int64_t last_epoch = -1);
  LambdaLR(Optimizer& optimizer, const Lambda& lambda, int64_t last_epoch = -1);
  std::string type_name() const override { return "LambdaLR"; }

 protected:
  std::vector<double> next_lrs() override;

 private:
  std::vector<Lambda> lambdas_;
};

/// The rate now times a function of the epoch.
class MultiplicativeLR : public LRScheduler {
 public:
  MultiplicativeLR(Optimizer& optimizer, std::vector<LambdaLR::Lambda> lambdas,
                   int64_t last_epoch = -1);
  std::string type_name() const override { return "MultiplicativeLR"; }

 protected:
  std::vector<double> next_lrs() override;
  void restart() override { move_to(0); }

 private:
  std::vector<LambdaLR::Lambda> lambdas_;
};

// Warm-up over `warmup` steps, then ... (the shapes of transformers' schedules).
/// ... the base rate.
LRSchedulerPtr constant_with_warmup(Optimizer& optimizer, int64_t warmup);
/// ... a line to 0 at `total`.
LRSchedulerPtr linear_with_warmup(Optimizer& optimizer, int64_t warmup, int64_t total);
/// ... `cycles` cosine waves to 0 at `total`; half a wave goes down once.
LRSchedulerPtr cosine_with_warmup(Optimizer& optimizer, int64_t warmup, int64_t total,
                                  double cycles = 0.5);

}  // namespace ds::optim
