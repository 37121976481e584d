// SPDX-License-Identifier: Apache-2.0
// A DataLoader as a trainer's source.
#pragma once

#include <memory>

#include "ds/base/error.h"
#include "ds/data/loader.h"
#include "ds/train/batch_source.h"

namespace ds::train {

class LoaderSource final : public BatchSource {
 public:
  explicit LoaderSource(std::shared_ptr<data::DataLoader> loader) : loader_(std::move(loader)) {}
  bool next(std::vector<Tensor>& batch) override { return loader_->next(batch); }
  std::optional<int64_t> size() const override { return loader_->size(); }
  SourcePosition position() const override {
    const data::LoaderState state = loader_->state();
    return {state.epoch, state.position, loader_->options().seed};
  }
  void seek(const SourcePosition& position) override {
    DS_CHECK(position.seed == loader_->options().seed, ValueError,
             "MixedPrecisionTrainer: the run that is to go on had a loader with the seed ",
             position.seed, ", this one has ", loader_->options().seed);
    loader_->load_state({position.epoch, position.batch});
  }

 private:
  std::shared_ptr<data::DataLoader> loader_;
};

}  // namespace ds::train
