// SPDX-License-Identifier: Apache-2.0
#include "ds/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/optim/optimizers.h"
#include "ds/optim/schedulers_compose.h"
#include "ds/runtime/allocator.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"
#include "ds/tensor/rehearse.h"

namespace ds::train {
namespace {

// A scale that went down this far found no step that works: 2^-10, 17 halvings of 128.
constexpr double kMinScale = 1.0 / 1024;

GradScalerOptions scaler_options(const TrainerOptions& options, const Precision& precision) {
  GradScalerOptions scaler;
  scaler.init_scale = options.loss_scale;
  scaler.growth_interval = options.growth_interval;
  scaler.enabled = precision.autocast.has_value();
  return scaler;
}

std::vector<Tensor> parameters_of(const optim::Optimizer& optimizer) {
  std::vector<Tensor> params;
  for (const optim::ParamGroup& group : optimizer.groups())
    params.insert(params.end(), group.params.begin(), group.params.end());
  return params;
}

int64_t samples_in(const std::vector<Tensor>& batch) {
  return batch[0].dim() > 0 ? batch[0].size(0) : 1;
}

/// "loss 0.1, accuracy 0.9" as pairs, the loss first.
void add_metrics(const std::vector<MetricPtr>& metrics, NamedValues& values) {
  for (const MetricPtr& metric : metrics) values.emplace_back(metric->name(), metric->value());
}

}  // namespace

double EpochLog::at(const std::string& name) const {
  std::string known;
  for (const auto& [own, value] : values) {
    if (own == name) return value;
    known += " " + own;
  }
  DS_CHECK(false, KeyError, "MixedPrecisionTrainer: the epoch has no value '", name, "'; it has",
           known);
  return 0;
}

MixedPrecisionTrainer::MixedPrecisionTrainer(TrainerOptions options)
    : options_(std::move(options)),
      precision_(choose_precision(options_.fp16_layers, options_.dtype)),
      scaler_(scaler_options(options_, precision_)) {
  DS_CHECK(options_.model && options_.optimizer, ValueError,
           "MixedPrecisionTrainer: a model and an optimizer are needed");
  set_gradient_accumulation(options_.gradient_accumulation);
  DS_CHECK(options_.max_grad_norm >= 0 && options_.checkpoint_steps >= 0, ValueError,
           "MixedPrecisionTrainer: max_grad_norm ", options_.max_grad_norm,
           " and checkpoint_steps ", options_.checkpoint_steps, " must not be negative");
  if (!options_.loss)
    options_.loss = [](const Tensor& output, const Tensor& target) {
      return cross_entropy(output, target);
    };
  if (options_.write)
    progress_ = std::make_unique<Progress>(options_.write, options_.terminal.value_or(false));
  else if (options_.progress)
    progress_ = std::make_unique<Progress>(options_.progress, options_.terminal);
}

void MixedPrecisionTrainer::say(const std::string& text) {
  if (progress_) progress_->say(text);
}

/// Forgets what lives only during fit(), also when it throws.
struct MixedPrecisionTrainer::RunScope {
  MixedPrecisionTrainer& trainer;
  ~RunScope() {
    trainer.source_ = nullptr;
    trainer.interrupt_ = nullptr;
  }
};

// --- the loop ---

std::vector<EpochLog> MixedPrecisionTrainer::fit(BatchSource& train, int64_t epochs,
                                                 BatchSource* validation) {
  DS_CHECK(epochs >= 0, ValueError, "MixedPrecisionTrainer: epochs ", epochs, " is negative");
  InterruptScope interrupt;
  const RunScope run{*this};
  interrupt_ = &interrupt;
  source_ = &train;
  stop_ = interrupted_ = false;
  in_group_ = bad_since_ = 0;
  pending_.clear();
  resume();
  epochs_ = epochs;
  batches_ = train.size();
  if (progress_)
    say(precision_.text +
        (scaler_.is_enabled() ? str("; loss scale ", scaler_.get_scale()) : std::string()));
  std::vector<EpochLog> history;
  for (const CallbackPtr& callback : options_.callbacks) callback->on_fit_begin(*this);
  bool running = true;
  while (running && epoch_ < epochs_) {
    begin_epoch();
    running = (trained_ || run_epoch(train)) && finish_epoch(validation, history);
  }
  // A callback that stops at the end of an epoch interrupts nothing.
  interrupted_ = interrupt.requested() || (!running && batch_ > 0);
  continues_ = interrupted_ && epoch_ < epochs_;
  position_ = train.position();
  if (continues_) checkpoint();
  for (const CallbackPtr& callback : options_.callbacks) callback->on_fit_end(*this);
  return history;
}

void MixedPrecisionTrainer::resume() {
  if (options_.resume && !continues_ && step_ == 0 && !options_.checkpoint_dir.empty() &&
      has_checkpoint())
    load_checkpoint(checkpoint_path());
  if (continues_) {
    source_->seek(position_);
  } else {
    epoch_ = 0;
  }
}

void MixedPrecisionTrainer::begin_epoch() {
  epoch_start_ = std::chrono::steady_clock::now();
  options_.model->train();
  if (!continues_) reset_epoch();
  continues_ = false;
  for (const CallbackPtr& callback : options_.callbacks) callback->on_epoch_begin(*this, epoch_);
}

void MixedPrecisionTrainer::reset_epoch() {
  batch_ = samples_ = loss_samples_ = 0;
  loss_sum_ = 0;
  trained_ = false;
  for (const MetricPtr& metric : options_.metrics) metric->reset();
}

bool MixedPrecisionTrainer::stopping() const {
  return stop_.load(std::memory_order_relaxed) || interrupt_->requested();
}

bool MixedPrecisionTrainer::run_epoch(BatchSource& source) {
  std::vector<Tensor> batch;
  const auto next = [&] {
    if (in_group_ == 0 && source.adapt()) {
      batches_ = source.size();
      batch_ = source.position().batch;
    }
    return source.next(batch);
  };
  while (next()) {
    DS_CHECK(!batch.empty(), ValueError, "MixedPrecisionTrainer: batch ", batch_,
             " holds no tensor");
    // The last step of an epoch may be of fewer batches.
    const int64_t begun = batch_ - in_group_;
    const int64_t group = batches_ && *batches_ > begun
                              ? std::min(options_.gradient_accumulation, *batches_ - begun)
                              : options_.gradient_accumulation;
    run_batch(batch, group);
    if (in_group_ == group) step();
    if (options_.poll) options_.poll();
    if (in_group_ == 0 && stopping()) return false;
  }
  if (in_group_ > 0) step();
  DS_CHECK(batch_ > 0, ValueError,
           "MixedPrecisionTrainer: the training source gave no batch; is it empty, used up or is "
           "its data smaller than one batch with drop_last?");
  trained_ = true;
  return true;
}

StepResult MixedPrecisionTrainer::forward(const std::vector<Tensor>& batch) const {
  const AutocastScope scope(precision_.autocast);
  StepResult result;
  if (options_.forward) {
    result = options_.forward(batch);
  } else {
    DS_CHECK(batch.size() >= 2, ValueError, "MixedPrecisionTrainer: a batch has ", batch.size(),
             " tensors, an input and a target are needed; pass `forward` for other batches");
    result.output = (*options_.model)(batch[0]);
    result.target = batch[1];
    result.loss = options_.loss(result.output, result.target);
  }
  DS_CHECK(result.loss.defined() && result.loss.numel() == 1, ShapeError,
           "MixedPrecisionTrainer: the loss must be one number",
           result.loss.defined() ? str(", it is ", result.loss.type()) : std::string());
  return result;
}

size_t MixedPrecisionTrainer::planned_peak(const std::vector<Tensor>& batch, bool exact) {
  nn::Module& model = *options_.model;
  const bool training = model.is_training();
  const std::vector<Tensor> params = parameters_of(*options_.optimizer);
  std::vector<Tensor> state = params;
  for (const Tensor& tensor : model.parameters()) state.push_back(tensor);
  for (const Tensor& tensor : model.buffers()) state.push_back(tensor);
  model.train();
  const auto record = [&] {
    for (Tensor param : params) param.set_grad({});
    const StepResult result = forward(batch);
    scaler_.scale(result.loss).backward();
    std::vector<Tensor> outputs = {result.loss};
    for (const Tensor& param : params) outputs.push_back(param.grad());
    return outputs;
  };
  try {
    const Device device = exact ? params.at(0).device() : parse_device("null");
    const size_t peak = rehearse(state, record, device);
    model.train(training);
    return peak;
  } catch (...) {
    model.train(training);
    throw;
  }
}

void MixedPrecisionTrainer::set_gradient_accumulation(int64_t batches) {
  DS_CHECK(batches >= 1, ValueError, "MixedPrecisionTrainer: gradient_accumulation ", batches,
           " must be at least 1");
  options_.gradient_accumulation = batches;
}

void MixedPrecisionTrainer::run_batch(const std::vector<Tensor>& batch, int64_t group) {
  if (in_group_ == 0) {
    options_.optimizer->zero_grad();
    group_loss_ = {};
    group_samples_ = 0;
  }
  const StepResult result = forward(batch);
  const Tensor part = group == 1 ? result.loss : div(result.loss, group);
  scaler_.scale(part).backward();
  const Tensor value = reshape(to_dtype(part.detach(), DType::f32), {});
  group_loss_ = group_loss_.defined() ? group_loss_ + value : value;
  if (result.output.defined() && result.target.defined())
    for (const MetricPtr& metric : options_.metrics) metric->update(result.output, result.target);
  ++batch_;
  ++in_group_;
  group_samples_ += samples_in(batch);
  if (in_group_ == group) return;
  // Gradients so far are computed now, so that only one batch's activations live at a time.
  std::vector<Tensor> values = {group_loss_};
  for (const Tensor& param : parameters_of(*options_.optimizer)) values.push_back(param.grad());
  ds::evaluate(values);
}

void MixedPrecisionTrainer::step() {
  optim::Optimizer& optimizer = *options_.optimizer;
  const double lr = optimizer.groups()[0].at("lr");
  std::vector<Tensor> stats = {group_loss_};
  if (scaler_.is_enabled())
    for (const auto& [name, tensor] : scaler_.state_dict())
      if (name != "growth_tracker") stats.push_back(to_dtype(tensor, DType::f32));
  pending_.push_back({stack(stats), ++step_, group_samples_, lr});
  if (options_.max_grad_norm > 0) {
    scaler_.unscale_(optimizer);
    optim::clip_grad_norm_(parameters_of(optimizer), options_.max_grad_norm);
  }
  scaler_.step(optimizer);
  scaler_.update();
  samples_ += group_samples_;
  in_group_ = 0;
  group_loss_ = {};
  if (options_.scheduler && !options_.schedule_epochs && !plateau()) options_.scheduler->step();
  read_stats(kLag);
  if (progress_ && loss_samples_ > 0 && progress_->due())
    progress_->draw(progress_state({{"loss", mean_loss()}}));
  if (options_.checkpoint_steps > 0 && step_ % options_.checkpoint_steps == 0) checkpoint();
}

void MixedPrecisionTrainer::read_stats(size_t keep) {
  while (pending_.size() > keep) {
    const Pending entry = std::move(pending_.front());
    pending_.pop_front();
    float values[3] = {0, 1, 0};
    entry.stats.copy_to_host(values);
    const StepLog log{entry.step, values[0], entry.lr, values[1], static_cast<int64_t>(values[2])};
    if (std::isfinite(log.loss)) {
      loss_sum_ += log.loss * static_cast<double>(entry.samples);
      loss_samples_ += entry.samples;
    }
    check_finite(log);
    for (const CallbackPtr& callback : options_.callbacks) callback->on_step_end(*this, log);
  }
}

void MixedPrecisionTrainer::check_finite(const StepLog& log) {
  const bool finite = std::isfinite(log.loss);
  // The count of skipped steps is the one before this step.
  const bool skipped = log.skipped > seen_skipped_;
  seen_skipped_ = log.skipped;
  if (finite && !skipped)
    bad_since_ = 0;
  else if (bad_since_ == 0)
    bad_since_ = skipped ? log.step - 1 : log.step;
  if (bad_since_ == 0 || (scaler_.is_enabled() && log.loss_scale >= kMinScale)) return;
  throw NonFiniteError(str(
      "MixedPrecisionTrainer: the ",
      finite ? "gradients are not finite" : str("loss is ", log.loss), " since step ", bad_since_,
      scaler_.is_enabled() ? str(", also with the loss scale lowered to ", log.loss_scale) : "",
      "; look for a bad sample, lower the learning rate or clip gradients with max_grad_norm"));
}

double MixedPrecisionTrainer::mean_loss() const {
  return loss_samples_ > 0 ? loss_sum_ / static_cast<double>(loss_samples_)
                           : std::numeric_limits<double>::quiet_NaN();
}

ProgressState MixedPrecisionTrainer::progress_state(NamedValues values) const {
  ProgressState state;
  state.epoch = epoch_;
  state.epochs = epochs_;
  state.batch = batch_;
  state.batches = batches_;
  state.samples = samples_;
  state.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - epoch_start_).count();
  state.values = std::move(values);
  state.memory = memory_stats().in_use;
  return state;
}

// --- after an epoch ---

bool MixedPrecisionTrainer::finish_epoch(BatchSource* validation, std::vector<EpochLog>& history) {
  read_stats(0);
  EpochLog log;
  log.epoch = epoch_;
  log.samples = samples_;
  log.values = {{"loss", mean_loss()}};
  add_metrics(options_.metrics, log.values);
  ProgressState state = progress_state({});
  log.seconds = state.seconds;
  if (validation) {
    // Validation uses the metrics too, which hold the epoch's sums until it is over.
    std::vector<std::vector<Tensor>> kept;
    for (const MetricPtr& metric : options_.metrics) kept.push_back(metric->state());
    for (const auto& [name, value] : evaluate(*validation))
      log.values.emplace_back("val_" + name, value);
    for (size_t i = 0; i < kept.size(); ++i) options_.metrics[i]->set_state(kept[i]);
    if (stopping()) return false;
  }
  schedule_epoch(log);
  state.values = log.values;
  if (progress_) progress_->finish_epoch(state);
  ++epoch_;
  reset_epoch();
  for (const CallbackPtr& callback : options_.callbacks) callback->on_epoch_end(*this, log);
  history.push_back(std::move(log));
  checkpoint();
  return !stopping();
}

bool MixedPrecisionTrainer::plateau() const {
  return dynamic_cast<optim::ReduceLROnPlateau*>(options_.scheduler.get()) != nullptr;
}

void MixedPrecisionTrainer::schedule_epoch(const EpochLog& log) {
  if (!options_.scheduler) return;
  if (auto* plateau = dynamic_cast<optim::ReduceLROnPlateau*>(options_.scheduler.get())) {
    std::string name = options_.monitor;
    if (name.empty()) name = log.values.size() > 1 + options_.metrics.size() ? "val_loss" : "loss";
    plateau->step(log.at(name));
  } else if (options_.schedule_epochs) {
    options_.scheduler->step();
  }
}

NamedValues MixedPrecisionTrainer::evaluate(BatchSource& source) {
  const GradMode no_grad(false);
  const bool training = options_.model->is_training();
  options_.model->eval();
  for (const MetricPtr& metric : options_.metrics) metric->reset();
  MeanMetric loss("loss", [](const Tensor& value, const Tensor&) { return value; });
  std::vector<Tensor> batch;
  bool any = false;
  while (source.next(batch)) {
    DS_CHECK(!batch.empty(), ValueError, "MixedPrecisionTrainer: a batch holds no tensor");
    any = true;
    const StepResult result = forward(batch);
    // Weighs a batch's mean loss by its samples.
    loss.update(expand(reshape(result.loss, {1}), {samples_in(batch)}), {});
    std::vector<Tensor> values = loss.state();
    if (result.output.defined() && result.target.defined())
      for (const MetricPtr& metric : options_.metrics) {
        metric->update(result.output, result.target);
        for (const Tensor& state : metric->state()) values.push_back(state);
      }
    ds::evaluate(values);
    if (options_.poll) options_.poll();
    if (interrupt_ && stopping()) break;
  }
  options_.model->train(training);
  DS_CHECK(any, ValueError, "MixedPrecisionTrainer: the validation source gave no batch");
  NamedValues values = {{"loss", loss.value()}};
  add_metrics(options_.metrics, values);
  return values;
}

}  // namespace ds::train
