// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>

#include "ds/base/error.h"
#include "ds/runtime/arena.h"

namespace ds {
namespace {

// Cached bytes may reach a quarter of the bytes in use plus this floor.
constexpr size_t kCacheFloor = size_t{256} << 20;

constexpr size_t kHugePage = size_t{2} << 20;

/// `bytes` from a multiple of 2 MiB on, in huge pages where the system gives them to who asks: a
/// sweep over parameters, or a product that reads them, misses the TLB at every page of 4 KiB.
void* map_block(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t whole = bytes + kHugePage;
  if (whole < bytes) return nullptr;
  void* memory = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(memory);
  const size_t skip = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  const size_t end = skip + (bytes + page - 1) / page * page;
  if (skip > 0) munmap(begin, skip);
  if (end < whole) munmap(begin + end, whole - end);
#ifdef MADV_HUGEPAGE
  // The rest, less than a huge page, stays in small ones, so that no more memory is used.
  madvise(begin + skip, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return begin + skip;
}

void* new_block(size_t bytes) {
  return bytes < kHugePage ? std::aligned_alloc(kAlignment, bytes) : map_block(bytes);
}
void delete_block(void* block, size_t bytes) {
  if (bytes < kHugePage)
    std::free(block);
  else
    munmap(block, bytes);
}

class HostAllocator {
 public:
  void* take(size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      stats_.in_use += bytes;
      stats_.peak = std::max(stats_.peak, stats_.in_use);
      // The block that was given back last, because some of it may still be in a cache.
      const auto after = free_.upper_bound(bytes);
      if (after != free_.begin() && std::prev(after)->first == bytes) {
        const auto found = std::prev(after);
        void* block = found->second;
        free_.erase(found);
        stats_.cached -= bytes;
        return block;
      }
    }
    void* block = new_block(bytes);
    if (!block) {
      release_cache();
      block = new_block(bytes);
    }
    if (!block) {
      const std::lock_guard lock(mutex_);
      stats_.in_use -= bytes;
      throw OutOfMemoryError(str("memory: the system has no ", bytes, " bytes left (",
                                 stats_.in_use, " in use); use smaller batches or free tensors"));
    }
    return block;
  }

  void give_back(void* block, size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      stats_.in_use -= bytes;
      if (stats_.cached + bytes <= kCacheFloor + stats_.in_use / 4) {
        stats_.cached += bytes;
        free_.emplace(bytes, block);
        return;
      }
    }
    delete_block(block, bytes);
  }

  void release_cache() {
    std::multimap<size_t, void*> blocks;
    {
      const std::lock_guard lock(mutex_);
      blocks.swap(free_);
      stats_.cached = 0;
    }
    for (const auto& [bytes, block] : blocks) delete_block(block, bytes);
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }

 private:
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  MemoryStats stats_;
};

// Never destroyed: buffers of static objects may outlive any order of destruction.
HostAllocator& allocator() {
  static auto* instance = new HostAllocator;
  return *instance;
}

}  // namespace

std::shared_ptr<void> allocate_host(size_t bytes) {
  const size_t size = align_up(std::max<size_t>(bytes, 1));
  DS_CHECK(size >= bytes, OutOfMemoryError, "memory: a block of ", bytes, " bytes cannot exist");
  void* block = allocator().take(size);
  return {block, [size](void* p) { allocator().give_back(p, size); }};
}

MemoryStats memory_stats() { return allocator().stats(); }
void reset_peak_memory() { allocator().reset_peak(); }
void empty_cache() { allocator().release_cache(); }

}  // namespace ds
