// SPDX-License-Identifier: Apache-2.0
// MixedPrecisionTrainer: the training loop. 16-bit contractions with FP32 master weights and a
// dynamic loss scale, metrics, validation, accumulation, clipping, schedules, checkpoints.
//
// The loop never waits for the step it has just recorded: a step's loss, scale and skip count come
// back while later steps are recorded, so recording overlaps execution. Callbacks, the NaN check
// and the progress bar therefore see a step up to kLag steps later.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ds/base/error.h"
#include "ds/nn/module.h"
#include "ds/optim/schedulers.h"
#include "ds/train/batch_source.h"
#include "ds/train/grad_scaler.h"
#include "ds/train/interrupt.h"
#include "ds/train/metrics.h"
#include "ds/train/precision.h"
#include "ds/train/progress.h"

namespace ds::train {

class MixedPrecisionTrainer;

/// A run whose loss or gradients stay infinite or NaN.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// One optimizer step, when its values have arrived.
struct StepLog {
  int64_t step;  // over all epochs, from 1
  double loss;
  double lr;  // of the first group
  double loss_scale;
  int64_t skipped;  // steps without effect so far
};

struct EpochLog {
  int64_t epoch = 0;   // from 0
  NamedValues values;  // loss and metrics, the validation's with the prefix "val_"
  int64_t samples = 0;
  double seconds = 0;
  /// KeyError naming what there is.
  double at(const std::string& name) const;
};

class Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_fit_begin(MixedPrecisionTrainer&) {}
  virtual void on_epoch_begin(MixedPrecisionTrainer&, int64_t /*epoch*/) {}
  virtual void on_step_end(MixedPrecisionTrainer&, const StepLog&) {}
  virtual void on_epoch_end(MixedPrecisionTrainer&, const EpochLog&) {}
  virtual void on_fit_end(MixedPrecisionTrainer&) {}
  /// Numbers that a resumed run needs; a checkpoint keeps them by the callback's position.
  virtual std::vector<double> state() const { return {}; }
  virtual void set_state(const std::vector<double>& /*state*/) {}
};
using CallbackPtr = std::shared_ptr<Callback>;

/// What the model made of a batch. Metrics see output and target, when defined.
struct StepResult {
  Tensor loss;  // 0-d
  Tensor output;
  Tensor target;
};

struct TrainerOptions {
  nn::ModulePtr model;
  std::shared_ptr<optim::Optimizer> optimizer;
  std::vector<std::string> fp16_layers = {"conv", "linear"};
  std::optional<DType> dtype;  // the 16-bit type; by the processor when not given
  double loss_scale = 128;     // at the start; halves on overflow
  int64_t growth_interval = 2000;
  /// Of the model's output for batch[0] and the target batch[1]; cross entropy when empty.
  std::function<Tensor(const Tensor& output, const Tensor& target)> loss;
  /// Replaces model(batch[0]) and `loss` for batches of another form.
  std::function<StepResult(const std::vector<Tensor>& batch)> forward;
  std::vector<MetricPtr> metrics;
  std::vector<CallbackPtr> callbacks;
  optim::LRSchedulerPtr scheduler;
  bool schedule_epochs = false;       // the scheduler counts epochs, not steps
  std::string monitor;                // what ReduceLROnPlateau watches; val_loss, else loss
  int64_t gradient_accumulation = 1;  // batches per optimizer step
  double max_grad_norm = 0;           // 0 does not clip
  std::string checkpoint_dir;         // empty writes nothing
  bool checkpoint_frozen = true;      // checkpoints hold parameters that are not trained too
  int64_t checkpoint_steps = 0;       // also every so many steps
  bool resume = false;                // go on from the folder's checkpoint, when there is one
  std::FILE* progress = stderr;       // null shows nothing
  std::optional<bool> terminal;       // whether `progress` is one; found out when not given
  std::function<void(const std::string&)> write;  // gets what is shown, instead of `progress`
  std::function<void()> poll;                     // called at every batch; may throw to end the run
};

class MixedPrecisionTrainer {
 public:
  /// ValueError when there is no model or optimizer, or a number makes no sense.
  explicit MixedPrecisionTrainer(TrainerOptions options);

  /// Trains up to `epochs` epochs and returns one log for each that was run. ValueError when the
  /// source gives no batch; NonFiniteError, naming the step, when the loss or the gradients stay
  /// infinite or NaN although the loss scale went down (at once where nothing is scaled). Ctrl-C or
  /// stop() ends the run after the current step, with a checkpoint where a folder was given.
  std::vector<EpochLog> fit(BatchSource& train, int64_t epochs, BatchSource* validation = nullptr);
  /// Loss and metrics over a source, with the model in eval mode, without gradients.
  NamedValues evaluate(BatchSource& source);

  /// Bytes that forward and backward pass over such a batch need at their peak, planned and not run
  /// (ds/tensor/rehearse.h); the optimizer's state comes on top. `exact`: for the device of the
  /// parameters instead of the null backend.
  size_t planned_peak(const std::vector<Tensor>& batch, bool exact);
  /// Batches per optimizer step from the next fit() on; ValueError below 1.
  void set_gradient_accumulation(int64_t batches);

  /// Ends fit() after the current step; safe in a signal handler and from other threads.
  void stop() { stop_.store(true, std::memory_order_relaxed); }
  /// The last fit() ended by Ctrl-C or stop().
  bool interrupted() const { return interrupted_; }

  const Precision& precision() const { return precision_; }
  double loss_scale() const { return scaler_.get_scale(); }
  int64_t skipped_steps() const { return scaler_.skipped_steps(); }
  int64_t step_count() const { return step_; }
  int64_t epoch() const { return epoch_; }
  nn::Module& model() { return *options_.model; }
  optim::Optimizer& optimizer() { return *options_.optimizer; }
  const TrainerOptions& options() const { return options_; }
  void add_callback(CallbackPtr callback) { options_.callbacks.push_back(std::move(callback)); }
  /// A line above the progress bar; nothing where progress is off.
  void say(const std::string& text);

  /// Everything a run needs to go on exactly: weights, optimizer, scale, schedule, random numbers,
  /// position in the data. The file is written in one piece.
  void save_checkpoint(const std::string& path) const;
  /// Nothing changes when it throws because of what the file holds.
  void load_checkpoint(const std::string& path);
  /// checkpoint_dir/last.safetensors.
  std::string checkpoint_path() const;

 private:
  /// The model's state in two parts: what a checkpoint holds, and what it leaves out.
  std::pair<nn::StateDict, nn::StateDict> split_state() const;
  struct RunScope;
  static constexpr size_t kLag = 2;
  struct Pending {
    Tensor stats;  // f32: loss, scale, skipped steps
    int64_t step;
    int64_t samples;
    double lr;
  };

  StepResult forward(const std::vector<Tensor>& batch) const;
  void begin_epoch();
  void reset_epoch();
  /// False when the run is to end before the epoch does.
  bool run_epoch(BatchSource& source);
  void run_batch(const std::vector<Tensor>& batch, int64_t group);
  void step();
  /// Takes in the values of finished steps until `keep` are left.
  void read_stats(size_t keep);
  void check_finite(const StepLog& log);
  bool finish_epoch(BatchSource* validation, std::vector<EpochLog>& history);
  void schedule_epoch(const EpochLog& log);
  bool stopping() const;
  bool plateau() const;
  bool has_checkpoint() const;
  void resume();
  void checkpoint();
  ProgressState progress_state(NamedValues values) const;
  double mean_loss() const;

  TrainerOptions options_;
  Precision precision_;
  GradScaler scaler_;
  std::unique_ptr<Progress> progress_;
  std::atomic<bool> stop_{false};
  bool interrupted_ = false;

  // Where the run is; kept in checkpoints.
  int64_t epochs_ = 0;    // of this fit()
  int64_t epoch_ = 0;     // of this fit()
  int64_t batch_ = 0;     // given in this epoch
  bool trained_ = false;  // all batches of this epoch were given
  int64_t step_ = 0;
  int64_t samples_ = 0;       // of this epoch
  double loss_sum_ = 0;       // over this epoch's samples with a finite loss
  int64_t loss_samples_ = 0;  // how many those are
  bool continues_ = false;    // fit() goes on where it was interrupted or loaded

  BatchSource* source_ = nullptr;        // while fit() runs
  SourcePosition position_;              // of the source when it ended
  InterruptScope* interrupt_ = nullptr;  // while fit() runs
  int64_t in_group_ = 0;                 // batches since the last step
  int64_t group_samples_ = 0;
  Tensor group_loss_;
  std::deque<Pending> pending_;
  int64_t bad_since_ = 0;  // first of the last steps that had no effect, 0 when the last had
  int64_t seen_skipped_ = 0;
  std::chrono::steady_clock::time_point epoch_start_;
  std::optional<int64_t> batches_;  // of an epoch
};

}  // namespace ds::train
