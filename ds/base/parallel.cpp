// SPDX-License-Identifier: Apache-2.0
#include "ds/base/parallel.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <utility>

#include "ds/base/control_groups.h"
#include "ds/base/error.h"
#include "ds/base/team.h"

namespace ds {
namespace {

int default_threads() {
  if (std::getenv("OMP_NUM_THREADS")) return std::max(1, omp_get_max_threads());
  cpu_set_t set;
  const int affinity =
      sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : omp_get_num_procs();
  return std::max(1, std::min(affinity, quota_processors()));
}

std::atomic<int>& threads() {
  static std::atomic<int> count{default_threads()};
  return count;
}

thread_local int t_limit = std::numeric_limits<int>::max();

}  // namespace

int num_threads() { return std::min<int>(threads(), t_limit); }

void set_num_threads(int count) {
  DS_CHECK(count >= 1, ValueError, "set_num_threads: count is ", count, "; it must be at least 1");
  threads() = count;
}

ThreadLimit::ThreadLimit(int most)
    : before_(std::exchange(t_limit, std::min(t_limit, std::max(1, most)))) {}

ThreadLimit::~ThreadLimit() { t_limit = before_; }

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t pieces = std::min<int64_t>(num_threads(), (count + grain - 1) / grain);
  if (pieces <= 1 || omp_in_parallel()) {
    body(0, count);
    return;
  }
  prepare_team(static_cast<int>(pieces));
  std::exception_ptr first;
  std::mutex mutex;
#pragma omp parallel for num_threads(static_cast <int>(pieces)) schedule(static, 1)
  for (int64_t piece = 0; piece < pieces; ++piece) {
    try {
      body(count * piece / pieces, count * (piece + 1) / pieces);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace ds
