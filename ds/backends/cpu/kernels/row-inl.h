// SPDX-License-Identifier: Apache-2.0
// Per-target sums, extremes and products of contiguous f32 rows. A Block function adds up to 1024
// elements in f32; a Row function takes any length and adds its blocks in f64.

#if defined(DS_CPU_KERNELS_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DS_CPU_KERNELS_ROW_INL_H_
#undef DS_CPU_KERNELS_ROW_INL_H_
#else
#define DS_CPU_KERNELS_ROW_INL_H_
#endif

#include <algorithm>

#include "ds/backends/cpu/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

inline constexpr size_t kRowBlock = 1024;

/// Largest or smallest lane, NaN first.
HWY_INLINE float ExtremeLane(VF v, bool min) {
  float lanes[kMaxLanes];
  StoreVec(v, lanes);
  float best = lanes[0];
  for (size_t i = 1; i < hn::Lanes(DF()); ++i) {
    if (lanes[i] != lanes[i] || (min ? lanes[i] < best : lanes[i] > best)) best = lanes[i];
    if (best != best) return best;
  }
  return best;
}

/// combine over map(x[i], y[i]) in two accumulators of a sum.
template <class Map>
HWY_INLINE VF AccumulatePair(const float* x, const float* y, size_t n, Map map) {
  const size_t lanes = hn::Lanes(DF());
  VF a0 = hn::Zero(DF()), a1 = a0;
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a0 = hn::Add(a0, map(LoadVec(x + i), LoadVec(y + i)));
    a1 = hn::Add(a1, map(LoadVec(x + i + lanes), LoadVec(y + i + lanes)));
  }
  for (; i + lanes <= n; i += lanes) a0 = hn::Add(a0, map(LoadVec(x + i), LoadVec(y + i)));
  if (i < n) {
    const VF part = map(LoadPart(x + i, n - i), LoadPart(y + i, n - i));
    a1 = hn::Add(a1, hn::IfThenElseZero(hn::FirstN(DF(), n - i), part));
  }
  return hn::Add(a0, a1);
}

HWY_INLINE double BlockSum(const float* x, size_t n) {
  return SumLanes(Accumulate(
      x, n, hn::Zero(DF()), [](VF v) HWY_ATTR { return v; },
      [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); }));
}
HWY_INLINE double BlockSumSquares(const float* x, size_t n) {
  return SumLanes(Accumulate(
      x, n, hn::Zero(DF()), [](VF v) HWY_ATTR { return hn::Mul(v, v); },
      [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); }));
}
HWY_INLINE double BlockDot(const float* x, const float* y, size_t n) {
  return SumLanes(AccumulatePair(x, y, n, [](VF a, VF b) HWY_ATTR { return hn::Mul(a, b); }));
}
HWY_INLINE double BlockSumExp(const float* x, size_t n, float max) {
  const VF m = hn::Set(DF(), max);
  return SumLanes(Accumulate(
      x, n, hn::Zero(DF()), [m](VF v) HWY_ATTR { return Exp(hn::Sub(v, m)); },
      [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); }));
}

/// Largest element, NaN first; -inf for none. Any length.
HWY_INLINE float RowMax(const float* x, size_t n) {
  return ExtremeLane(Accumulate(
                         x, n, hn::Neg(Inf()), [](VF v) HWY_ATTR { return v; },
                         [](VF a, VF b) HWY_ATTR { return Maximum(a, b); }),
                     false);
}
HWY_INLINE float RowMin(const float* x, size_t n) {
  return ExtremeLane(Accumulate(
                         x, n, Inf(), [](VF v) HWY_ATTR { return v; },
                         [](VF a, VF b) HWY_ATTR { return Minimum(a, b); }),
                     true);
}

HWY_INLINE double RowSum(const float* x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i += kRowBlock) sum += BlockSum(x + i, std::min(kRowBlock, n - i));
  return sum;
}
HWY_INLINE double RowDot(const float* x, const float* y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i += kRowBlock) {
    sum += BlockDot(x + i, y + i, std::min(kRowBlock, n - i));
  }
  return sum;
}
HWY_INLINE double RowSumExp(const float* x, size_t n, float max) {
  double sum = 0;
  for (size_t i = 0; i < n; i += kRowBlock) {
    sum += BlockSumExp(x + i, std::min(kRowBlock, n - i), max);
  }
  return sum;
}

/// out[i] = f(x[i]) and f(x[i], y[i]); out may be an operand.
template <class F>
HWY_INLINE void MapRow(const float* x, float* out, size_t n, F f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreVec(f(LoadVec(x + i)), out + i);
  if (i < n) StorePart(f(LoadPart(x + i, n - i)), out + i, n - i);
}
template <class F>
HWY_INLINE void MapRow(const float* x, const float* y, float* out, size_t n, F f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreVec(f(LoadVec(x + i), LoadVec(y + i)), out + i);
  if (i < n) StorePart(f(LoadPart(x + i, n - i), LoadPart(y + i, n - i)), out + i, n - i);
}
template <class F>
HWY_INLINE void MapRow(const float* x, const float* y, const float* z, float* out, size_t n, F f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreVec(f(LoadVec(x + i), LoadVec(y + i), LoadVec(z + i)), out + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    StorePart(f(LoadPart(x + i, rest), LoadPart(y + i, rest), LoadPart(z + i, rest)), out + i,
              rest);
  }
}

/// sum[i] += u and dot[i] += u * v for four rows of n elements: the sums are read and written once
/// for all of them. f(at, row) gives u and v, and asks for the row four further ahead, because the
/// processor sees four short streams, not one long one.
template <class F>
HWY_INLINE void AddFourProducts(size_t n, float* sum, float* dot, F f) {
  ForVec(n, [=](auto at) HWY_ATTR {
    VF s = at.Load(sum), d = at.Load(dot);
    for (int64_t row = 0; row < 4; ++row) {
      VF u, v;
      f(at, row, u, v);
      s = hn::Add(s, u);
      d = hn::MulAdd(u, v, d);
    }
    at.Store(s, sum);
    at.Store(d, dot);
  });
}

/// wide[i] += acc[i]; acc[i] = 0: short runs are summed in f32, all of them in f64.
HWY_INLINE void AddWide(float* acc, double* wide, size_t n) {
#if HWY_HAVE_FLOAT64
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> half;
  const size_t lanes = hn::Lanes(dd);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto sum = hn::Add(hn::LoadU(dd, wide + i), hn::PromoteTo(dd, hn::LoadU(half, acc + i)));
    hn::StoreU(sum, dd, wide + i);
    hn::StoreU(hn::Zero(half), half, acc + i);
  }
#else
  size_t i = 0;
#endif
  for (; i < n; ++i) {
    wide[i] += acc[i];
    acc[i] = 0;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#endif  // DS_CPU_KERNELS_ROW_INL_H_
