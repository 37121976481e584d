// SPDX-License-Identifier: Apache-2.0
#include "ds/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "ds/base/error.h"

namespace ds::io {
namespace {

/// Closes a descriptor at the end of a scope.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  DS_CHECK(file.value >= 0, IOError, "cannot open ", path, ": ", std::strerror(errno));
  struct stat info;
  DS_CHECK(::fstat(file.value, &info) == 0, IOError, "cannot read ", path, ": ",
           std::strerror(errno));
  DS_CHECK(S_ISREG(info.st_mode), IOError, "cannot read ", path, ": it is not a file");
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) return;
  void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.value, 0);
  DS_CHECK(memory != MAP_FAILED, IOError, "cannot map ", path, ": ", std::strerror(errno));
  data_ = static_cast<const unsigned char*>(memory);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<unsigned char*>(data_), size_);
}

void ByteReader::seek(size_t position) {
  DS_CHECK(position <= bytes_.size(), FileFormatError, name_, ": truncated: offset ", position,
           " in ", bytes_.size(), " bytes");
  position_ = position;
}

Bytes ByteReader::take(size_t count) {
  DS_CHECK(count <= left(), FileFormatError, name_, ": truncated: ", count, " bytes wanted at ",
           position_, ", ", left(), " left");
  const Bytes result = bytes_.subspan(position_, count);
  position_ += count;
  return result;
}

std::string_view ByteReader::line() {
  const Bytes rest = bytes_.subspan(position_);
  size_t length = 0;
  while (length < rest.size() && rest[length] != '\n') ++length;
  DS_CHECK(length < rest.size(), FileFormatError, name_, ": truncated: a line has no end");
  const std::string_view result = text(length);
  ++position_;
  return result;
}

uint32_t ByteReader::big32() {
  const Bytes b = take(4);
  return static_cast<uint32_t>(b[0]) << 24 | static_cast<uint32_t>(b[1]) << 16 |
         static_cast<uint32_t>(b[2]) << 8 | b[3];
}

std::string read_text(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace ds::io
