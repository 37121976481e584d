// SPDX-License-Identifier: Apache-2.0
// TensorBoard's event files: records of protocol buffers with checksums. The format is that of
// tensorflow/core/util/event.proto in tensorflow/core/lib/io/record_writer.h's framing.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace ds::io {

class EventWriter {
 public:
  /// Begins a file "events.out.tfevents.*" in the folder, which is made when it is absent. IOError
  /// when that can not be done.
  explicit EventWriter(const std::string& folder, const std::string& suffix = "");
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  /// One number of a curve. `wall_time` in seconds since 1970; now when negative.
  void add_scalar(const std::string& tag, double value, int64_t step, double wall_time = -1);
  /// Several numbers of one step, each with its tag.
  void add_scalars(const std::vector<std::pair<std::string, double>>& values, int64_t step,
                   double wall_time = -1);
  /// A paragraph in the text tab (Markdown).
  void add_text(const std::string& tag, const std::string& text, int64_t step,
                double wall_time = -1);
  /// The distribution of values in 64 equal bins.
  void add_histogram(const std::string& tag, const std::vector<double>& values, int64_t step,
                     double wall_time = -1);
  /// Hands everything to the operating system; IOError when the disk is full.
  void flush();
  const std::string& path() const { return path_; }

 private:
  void add_event(const std::string& summary, int64_t step, double wall_time);
  void write_record(const std::string& event);

  std::string path_;
  std::FILE* file_ = nullptr;
};

/// CRC-32C (Castagnoli), as event files use it.
uint32_t crc32c(const void* data, size_t size);

}  // namespace ds::io
