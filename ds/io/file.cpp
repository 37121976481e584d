// SPDX-License-Identifier: Apache-2.0
#include "ds/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "ds/base/error.h"

namespace ds::io {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

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

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  static std::atomic<unsigned> count{0};
  temporary_ = path_ + ".part" + std::to_string(::getpid()) + "." + std::to_string(count++);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  DS_CHECK(descriptor_ >= 0, IOError, "cannot write ", path_, ": ", std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, from, size);
    if (written < 0 && errno == EINTR) continue;
    DS_CHECK(written > 0, IOError, "cannot write ", path_, ": ", std::strerror(errno),
             "; nothing was changed");
    from += written;
    size -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  DS_CHECK(::fsync(descriptor_) == 0, IOError, "cannot write ", path_, ": ", std::strerror(errno),
           "; nothing was changed");
  DS_CHECK(::rename(temporary_.c_str(), path_.c_str()) == 0, IOError, "cannot write ", path_, ": ",
           std::strerror(errno), "; nothing was changed");
  ::close(descriptor_);
  descriptor_ = -1;
  // The name itself is durable when the folder is.
  const Descriptor folder{::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.value >= 0) ::fsync(folder.value);
}

}  // namespace ds::io
