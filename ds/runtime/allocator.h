// SPDX-License-Identifier: Apache-2.0
// Host memory for buffers: aligned, counted, and kept for reuse, because fresh pages of a large
// block cost more to fault in than most kernels take to fill them.
#pragma once

#include <cstddef>
#include <memory>

namespace ds {

/// At least `bytes` of memory aligned to kAlignment; returned to the cache when released.
/// OutOfMemoryError when the system has none.
std::shared_ptr<void> allocate_host(size_t bytes);

struct MemoryStats {
  size_t in_use = 0;  // bytes handed out
  size_t peak = 0;    // most bytes handed out at one time
  size_t cached = 0;  // bytes kept for reuse
};
MemoryStats memory_stats();
void reset_peak_memory();
/// Gives cached blocks back to the system.
void empty_cache();

}  // namespace ds
