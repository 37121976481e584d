// SPDX-License-Identifier: Apache-2.0
#include "ds/train/interrupt.h"

#include <atomic>

namespace ds::train {
namespace {

std::atomic<bool> g_taken{false};
volatile std::sig_atomic_t g_requested = 0;
struct sigaction g_before;

void on_interrupt(int) {
  g_requested = 1;
  sigaction(SIGINT, &g_before, nullptr);
}

}  // namespace

InterruptScope::InterruptScope() {
  if (g_taken.exchange(true)) return;
  sigaction(SIGINT, nullptr, &g_before);
  if (g_before.sa_handler == SIG_IGN) {
    g_taken = false;
    return;
  }
  g_requested = 0;
  struct sigaction own {};
  own.sa_handler = on_interrupt;
  own.sa_flags = SA_RESTART;
  sigemptyset(&own.sa_mask);
  sigaction(SIGINT, &own, nullptr);
  active_ = true;
}

InterruptScope::~InterruptScope() {
  if (!active_) return;
  sigaction(SIGINT, &g_before, nullptr);
  g_taken = false;
}

bool InterruptScope::requested() const { return active_ && g_requested != 0; }

}  // namespace ds::train
