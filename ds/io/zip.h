// SPDX-License-Identifier: Apache-2.0
// Reading ZIP archives (PKWARE's APPNOTE 6.3.9): stored and deflated entries, ZIP64.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/io/file.h"

namespace ds::io {

class ZipReader {
 public:
  /// FileFormatError when the directory does not describe the file.
  explicit ZipReader(std::shared_ptr<const MappedFile> file);

  struct Entry {
    std::string name;
    uint64_t compressed, size, offset;  // offset of the local header
    uint16_t method;
    uint32_t crc;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  /// Null when there is none.
  const Entry* find(const std::string& name) const;

  struct Contents {
    Bytes bytes;
    std::shared_ptr<const void> owner;  // keeps them alive: the file, or decompressed memory
  };
  /// FileFormatError when the entry is damaged or uses another method than stored and deflate.
  Contents read(const Entry& entry) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  std::vector<Entry> entries_;
};

}  // namespace ds::io
