// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/allocator.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <limits>

#include "ds/base/error.h"

using namespace ds;

TEST_CASE("blocks of all sizes around a huge page are aligned, writable and given back") {
  constexpr size_t kHugePage = size_t{2} << 20;
  empty_cache();
  const size_t before = memory_stats().in_use;
  for (const size_t bytes : {size_t{0}, size_t{1}, kHugePage - 64, kHugePage, kHugePage + 1,
                             3 * kHugePage - 4096, 5 * kHugePage + 64}) {
    CAPTURE(bytes);
    for (int repeat = 0; repeat < 2; ++repeat) {  // a new block, and the cached one
      const std::shared_ptr<void> block = allocate_host(bytes);
      CHECK(reinterpret_cast<uintptr_t>(block.get()) % (bytes < kHugePage ? 64 : kHugePage) == 0);
      std::memset(block.get(), 1, bytes);
      CHECK(memory_stats().in_use >= before + bytes);
    }
    CHECK(memory_stats().in_use == before);
    empty_cache();
    CHECK(memory_stats().cached == 0);
  }
}

TEST_CASE("of blocks of one size, the one given back last comes first") {
  empty_cache();
  std::shared_ptr<void> first = allocate_host(4096), last = allocate_host(4096);
  void* const expected = last.get();
  first.reset();
  last.reset();
  CHECK(allocate_host(4096).get() == expected);
}

TEST_CASE("a block that no machine has is refused and changes nothing") {
  const size_t before = memory_stats().in_use;
  for (const size_t bytes : {size_t{1} << 60, std::numeric_limits<size_t>::max() - 128,
                             std::numeric_limits<size_t>::max()}) {
    CAPTURE(bytes);
    CHECK_THROWS_AS(allocate_host(bytes), OutOfMemoryError);
  }
  CHECK(memory_stats().in_use == before);
}
