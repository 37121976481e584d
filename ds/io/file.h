// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading with bounds-checked views, and written so that a reader sees either the
// old file or the whole new one.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ds/base/atomic_file.h"

namespace ds::io {

using Bytes = std::span<const unsigned char>;

/// A whole file mapped into memory. Whoever writes to that gets pages of his own; the file stays.
class MappedFile {
 public:
  /// IOError naming the path when it cannot be read; a folder is refused.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  Bytes bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const unsigned char* data_ = nullptr;
  size_t size_ = 0;
};

/// Reads numbers in order from bytes; FileFormatError naming the file when they run out.
class ByteReader {
 public:
  ByteReader(Bytes bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }
  void seek(size_t position);
  Bytes take(size_t count);
  std::string_view text(size_t count) {
    const Bytes b = take(count);
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }
  /// Everything up to a newline, which is consumed.
  std::string_view line();
  template <class T>
  T little() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  uint32_t big32();
  const std::string& name() const { return name_; }

 private:
  Bytes bytes_;
  std::string name_;
  size_t position_ = 0;
};

/// The whole file as text. IOError when it cannot be read.
std::string read_text(const std::string& path);

using ds::AtomicFile;

}  // namespace ds::io
