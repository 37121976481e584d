// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/invalid_flag.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace ds::cpu {

#if defined(__x86_64__)

namespace {

unsigned take() {
  const unsigned state = _mm_getcsr(), flag = state & _MM_EXCEPT_INVALID;
  if (flag) _mm_setcsr(state & ~flag);
  return flag;
}

}  // namespace

bool has_invalid_flag() { return true; }

void lower_invalid_flag() { take(); }

bool take_invalid_flag(int threads) {
  if (threads == 1) return take() != 0;
  unsigned flags = 0;
#pragma omp parallel num_threads(threads) reduction(| : flags)
  flags |= take();
  return flags != 0;
}

#else

bool has_invalid_flag() { return false; }
void lower_invalid_flag() {}
bool take_invalid_flag(int) { return true; }

#endif

}  // namespace ds::cpu
