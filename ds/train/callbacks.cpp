// SPDX-License-Identifier: Apache-2.0
#include "ds/train/callbacks.h"

#include <limits>
#include <utility>

#include "ds/base/error.h"
#include "ds/io/safetensors.h"

namespace ds::train {

BestValue::BestValue(std::string monitor, bool maximize, double min_delta)
    : monitor_(std::move(monitor)),
      maximize_(maximize),
      min_delta_(min_delta),
      best_((maximize ? -1 : 1) * std::numeric_limits<double>::infinity()) {}

bool BestValue::update(const EpochLog& log) {
  const double value = log.at(monitor_);
  const bool better = maximize_ ? value > best_ + min_delta_ : value < best_ - min_delta_;
  if (better) best_ = value;
  return better;
}

EarlyStopping::EarlyStopping(const std::string& monitor, int64_t patience, bool maximize,
                             double min_delta)
    : best_(monitor, maximize, min_delta), patience_(patience) {
  DS_CHECK(patience >= 1, ValueError, "EarlyStopping: patience ", patience, " must be at least 1");
}

void EarlyStopping::on_epoch_end(MixedPrecisionTrainer& trainer, const EpochLog& log) {
  if (best_.update(log)) {
    bad_epochs_ = 0;
  } else if (++bad_epochs_ >= patience_) {
    trainer.say(str("stopped early: ", best_.monitor(), " was best at ", best_.best(), ", ",
                    bad_epochs_, " epochs ago"));
    trainer.stop();
  }
}

std::vector<double> EarlyStopping::state() const {
  return {best_.best(), static_cast<double>(bad_epochs_)};
}

void EarlyStopping::set_state(const std::vector<double>& state) {
  DS_CHECK(state.size() == 2, ValueError, "EarlyStopping: the saved state is another callback's");
  best_.set_best(state[0]);
  bad_epochs_ = static_cast<int64_t>(state[1]);
}

void ModelCheckpoint::set_state(const std::vector<double>& state) {
  DS_CHECK(state.size() == 1, ValueError, "ModelCheckpoint: the saved state is another callback's");
  best_.set_best(state[0]);
}

ModelCheckpoint::ModelCheckpoint(std::string path, const std::string& monitor, bool maximize)
    : path_(std::move(path)), best_(monitor, maximize, 0) {}

void ModelCheckpoint::on_epoch_end(MixedPrecisionTrainer& trainer, const EpochLog& log) {
  if (!best_.monitor().empty() && !best_.update(log)) return;
  std::string path = path_;
  const std::string mark = "{epoch}";
  if (const size_t at = path.find(mark); at != std::string::npos)
    path.replace(at, mark.size(), std::to_string(log.epoch + 1));
  io::save_safetensors(trainer.model().state_dict(), path);
}

void TensorBoard::on_fit_begin(MixedPrecisionTrainer& trainer) {
  if (trainer.step_count() > 0) return;
  writer_.add_text("model", "    " + trainer.model().type_name() + "; " + trainer.precision().text,
                   0);
}

void TensorBoard::on_step_end(MixedPrecisionTrainer&, const StepLog& log) {
  writer_.add_scalars({{"step/loss", log.loss},
                       {"step/lr", log.lr},
                       {"step/loss_scale", log.loss_scale},
                       {"step/skipped", static_cast<double>(log.skipped)}},
                      log.step);
}

void TensorBoard::on_epoch_end(MixedPrecisionTrainer&, const EpochLog& log) {
  NamedValues values;
  for (const auto& [name, value] : log.values) values.emplace_back("epoch/" + name, value);
  values.emplace_back("epoch/samples_per_second", static_cast<double>(log.samples) / log.seconds);
  writer_.add_scalars(values, log.epoch + 1);
  writer_.flush();
}

void TensorBoard::on_fit_end(MixedPrecisionTrainer&) { writer_.flush(); }

}  // namespace ds::train
