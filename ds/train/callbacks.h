// SPDX-License-Identifier: Apache-2.0
// Callbacks that many runs want: stop when nothing improves, keep the best weights.
#pragma once

#include <string>

#include "ds/io/tensorboard.h"
#include "ds/train/trainer.h"

namespace ds::train {

/// The best value of a monitored number so far.
class BestValue {
 public:
  BestValue(std::string monitor, bool maximize, double min_delta);
  /// Takes the epoch's value; true when it is better by more than min_delta.
  bool update(const EpochLog& log);
  double best() const { return best_; }
  void set_best(double best) { best_ = best; }
  const std::string& monitor() const { return monitor_; }

 private:
  std::string monitor_;
  bool maximize_;
  double min_delta_, best_;
};

/// Ends the run when `monitor` has not improved for `patience` epochs.
class EarlyStopping final : public Callback {
 public:
  explicit EarlyStopping(const std::string& monitor = "val_loss", int64_t patience = 3,
                         bool maximize = false, double min_delta = 0);
  void on_epoch_end(MixedPrecisionTrainer& trainer, const EpochLog& log) override;
  std::vector<double> state() const override;
  void set_state(const std::vector<double>& state) override;
  double best() const { return best_.best(); }

 private:
  BestValue best_;
  int64_t patience_;
  int64_t bad_epochs_ = 0;
};

/// Writes the model's weights, as safetensors, when `monitor` improves, or after every epoch when
/// it is empty; "{epoch}" in the path becomes the epoch's number, from 1.
class ModelCheckpoint final : public Callback {
 public:
  explicit ModelCheckpoint(std::string path, const std::string& monitor = "val_loss",
                           bool maximize = false);
  void on_epoch_end(MixedPrecisionTrainer& trainer, const EpochLog& log) override;
  std::vector<double> state() const override { return {best_.best()}; }
  void set_state(const std::vector<double>& state) override;
  double best() const { return best_.best(); }

 private:
  std::string path_;
  BestValue best_;
};

/// Writes loss, rate and scale of every step and the values of every epoch for TensorBoard.
class TensorBoard final : public Callback {
 public:
  /// IOError when the folder can not be written.
  explicit TensorBoard(const std::string& folder) : writer_(folder) {}
  void on_fit_begin(MixedPrecisionTrainer& trainer) override;
  void on_step_end(MixedPrecisionTrainer& trainer, const StepLog& log) override;
  void on_epoch_end(MixedPrecisionTrainer& trainer, const EpochLog& log) override;
  void on_fit_end(MixedPrecisionTrainer& trainer) override;
  const std::string& path() const { return writer_.path(); }

 private:
  io::EventWriter writer_;
};

}  // namespace ds::train
