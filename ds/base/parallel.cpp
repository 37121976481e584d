// SPDX-License-Identifier: Apache-2.0
#include "ds/base/parallel.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "ds/base/error.h"

namespace ds {
namespace {

/// Processors the cgroup's quota grants, or a large number when there is no quota.
int cgroup_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 16;
  return std::max(1, static_cast<int>(std::ceil(std::atof(quota.c_str()) / period)));
}

int default_threads() {
  if (std::getenv("OMP_NUM_THREADS")) return std::max(1, omp_get_max_threads());
  cpu_set_t set;
  const int affinity =
      sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : omp_get_num_procs();
  return std::max(1, std::min(affinity, cgroup_cpus()));
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
