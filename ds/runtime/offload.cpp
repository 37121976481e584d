// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/offload.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "ds/base/error.h"
#include "ds/base/options.h"

namespace ds {
namespace {

struct State {
  std::mutex mutex;
  std::string directory = options().offload_dir;
  std::map<std::string, double> rates;  // by directory
  std::map<const void*, size_t> mapped;
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

/// A file descriptor that closes itself.
struct File {
  int number = -1;
  ~File() {
    if (number >= 0) close(number);
  }
};

/// An open file in `directory` that has no name.
int open_nameless(const std::string& directory) {
  std::string path = directory + "/.deepseek-offload-XXXXXX";
  const int file = mkostemp(path.data(), O_CLOEXEC);
  DS_CHECK(file >= 0, IOError, "offload: cannot make a file in '", directory,
           "': ", std::strerror(errno), "; name a folder that can be written to");
  unlink(path.c_str());
  return file;
}

/// A file whose bytes are the disk's already, so that writing to it cannot fail for want of room.
int open_reserved(size_t bytes) {
  const std::string directory = offload_directory();
  DS_CHECK(!directory.empty(), StateError,
           "offload: there is no folder for it; set DS_OFFLOAD_DIR or name one");
  File file{open_nameless(directory)};
  const int failed = posix_fallocate(file.number, 0, static_cast<off_t>(bytes));
  DS_CHECK(failed == 0, IOError, "offload: no room for ", bytes, " bytes in '", directory,
           "': ", std::strerror(failed), "; free space there, or name another folder");
  return std::exchange(file.number, -1);
}

/// Bytes a second while some are written to the disk and read back from there; 0 where they cannot
/// be.
double measure_rate(const std::string& directory) {
  constexpr size_t kPart = size_t{4} << 20;
  constexpr int kParts = 8;
  constexpr double kSeconds = 0.25;  // more would not tell more
  File file;
  try {
    file.number = open_nameless(directory);
  } catch (const IOError&) {
    return 0;
  }
  std::vector<char> part(kPart);
  // What a file system could compress, or leave out, would tell nothing.
  std::minstd_rand random(1);
  for (size_t i = 0; i < kPart; i += 2) {
    const auto value = static_cast<uint16_t>(random() >> 8);
    std::memcpy(part.data() + i, &value, sizeof value);
  }
  const auto start = std::chrono::steady_clock::now();
  for (int done = 1; done <= kParts; ++done) {
    const off_t at = static_cast<off_t>(kPart) * (done - 1);
    if (pwrite(file.number, part.data(), kPart, at) != static_cast<ssize_t>(kPart) ||
        fdatasync(file.number) != 0)
      return 0;
    posix_fadvise(file.number, at, static_cast<off_t>(kPart), POSIX_FADV_DONTNEED);
    if (pread(file.number, part.data(), kPart, at) != static_cast<ssize_t>(kPart)) return 0;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (seconds.count() >= kSeconds || done == kParts)
      return 2.0 * done * static_cast<double>(kPart) / seconds.count();
  }
  return 0;
}

}  // namespace

double measured_offload_rate() {
  constexpr double kLastResort = 1;
  const std::string directory = offload_directory();
  {
    const std::lock_guard lock(state().mutex);
    const auto known = state().rates.find(directory);
    if (known != state().rates.end()) return known->second;
  }
  const double rate = measure_rate(directory);
  if (rate == 0) return kLastResort;
  const std::lock_guard lock(state().mutex);
  return state().rates[directory] = rate;
}

void set_offload_directory(const std::string& path) {
  if (!path.empty()) const File probe{open_nameless(path)};
  const std::lock_guard lock(state().mutex);
  state().directory = path;
}

std::string offload_directory() {
  const std::lock_guard lock(state().mutex);
  return state().directory;
}

std::shared_ptr<void> allocate_offloaded(size_t bytes) {
  const File file{open_reserved(bytes)};
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0);
  DS_CHECK(memory != MAP_FAILED, IOError, "offload: cannot map ", bytes,
           " bytes: ", std::strerror(errno));
  {
    const std::lock_guard lock(state().mutex);
    state().mapped.emplace(memory, bytes);
  }
  return {memory, [bytes](void* block) {
            {
              const std::lock_guard lock(state().mutex);
              state().mapped.erase(block);
            }
            munmap(block, bytes);
          }};
}

bool is_offloaded(const void* memory) {
  const std::lock_guard lock(state().mutex);
  return state().mapped.count(memory) > 0;
}

void read_ahead(const void* memory, size_t bytes) {
  madvise(const_cast<void*>(memory), bytes, MADV_WILLNEED);
}

void write_behind(const void* memory, size_t bytes) {
  // What was written stays in the system's cache, which writes it in the background.
  if (is_offloaded(memory)) madvise(const_cast<void*>(memory), bytes, MADV_DONTNEED);
}

SpillFile::SpillFile(size_t bytes) : file_(open_reserved(bytes)) {}
SpillFile::~SpillFile() { close(file_); }

void SpillFile::write(size_t offset, const void* from, size_t bytes) const {
  const size_t start = offset, total = bytes;
  const char* next = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t done = pwrite(file_, next, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    DS_CHECK(done > 0, IOError, "offload: cannot write ", total, " bytes: ", std::strerror(errno));
    next += done;
    offset += static_cast<size_t>(done);
    bytes -= static_cast<size_t>(done);
  }
  sync_file_range(file_, static_cast<off_t>(start), static_cast<off_t>(total),
                  SYNC_FILE_RANGE_WRITE);
}

void SpillFile::read(size_t offset, void* to, size_t bytes) const {
  const size_t total = bytes;
  char* next = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t done = pread(file_, next, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    DS_CHECK(done > 0, IOError, "offload: cannot read ", total,
             " bytes: ", done < 0 ? std::strerror(errno) : "the file ends before");
    next += done;
    offset += static_cast<size_t>(done);
    bytes -= static_cast<size_t>(done);
  }
}

void SpillFile::read_ahead(size_t offset, size_t bytes) const {
  posix_fadvise(file_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

}  // namespace ds
