// SPDX-License-Identifier: Apache-2.0
// Transcendental functions of f64.
#pragma once

#include "ds/backends/cpu/kernels/typed.h"

namespace ds::cpu {

/// The loop for exp, log, sin, cos, tanh or sigmoid, within 5 units in the last place; null for any
/// other op.
TypedFn math_f64(Op op);

}  // namespace ds::cpu
