// SPDX-License-Identifier: Apache-2.0
// Group normalisation: the sweeps are those of batch normalisation with every (sample, channel)
// pair as a channel of its own.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ds/backends/cpu/kernels/norm_affine.h"
#include "ds/backends/cpu/kernels/reduce.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

int64_t group_of(const GroupShape& shape, int64_t pair) {
  return pair / shape.c * shape.groups + pair % shape.c / (shape.c / shape.groups);
}

/// body(first element, first pair, shape) with pairs as channels: at once where channels come
/// first, else sample by sample, as the pairs of one sample lie beside each other only.
template <class Body>
void each_part(const GroupShape& shape, Body body) {
  if (!shape.channels_last) {
    body(int64_t{0}, int64_t{0}, BatchShape{1, shape.n * shape.c, shape.s, false});
    return;
  }
  const BatchShape sample{1, shape.c, shape.s, true};
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i * shape.c * shape.s, i * shape.c, sample);
  };
  // One sample at a time where there are too few for all threads.
  if (shape.n < num_threads()) return run(0, shape.n);
  parallel_for(shape.n, std::max<int64_t>(1, 16384 / (shape.c * shape.s)), run);
}

const void* at(DType dtype, const void* x, int64_t element) {
  return static_cast<const char*>(x) + element * static_cast<int64_t>(dtype_size(dtype));
}
void* at(DType dtype, void* x, int64_t element) {
  return static_cast<char*>(x) + element * static_cast<int64_t>(dtype_size(dtype));
}

double rstd(const BatchNorm& norm, int64_t group) {
  return 1 / std::sqrt(static_cast<double>(norm.var[group]) + norm.eps);
}

std::vector<float> pair_means(const GroupShape& shape, const BatchNorm& norm) {
  std::vector<float> means(shape.n * shape.c);
  for (size_t p = 0; p < means.size(); ++p)
    means[p] = norm.mean[group_of(shape, static_cast<int64_t>(p))];
  return means;
}

}  // namespace

void group_norm_statistics(DType dtype, const void* x, GroupShape shape, float* mean, float* var) {
  const int64_t width = shape.c / shape.groups, count = shape.n * shape.groups;
  if (!shape.channels_last) {
    reduce_mean_var(dtype, x, count, width * shape.s, 1, 0, mean, var);
    return;
  }
  std::vector<float> means(shape.n * shape.c), vars(means.size());
  each_part(shape, [&](int64_t element, int64_t pair, BatchShape part) {
    batch_norm_statistics(dtype, at(dtype, x, element), part, &means[pair], &vars[pair]);
  });
  // All channels of a group have the same number of elements.
  for (int64_t g = 0; g < count; ++g) {
    const float *m = &means[g * width], *v = &vars[g * width];
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < width; ++i) sum += m[i];
    sum /= static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) squares += v[i] + (m[i] - sum) * (m[i] - sum);
    mean[g] = static_cast<float>(sum);
    var[g] = static_cast<float>(squares / static_cast<double>(width));
  }
}

void group_norm_apply(DType dtype, const void* x, GroupShape shape, const BatchNorm& norm,
                      void* y) {
  const int64_t count = shape.n * shape.c;
  const std::vector<float> means = pair_means(shape, norm);
  std::vector<float> scale(count), bias(count);
  for (int64_t p = 0; p < count; ++p) {
    scale[p] = static_cast<float>(rstd(norm, group_of(shape, p)) * norm.gamma[p % shape.c]);
    bias[p] = norm.beta[p % shape.c];
  }
  each_part(shape, [&](int64_t element, int64_t pair, BatchShape part) {
    affine_apply(dtype, at(dtype, x, element), part, &means[pair], &scale[pair], &bias[pair],
                 nullptr, false, at(dtype, y, element));
  });
}

void group_norm_backward(DType dtype, const void* dy, const void* x, GroupShape shape,
                         const BatchNorm& norm, void* dx, float* dgamma, float* dbeta) {
  const int64_t count = shape.n * shape.c;
  const std::vector<float> means = pair_means(shape, norm);
  std::vector<double> sum(count), dot(count), total_gamma(shape.c), total_beta(shape.c);
  each_part(shape, [&](int64_t element, int64_t pair, BatchShape part) {
    affine_sums(dtype, at(dtype, dy, element), at(dtype, x, element), nullptr, part, &means[pair],
                &sum[pair], &dot[pair]);
  });
  // Per group: the sums of gamma dy and of gamma dy (x - mean).
  std::vector<double> group_sum(shape.n * shape.groups), group_dot(group_sum.size());
  for (int64_t p = 0; p < count; ++p) {
    const int64_t c = p % shape.c, g = group_of(shape, p);
    group_sum[g] += norm.gamma[c] * sum[p];
    group_dot[g] += norm.gamma[c] * dot[p];
    total_gamma[c] += dot[p] * rstd(norm, g);
    total_beta[c] += sum[p];
  }
  std::copy(total_gamma.begin(), total_gamma.end(), dgamma);
  std::copy(total_beta.begin(), total_beta.end(), dbeta);
  if (!dx) return;
  // dx = rstd (gamma dy - mean(gamma dy) - xhat mean(gamma dy xhat)), xhat = (x - mean) rstd.
  const double elements = static_cast<double>(shape.c / shape.groups * shape.s);
  std::vector<float> scale(count), offset(count), slope(count);
  for (int64_t p = 0; p < count; ++p) {
    const int64_t g = group_of(shape, p);
    const double r = rstd(norm, g);
    scale[p] = static_cast<float>(r * norm.gamma[p % shape.c]);
    offset[p] = static_cast<float>(r * group_sum[g] / elements);
    slope[p] = static_cast<float>(r * r * r * group_dot[g] / elements);
  }
  each_part(shape, [&](int64_t element, int64_t pair, BatchShape part) {
    affine_backward(dtype, at(dtype, dy, element), at(dtype, x, element), nullptr, part,
                    &means[pair], &scale[pair], &offset[pair], &slope[pair], at(dtype, dx, element),
                    nullptr);
  });
}

}  // namespace ds::cpu
