// SPDX-License-Identifier: Apache-2.0
// Dynamic loss scaling (Micikevicius et al., "Mixed Precision Training", 2018), as
// torch.amp.GradScaler.
//
// Everything stays in the graph: whether a step is skipped and how the scale moves are computed
// beside the update, so no value is read back and the loop never waits.
#pragma once

#include "ds/optim/optimizer.h"

namespace ds::train {

struct GradScalerOptions {
  double init_scale = 65536.0;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t growth_interval = 2000;  // good steps in a row before the scale grows
  bool enabled = true;
};

class GradScaler {
 public:
  /// ValueError when a factor or the interval makes no sense.
  explicit GradScaler(GradScalerOptions options = {});

  /// loss * scale.
  Tensor scale(const Tensor& loss);
  /// Divides the gradients by the scale now, for clipping before step().
  void unscale_(optim::Optimizer& optimizer);
  /// The optimizer's step on unscaled gradients; parameters and state stay as they are when a
  /// gradient is infinite or NaN.
  void step(optim::Optimizer& optimizer);
  /// Moves the scale after a step: times backoff_factor after an overflow, times growth_factor
  /// after growth_interval good steps.
  void update();

  /// The scale as a number; computes.
  double get_scale() const;
  /// Steps that were skipped so far; computes.
  int64_t skipped_steps() const;
  bool is_enabled() const { return options_.enabled; }
  const GradScalerOptions& options() const { return options_; }

  /// scale, growth_tracker and skipped as tensors, for checkpoints.
  std::vector<std::pair<std::string, Tensor>> state_dict() const;
  void load_state_dict(const std::vector<std::pair<std::string, Tensor>>& state);

 private:
  GradScalerOptions options_;
  Tensor scale_;           // 0-d f32
  Tensor growth_tracker_;  // 0-d i64: good steps since the scale last moved
  Tensor skipped_;         // 0-d i64
  Tensor found_inf_;       // 0-d bool of the current step
  bool unscaled_ = false;
};

}  // namespace ds::train
