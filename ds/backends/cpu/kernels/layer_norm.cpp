// SPDX-License-Identifier: Apache-2.0
// Layer and root-mean-square normalisation of rows.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/layer_norm.cpp"
#include <hwy/foreach_target.h>

#include <cmath>
#include <vector>

#include "ds/backends/cpu/kernels/norm.h"
#include "ds/backends/cpu/kernels/row-inl.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Mean (0 when `center` is false) and 1 / sqrt(mean square deviation + eps) of a row.
HWY_INLINE void RowStatistics(const float* x, size_t n, bool center, float eps, float* mean,
                              float* rstd) {
  const double count = static_cast<double>(n);
  *mean = center ? static_cast<float>(RowSum(x, n) / count) : 0.0f;
  const VF m = hn::Set(DF(), *mean);
  double squares = 0, rest = 0;
  for (size_t i = 0; i < n; i += kRowBlock) {
    const size_t len = std::min(kRowBlock, n - i);
    squares += SumLanes(Accumulate(
        x + i, len, hn::Zero(DF()),
        [m](VF v) HWY_ATTR {
          const VF e = hn::Sub(v, m);
          return hn::Mul(e, e);
        },
        [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); }));
    if (center) {
      rest += SumLanes(Accumulate(
          x + i, len, hn::Zero(DF()), [m](VF v) HWY_ATTR { return hn::Sub(v, m); },
          [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); }));
    }
  }
  // rest is what rounding the mean to f32 lost.
  const double variance = (squares - rest * rest / count) / count;
  *rstd = static_cast<float>(1 / std::sqrt(variance + eps));
}

void NormRow(DType dtype, const void* x, int64_t row, size_t n, bool center, const float* gamma,
             const float* beta, float eps, void* y, float* mean, float* rstd, float* in) {
  const int64_t offset = row * static_cast<int64_t>(n);
  const float* src = AsFloats(dtype, x, offset, n, in);
  float* dst = FloatTarget(dtype, y, offset, in);
  float average;
  RowStatistics(src, n, center, eps, &average, rstd);
  if (mean) *mean = average;
  const VF m = hn::Set(DF(), average), r = hn::Set(DF(), *rstd);
  ForVec(n, [&](auto at) HWY_ATTR {
    VF v = hn::Mul(hn::Sub(at.Load(src), m), r);
    if (gamma) v = hn::Mul(v, at.Load(gamma));
    if (beta) v = hn::Add(v, at.Load(beta));
    at.Store(v, dst);
  });
  PutFloats(dtype, dst, y, offset, n);
}

/// Adds dy * xhat to run_gamma and dy to run_beta, either null when not wanted, and writes dx.
void NormBackwardRow(DType dtype, const void* dy, const void* x, int64_t row, size_t n,
                     const float* gamma, bool center, float mean, float rstd, void* dx,
                     float* run_gamma, float* run_beta, float* scratch) {
  const int64_t offset = row * static_cast<int64_t>(n);
  const float* g = AsFloats(dtype, dy, offset, n, scratch);
  const float* src = AsFloats(dtype, x, offset, n, scratch + n);
  const VF m = hn::Set(DF(), mean), r = hn::Set(DF(), rstd);
  double sum = 0, dot = 0;  // of dy * gamma, and of that times the normalised x
  for (size_t i = 0; i < n; i += kRowBlock) {
    VF part_sum = hn::Zero(DF()), part_dot = part_sum;
    ForVec(std::min(kRowBlock, n - i), [&](auto at) HWY_ATTR {
      const VF d = at.Load(g + i);
      const VF xhat = hn::Mul(hn::Sub(at.Load(src + i), m), r);
      const VF d_xhat = hn::Mul(d, xhat);
      if (run_gamma) at.Store(hn::Add(at.Load(run_gamma + i), d_xhat), run_gamma + i);
      if (run_beta) at.Store(hn::Add(at.Load(run_beta + i), d), run_beta + i);
      if (gamma) {
        const VF w = at.Load(gamma + i);
        part_sum = hn::MulAdd(d, w, part_sum);
        part_dot = hn::MulAdd(d_xhat, w, part_dot);
      } else {
        part_sum = hn::Add(part_sum, d);
        part_dot = hn::Add(part_dot, d_xhat);
      }
    });
    sum += SumLanes(part_sum);
    dot += SumLanes(part_dot);
  }
  if (!dx) return;
  float* dst = FloatTarget(dtype, dx, offset, scratch);
  const double count = static_cast<double>(n);
  const VF mean_sum = hn::Set(DF(), center ? static_cast<float>(sum / count) : 0.0f);
  const VF mean_dot = hn::Set(DF(), static_cast<float>(dot / count));
  ForVec(n, [&](auto at) HWY_ATTR {
    VF d = at.Load(g);
    if (gamma) d = hn::Mul(d, at.Load(gamma));
    const VF xhat = hn::Mul(hn::Sub(at.Load(src), m), r);
    const VF e = hn::NegMulAdd(xhat, mean_dot, hn::Sub(d, mean_sum));
    at.Store(hn::Mul(e, r), dst);
  });
  PutFloats(dtype, dst, dx, offset, n);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(NormRow);
HWY_EXPORT(NormBackwardRow);

namespace {

void forward(DType dtype, const void* x, int64_t rows, int64_t n, bool center, const float* gamma,
             const float* beta, float eps, void* y, float* mean, float* rstd) {
  const auto row = HWY_DYNAMIC_DISPATCH(NormRow);
  parallel_for(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(n, 1)),
               [&](int64_t begin, int64_t end) {
                 std::vector<float> scratch(dtype == DType::f32 ? 0 : n);
                 for (int64_t r = begin; r < end; ++r) {
                   row(dtype, x, r, static_cast<size_t>(n), center, gamma, beta, eps, y,
                       mean ? mean + r : nullptr, rstd + r, scratch.data());
                 }
               });
}

/// Moves a run of f32 sums into f64.
void flush(std::vector<float>& run, double* total) {
  for (size_t i = 0; i < run.size(); ++i) total[i] += run[i];
  std::fill(run.begin(), run.end(), 0.0f);
}

void backward(DType dtype, const void* dy, const void* x, int64_t rows, int64_t n, bool center,
              const float* gamma, const float* mean, const float* rstd, void* dx, float* dgamma,
              float* dbeta) {
  const auto row = HWY_DYNAMIC_DISPATCH(NormBackwardRow);
  // A fixed number of pieces, so that the sums do not depend on the threads.
  const int64_t pieces = std::clamp<int64_t>(rows / 16, 1, 64);
  std::vector<double> sums_gamma(dgamma ? pieces * n : 0), sums_beta(dbeta ? pieces * n : 0);
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(2 * n), run_gamma(dgamma ? n : 0), run_beta(dbeta ? n : 0);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = rows * p / pieces, last = rows * (p + 1) / pieces;
      for (int64_t r = first; r < last; ++r) {
        row(dtype, dy, x, r, static_cast<size_t>(n), gamma, center, mean ? mean[r] : 0, rstd[r], dx,
            dgamma ? run_gamma.data() : nullptr, dbeta ? run_beta.data() : nullptr, scratch.data());
        if ((r - first) % 32 != 31 && r + 1 != last) continue;
        if (dgamma) flush(run_gamma, sums_gamma.data() + p * n);
        if (dbeta) flush(run_beta, sums_beta.data() + p * n);
      }
    }
  });
  for (int64_t i = 0; i < n; ++i) {
    double total_gamma = 0, total_beta = 0;
    for (int64_t p = 0; p < pieces; ++p) {
      if (dgamma) total_gamma += sums_gamma[p * n + i];
      if (dbeta) total_beta += sums_beta[p * n + i];
    }
    if (dgamma) dgamma[i] = static_cast<float>(total_gamma);
    if (dbeta) dbeta[i] = static_cast<float>(total_beta);
  }
}

}  // namespace

void layer_norm(DType dtype, const void* x, int64_t rows, int64_t n, const float* gamma,
                const float* beta, float eps, void* y, float* mean, float* rstd) {
  forward(dtype, x, rows, n, /*center=*/true, gamma, beta, eps, y, mean, rstd);
}
void layer_norm_backward(DType dtype, const void* dy, const void* x, int64_t rows, int64_t n,
                         const float* gamma, const float* mean, const float* rstd, void* dx,
                         float* dgamma, float* dbeta) {
  backward(dtype, dy, x, rows, n, /*center=*/true, gamma, mean, rstd, dx, dgamma, dbeta);
}
void rms_norm(DType dtype, const void* x, int64_t rows, int64_t n, const float* gamma, float eps,
              void* y, float* rstd) {
  forward(dtype, x, rows, n, /*center=*/false, gamma, nullptr, eps, y, nullptr, rstd);
}
void rms_norm_backward(DType dtype, const void* dy, const void* x, int64_t rows, int64_t n,
                       const float* gamma, const float* rstd, void* dx, float* dgamma) {
  backward(dtype, dy, x, rows, n, /*center=*/false, gamma, nullptr, rstd, dx, dgamma, nullptr);
}

}  // namespace ds::cpu
#endif
