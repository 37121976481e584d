// SPDX-License-Identifier: Apache-2.0
// The sweeps that batch and group normalisation share, with all per-channel factors worked out.
#pragma once

#include "ds/backends/cpu/kernels/norm.h"

namespace ds::cpu {

/// y = (x - mean) * scale + beta (+ residual) (ReLU); parameters [c].
void affine_apply(DType dtype, const void* x, BatchShape shape, const float* mean,
                  const float* scale, const float* beta, const void* residual, bool relu, void* y);

/// sum [c] += sum(dy) and dot [c] += sum(dy * (x - mean)); dy counts where y > 0 when there is a y.
void affine_sums(DType dtype, const void* dy, const void* x, const void* y, BatchShape shape,
                 const float* mean, double* sum, double* dot);

/// dx = dy * scale - offset - (x - mean) * slope; dresidual = dy, both under the mask y > 0.
void affine_backward(DType dtype, const void* dy, const void* x, const void* y, BatchShape shape,
                     const float* mean, const float* scale, const float* offset, const float* slope,
                     void* dx, void* dresidual);

}  // namespace ds::cpu
