// SPDX-License-Identifier: Apache-2.0
// Matrix products in f64, which oneDNN does not have.
#pragma once

#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// lhs [..., M, K] x rhs [..., K, N] -> dst [..., M, N], views of one rank with any strides; the
/// batch dimensions of the inputs have dst's sizes (stride 0 where they repeat).
void matmul_f64(const View& lhs, const View& rhs, const View& dst, const double* a, const double* b,
                double* c);

}  // namespace ds::cpu
