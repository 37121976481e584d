// SPDX-License-Identifier: Apache-2.0
// Metrics of an epoch. update() records, so it becomes part of the step's plan and waits for
// nothing; only value() reads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ds/tensor/tensor.h"

namespace ds::train {

class Metric {
 public:
  virtual ~Metric() = default;
  virtual std::string name() const = 0;
  virtual void reset() = 0;
  virtual void update(const Tensor& output, const Tensor& target) = 0;
  /// The value so far; computes.
  virtual double value() const = 0;
  /// What update() changed, computed with the step and kept in checkpoints.
  virtual std::vector<Tensor> state() const = 0;
  virtual void set_state(const std::vector<Tensor>& state) = 0;
};
using MetricPtr = std::shared_ptr<Metric>;

/// Mean over samples of a function that gives one number for each sample or one for the batch.
class MeanMetric : public Metric {
 public:
  using Function = std::function<Tensor(const Tensor& output, const Tensor& target)>;
  MeanMetric(std::string name, Function function);
  std::string name() const override { return name_; }
  void reset() override;
  void update(const Tensor& output, const Tensor& target) override;
  double value() const override;
  std::vector<Tensor> state() const override { return {sums_}; }
  void set_state(const std::vector<Tensor>& state) override;

 private:
  std::string name_;
  Function function_;
  Tensor sums_;  // f64 [2]: the sum and how many it is of
};

/// Part of the samples whose largest logit is the target class. Logits are [N, C, ...] and classes
/// [N, ...]; [N] or [N, 1] logits are of two classes, split at 0.
MetricPtr accuracy();
/// Part of the samples whose target is among the k largest of [N, C] logits: "top5".
MetricPtr top_k_accuracy(int64_t k);
/// Mean absolute and mean squared difference.
MetricPtr mean_absolute_error();
MetricPtr mean_squared_error();
/// "accuracy", "top5" (any number), "mae", "mse"; KeyError for another name.
MetricPtr make_metric(const std::string& name);

}  // namespace ds::train
