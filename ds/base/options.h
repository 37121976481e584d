// SPDX-License-Identifier: Apache-2.0
// Every DS_* environment variable, declared once; read at the first use.
#pragma once

#include <string>
#include <vector>

namespace ds {

struct Options {
  bool eager = false;
#ifdef NDEBUG
  bool verify = false;
#else
  bool verify = true;
#endif
  std::string device = "auto";
  std::string log;
  std::string memory_budget;
  std::string offload_dir;
  std::string offload_rate;
  std::string tune = "use";

  /// Calls f(value, name, help) for every option.
  template <class F>
  void for_each(F&& f) {
    f(eager, "DS_EAGER", "1 runs every operation at once, for debugging.");
    f(verify, "DS_VERIFY", "1 checks the graph after every pass; the default of debug builds.");
    f(device, "DS_DEVICE", "Device of new tensors: auto, cpu, ref or null.");
    f(memory_budget, "DS_MEMORY_BUDGET",
      "Bytes that a step may use, such as 2GiB, or auto: what does not fit is computed again.");
    f(offload_dir, "DS_OFFLOAD_DIR",
      "Folder for what a step within a budget keeps on disk where that takes less time.");
    f(offload_rate, "DS_OFFLOAD_RATE",
      "Bytes a second that this folder writes and reads, such as 500MB; else it is measured.");
    f(tune, "DS_TUNE",
      "1 measures which kernels are the fastest and keeps that in a file, 0 ignores the file.");
    f(log, "DS_LOG", "Topics to log to stderr, separated by commas: dispatch, passes.");
  }
};

/// The process's options; tests may change them.
Options& options();

/// True when DS_LOG names the topic.
bool log_enabled(const std::string& topic);
/// Writes one line to stderr.
void log_line(const std::string& topic, const std::string& text);

}  // namespace ds
