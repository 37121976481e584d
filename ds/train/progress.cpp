// SPDX-License-Identifier: Apache-2.0
#include "ds/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "ds/base/str.h"

namespace ds::train {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(250);
constexpr int kBar = 20;

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// Four digits after the point for ordinary numbers, an exponent for tiny and huge ones.
std::string value_text(double value) {
  const double size = std::fabs(value);
  const bool plain = value == 0 || !std::isfinite(value) || (size >= 1e-3 && size < 1e5);
  return number(plain ? "%.4f" : "%.3e", value);
}

std::string rate_text(const ProgressState& state) {
  if (state.seconds <= 0) return "";
  return number("%.0f/s", static_cast<double>(state.samples) / state.seconds);
}

std::string head(const ProgressState& state) {
  return str("epoch ", state.epoch + 1, "/", state.epochs);
}

std::string memory_text(size_t bytes) {
  const auto size = static_cast<double>(bytes);
  return size < 1e9 ? number("%.0f MB", size / 1e6) : number("%.1f GB", size / 1e9);
}

}  // namespace

std::string duration_text(double seconds) {
  const long all = std::lround(std::max(0.0, seconds));
  char text[48];
  if (all >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", all / 3600, all / 60 % 60, all % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", all / 60, all % 60);
  return text;
}

std::string progress_line(const ProgressState& state, int width) {
  std::string line = head(state);
  if (state.batches && *state.batches > 0) {
    const double part =
        std::min(1.0, static_cast<double>(state.batch) / static_cast<double>(*state.batches));
    const auto full = static_cast<size_t>(part * kBar);
    line += " [" + std::string(full, '#') + std::string(kBar - full, '.') + "]" +
            number(" %3.0f%%", 100 * part);
  } else {
    line += str(" batch ", state.batch);
  }
  for (const auto& [name, value] : state.values) line += " " + name + " " + value_text(value);
  line += " " + rate_text(state);
  if (state.memory > 0) line += " " + memory_text(state.memory);
  if (state.batches && state.batch > 0) {
    // Of the whole run: this epoch's batches and those of the epochs to come.
    const double left = static_cast<double>(*state.batches - state.batch) +
                        static_cast<double>((state.epochs - state.epoch - 1) * *state.batches);
    line += " " + duration_text(state.seconds / static_cast<double>(state.batch) * left) + " left";
  }
  line.resize(static_cast<size_t>(std::max(1, width)), ' ');
  return line;
}

std::string epoch_line(const ProgressState& state) {
  std::string line = head(state) + ":";
  const char* separator = " ";
  for (const auto& [name, value] : state.values) {
    line += separator + name + " " + value_text(value);
    separator = ", ";
  }
  return line + str(" (", state.samples, " samples in ", number("%.1f s", state.seconds), ", ",
                    rate_text(state), ")");
}

Progress::Progress(std::FILE* out, std::optional<bool> terminal)
    : write_([out](const std::string& text) {
        std::fwrite(text.data(), 1, text.size(), out);
        std::fflush(out);
      }),
      descriptor_(fileno(out)),
      terminal_(terminal ? *terminal : isatty(fileno(out)) == 1) {}

Progress::Progress(std::function<void(const std::string&)> write, bool terminal)
    : write_(std::move(write)), descriptor_(STDERR_FILENO), terminal_(terminal) {}

bool Progress::due() const {
  return terminal_ && std::chrono::steady_clock::now() - last_ >= kInterval;
}

int Progress::width() const {
  winsize size{};
  const bool known = ioctl(descriptor_, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1 : 79;
}

void Progress::draw(const ProgressState& state) {
  if (!terminal_) return;
  last_ = std::chrono::steady_clock::now();
  drawn_ = true;
  write_("\r" + progress_line(state, width()));
}

void Progress::say(const std::string& text) {
  const std::string clear =
      drawn_ ? "\r" + std::string(static_cast<size_t>(width()), ' ') + "\r" : "";
  drawn_ = false;
  write_(clear + text + "\n");
}

void Progress::finish_epoch(const ProgressState& state) { say(epoch_line(state)); }

}  // namespace ds::train
