// SPDX-License-Identifier: Apache-2.0
// Data parallel loops over the one OpenMP pool that oneDNN uses too.
#pragma once

#include <cstdint>
#include <functional>

namespace ds {

/// Threads a parallel loop uses: OMP_NUM_THREADS, else the processors of this process (affinity
/// and cgroup limits respected), until set_num_threads changes it.
int num_threads();

/// Sets the number of threads of later loops; at least 1, else ValueError.
void set_num_threads(int count);

/// While it lives, num_threads() of this thread is at most `most`: for work too small for more.
class ThreadLimit {
 public:
  explicit ThreadLimit(int most);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int before_;
};

/// Calls body(begin, end) on disjoint pieces that cover [0, count), each at least `grain` long
/// except the last. Runs inline when one piece suffices or when already inside a loop. The first
/// exception a piece throws is rethrown to the caller.
void parallel_for(int64_t count, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace ds
