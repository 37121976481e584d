// SPDX-License-Identifier: Apache-2.0
// Joins small independent elementwise steps, such as the optimizer's updates of biases and norms,
// into one parallel sweep: each alone is too small for a second thread.
#pragma once

#include <vector>

#include "ds/backends/cpu/program.h"

namespace ds::cpu {

/// Elements of a step that still counts as small: two threads gain little from more.
inline constexpr int64_t kSmallStep = 16384;

/// The steps in an order with the same results. A small step waits for others until something needs
/// what it writes, or overwrites what it reads. Slots with one number in `memory` may be one
/// memory.
std::vector<Step> batch_small_steps(std::vector<Step> steps, const std::vector<int>& memory);

/// The steps with the small ones in front that read nothing but inputs and overwrite none: the
/// scales and shifts of a network's batch norms, each made of a few parameters, become one batch.
std::vector<Step> put_first_what_inputs_give(std::vector<Step> steps,
                                             const std::vector<Slot>& slots,
                                             const std::vector<int>& memory);

}  // namespace ds::cpu
