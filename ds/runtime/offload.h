// SPDX-License-Identifier: Apache-2.0
// Memory in files: what a budget leaves no room for lies in a folder of the user's choice. Files
// have no name, so nothing stays behind whatever happens to the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ds {

/// Where files go; empty for no offload. At the start it is DS_OFFLOAD_DIR. IOError when it is no
/// folder or cannot be written to; the old one stays then.
void set_offload_directory(const std::string& path);
std::string offload_directory();

/// Bytes a second that the directory writes, and reads: measured once for each, with a file of
/// 32 MiB at most that is gone then. 1 while nothing can be written there.
double measured_offload_rate();

/// Zeroed memory mapped from a file of its own, whose bytes are reserved on the disk at once:
/// IOError when they are not there.
std::shared_ptr<void> allocate_offloaded(size_t bytes);
/// The memory came from allocate_offloaded().
bool is_offloaded(const void* memory);
/// Starts to read mapped memory that is needed soon, and returns.
void read_ahead(const void* memory, size_t bytes);
/// Starts to write mapped memory to the disk and takes it out of the process.
void write_behind(const void* memory, size_t bytes);

/// A file for values that wait: written and read at offsets, reserved at once.
class SpillFile {
 public:
  explicit SpillFile(size_t bytes);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  /// IOError when not all bytes can be written or read. Returns before they are on the disk.
  void write(size_t offset, const void* from, size_t bytes) const;
  void read(size_t offset, void* to, size_t bytes) const;
  /// Starts to read into the system's cache.
  void read_ahead(size_t offset, size_t bytes) const;

 private:
  int file_;
};

}  // namespace ds
