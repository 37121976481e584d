// SPDX-License-Identifier: Apache-2.0
#include "ds/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "ds/base/error.h"

namespace ds {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

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
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

}  // namespace ds
