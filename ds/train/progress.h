// SPDX-License-Identifier: Apache-2.0
// Progress of a training run on a terminal: one line that is drawn again a few times per second.
// Elsewhere (a file, a pipe) one line per epoch and nothing between.
#pragma once

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ds::train {

using NamedValues = std::vector<std::pair<std::string, double>>;

/// What a line shows.
struct ProgressState {
  int64_t epoch = 0, epochs = 1;  // from 0
  int64_t batch = 0;
  std::optional<int64_t> batches;
  int64_t samples = 0;  // of this epoch so far
  double seconds = 0;   // in this epoch so far
  NamedValues values;   // loss, metrics
  size_t memory = 0;    // bytes in use now; not shown when 0
};

/// "epoch 2/10 [#####.....] 50% loss 0.1234 512/s 1.2 GB 0:12 left", cut or padded to `width`.
std::string progress_line(const ProgressState& state, int width);
/// "epoch 2/10: loss 0.1234, accuracy 0.9800 (1024 samples in 2.0 s, 512/s)".
std::string epoch_line(const ProgressState& state);
/// "0:07", "12:30", "3:05:00".
std::string duration_text(double seconds);

class Progress {
 public:
  /// Draws on `out`; with `terminal` not given, when out is one.
  explicit Progress(std::FILE* out, std::optional<bool> terminal = std::nullopt);
  /// Hands what it draws to `write` instead.
  Progress(std::function<void(const std::string&)> write, bool terminal);
  /// True when enough time has passed to draw again: values are read only then.
  bool due() const;
  void draw(const ProgressState& state);
  /// Ends the line of an epoch with its results.
  void finish_epoch(const ProgressState& state);
  /// A line of its own, above the bar.
  void say(const std::string& text);

 private:
  int width() const;
  std::function<void(const std::string&)> write_;
  int descriptor_;  // whose terminal's width counts
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace ds::train
