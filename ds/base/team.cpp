// SPDX-License-Identifier: Apache-2.0
#include "ds/base/team.h"

#include <omp.h>
#include <sched.h>

#include <cstdlib>
#include <vector>

#include "ds/base/parallel.h"

namespace ds {
namespace {

/// Those of this process when a team first asked.
const std::vector<int>& processors() {
  static const std::vector<int> list = [] {
    std::vector<int> found;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
      for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) found.push_back(i);
    return found;
  }();
  return list;
}

struct Team {
  bool binds = false;
  int setting = 0;  // num_threads() when it was bound
  int threads = 0;  // of its last region: OpenMP ends what a smaller region leaves out
};
thread_local Team t_team;

/// The calling thread on one processor, or on any of them.
void bind_to(const std::vector<int>& list, bool one, int thread) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (size_t i = 0; i < list.size(); ++i)
    if (!one || static_cast<int>(i) == thread) CPU_SET(list[i], &set);
  sched_setaffinity(0, sizeof set, &set);  // refused: the thread stays where it may run
}

}  // namespace

void bind_teams() {
  t_team.binds = std::getenv("OMP_PROC_BIND") == nullptr && processors().size() > 1;
}

void prepare_team(int threads) {
  Team& team = t_team;
  if (!team.binds || threads <= 1) return;
  const int setting = num_threads();
  if (setting == team.setting && threads <= team.threads) {
    team.threads = threads;
    return;
  }
  const std::vector<int>& list = processors();
  const bool one = static_cast<size_t>(setting) == list.size();
  if (one || team.setting == static_cast<int>(list.size())) {
#pragma omp parallel num_threads(threads)
    bind_to(list, one, omp_get_thread_num());
  }
  team.setting = setting;
  team.threads = threads;
}

}  // namespace ds
