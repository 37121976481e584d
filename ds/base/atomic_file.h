// SPDX-License-Identifier: Apache-2.0
// Files written so that a reader sees either the old file or the whole new one.
#pragma once

#include <string>
#include <string_view>

namespace ds {

/// Writes a file under a temporary name in the same folder; commit() makes it durable and gives it
/// its name. Without commit() nothing is left behind.
class AtomicFile {
 public:
  /// IOError when the folder cannot be written.
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// IOError when the disk is full.
  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_ = -1;
};

}  // namespace ds
