// SPDX-License-Identifier: Apache-2.0
// Normalisation layers, forward and backward. Activations are f32, f16 or bf16, all of one call of
// one dtype; statistics, gamma, beta and their gradients are f32. Sums over rows run in f64 after
// short f32 runs and do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::cpu {

/// y = (x - mean) * rstd * gamma + beta over rows of x [rows, n]; gamma and beta [n] may be null
/// (1 and 0). mean, rstd [rows] are written for the backward pass. y may be x.
void layer_norm(DType dtype, const void* x, int64_t rows, int64_t n, const float* gamma,
                const float* beta, float eps, void* y, float* mean, float* rstd);
/// dx [rows, n], dgamma [n], dbeta [n] in one sweep; any of the three may be null. dx may be dy.
void layer_norm_backward(DType dtype, const void* dy, const void* x, int64_t rows, int64_t n,
                         const float* gamma, const float* mean, const float* rstd, void* dx,
                         float* dgamma, float* dbeta);

/// y = x * rstd * gamma with rstd = 1 / sqrt(mean(x^2) + eps); as layer_norm otherwise.
void rms_norm(DType dtype, const void* x, int64_t rows, int64_t n, const float* gamma, float eps,
              void* y, float* rstd);
void rms_norm_backward(DType dtype, const void* dy, const void* x, int64_t rows, int64_t n,
                       const float* gamma, const float* rstd, void* dx, float* dgamma);

/// [n, c, s] when channels first, [n, s, c] when channels last.
struct BatchShape {
  int64_t n, c, s;
  bool channels_last;
};

/// mean and biased variance [c] over n and s.
void batch_norm_statistics(DType dtype, const void* x, BatchShape shape, float* mean, float* var);

/// Per-channel operands [c] of normalisation; gamma and beta may be null (1 and 0).
struct BatchNorm {
  const float* mean;
  const float* var;
  const float* gamma;
  const float* beta;
  float eps;
};

/// y = (x - mean) / sqrt(var + eps) * gamma + beta, plus residual (null for none), then max(., 0)
/// when relu. y may be x or residual.
void batch_norm_apply(DType dtype, const void* x, BatchShape shape, const BatchNorm& norm,
                      const void* residual, bool relu, void* y);

/// dgamma and dbeta [c]. y is the output when there was a ReLU, whose mask is y > 0; else null.
void batch_norm_backward_reduce(DType dtype, const void* dy, const void* x, const void* y,
                                BatchShape shape, const BatchNorm& norm, float* dgamma,
                                float* dbeta);
/// dx from the sums of batch_norm_backward_reduce. With fixed_statistics (evaluation mode) mean
/// and var are constants and the sums are not read. dresidual (null for none) gets dy under the
/// mask. dx or dresidual may be dy.
void batch_norm_backward_apply(DType dtype, const void* dy, const void* x, const void* y,
                               BatchShape shape, const BatchNorm& norm, const float* dgamma,
                               const float* dbeta, bool fixed_statistics, void* dx,
                               void* dresidual);

/// A batch whose channels are normalised in `groups` groups of c / groups, of each sample alone.
struct GroupShape : BatchShape {
  int64_t groups;
};
/// mean and biased variance [n, groups].
void group_norm_statistics(DType dtype, const void* x, GroupShape shape, float* mean, float* var);
/// y = (x - mean) / sqrt(var + eps) * gamma + beta; mean and var [n, groups], gamma and beta [c].
/// y may be x.
void group_norm_apply(DType dtype, const void* x, GroupShape shape, const BatchNorm& norm, void* y);
/// dgamma, dbeta [c], and dx unless null. dx may be dy.
void group_norm_backward(DType dtype, const void* dy, const void* x, GroupShape shape,
                         const BatchNorm& norm, void* dx, float* dgamma, float* dbeta);

}  // namespace ds::cpu
