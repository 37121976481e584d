// SPDX-License-Identifier: Apache-2.0
// Group normalisation: statistics of a group are those of one contiguous row; the sweeps are those
// of batch normalisation with every (sample, channel) pair as a channel of its own.
#include <cmath>
#include <vector>

#include "ds/backends/cpu/kernels/norm_affine.h"
#include "ds/backends/cpu/kernels/reduce.h"

namespace ds::cpu {
namespace {

BatchShape pairs(GroupShape shape) { return {1, shape.n * shape.c, shape.s, false}; }

int64_t group_of(GroupShape shape, int64_t pair) {
  return pair / shape.c * shape.groups + pair % shape.c / (shape.c / shape.groups);
}

}  // namespace

void group_norm(DType dtype, const void* x, GroupShape shape, const float* gamma, const float* beta,
                float eps, void* y, float* mean, float* rstd) {
  const int64_t groups = shape.n * shape.groups, count = shape.n * shape.c;
  reduce_mean_var(dtype, x, groups, shape.c / shape.groups * shape.s, 1, 0, mean, rstd);
  for (int64_t g = 0; g < groups; ++g) {
    rstd[g] = static_cast<float>(1 / std::sqrt(static_cast<double>(rstd[g]) + eps));
  }
  std::vector<float> pair_mean(count), scale(count), bias(count);
  for (int64_t p = 0; p < count; ++p) {
    const int64_t g = group_of(shape, p);
    pair_mean[p] = mean[g];
    scale[p] = rstd[g] * (gamma ? gamma[p % shape.c] : 1);
    bias[p] = beta ? beta[p % shape.c] : 0;
  }
  affine_apply(dtype, x, pairs(shape), pair_mean.data(), scale.data(), bias.data(), nullptr, false,
               y);
}

void group_norm_backward(DType dtype, const void* dy, const void* x, GroupShape shape,
                         const float* gamma, const float* mean, const float* rstd, void* dx,
                         float* dgamma, float* dbeta) {
  const int64_t count = shape.n * shape.c;
  std::vector<float> pair_mean(count), scale(count), offset(count), slope(count);
  for (int64_t p = 0; p < count; ++p) pair_mean[p] = mean[group_of(shape, p)];
  std::vector<double> sum(count), dot(count), total_gamma(shape.c), total_beta(shape.c);
  affine_sums(dtype, dy, x, nullptr, pairs(shape), pair_mean.data(), sum.data(), dot.data());
  // Per group: the sums of gamma dy and of gamma dy (x - mean).
  std::vector<double> group_sum(shape.n * shape.groups), group_dot(group_sum.size());
  for (int64_t p = 0; p < count; ++p) {
    const int64_t c = p % shape.c, g = group_of(shape, p);
    const double weight = gamma ? gamma[c] : 1;
    group_sum[g] += weight * sum[p];
    group_dot[g] += weight * dot[p];
    total_gamma[c] += dot[p] * rstd[g];
    total_beta[c] += sum[p];
  }
  for (int64_t c = 0; c < shape.c; ++c) {
    if (dgamma) dgamma[c] = static_cast<float>(total_gamma[c]);
    if (dbeta) dbeta[c] = static_cast<float>(total_beta[c]);
  }
  // dx = rstd (gamma dy - mean(gamma dy) - xhat mean(gamma dy xhat)), xhat = (x - mean) rstd.
  const double elements = static_cast<double>(shape.c / shape.groups * shape.s);
  for (int64_t p = 0; p < count; ++p) {
    const int64_t g = group_of(shape, p);
    const double r = rstd[g];
    scale[p] = static_cast<float>(r * (gamma ? gamma[p % shape.c] : 1));
    offset[p] = static_cast<float>(r * group_sum[g] / elements);
    slope[p] = static_cast<float>(r * r * r * group_dot[g] / elements);
  }
  affine_backward(dtype, dy, x, nullptr, pairs(shape), pair_mean.data(), scale.data(),
                  offset.data(), slope.data(), dx, nullptr);
}

}  // namespace ds::cpu
