// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/small_matmul.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/small_matmul.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <utility>

#include "ds/backends/cpu/kernels/product-inl.h"

#ifndef DS_CPU_KERNELS_SMALL_MATMUL_CONSTANTS_
#define DS_CPU_KERNELS_SMALL_MATMUL_CONSTANTS_
namespace ds::cpu {
namespace {

constexpr int64_t kWidestStrip = 32;  // two vectors of 16 lanes
constexpr int64_t kSmallRows = 6;     // as in Sums: 12 sums with two vectors

}  // namespace
}  // namespace ds::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

template <size_t... I>
using Pack = std::index_sequence<I...>;

/// Columns of rhs, one or two vectors wide, as they are multiplied with.
struct Columns {
  const float* at;
  size_t row;
  size_t count;  // the last vector may be shorter
};

HWY_INLINE void StoreColumns(VF v, float* dst, size_t count) {
  if (count >= kMaxLanes)
    StoreVec(v, dst);
  else
    StorePart(v, dst, count);
}

/// Rows of dst: lhs [rows, k] times the columns. Accumulators in an array stay in registers only
/// where all indices are known.
template <bool kTwo, size_t... M>
HWY_INLINE void MultiplySmall(Pack<M...>, const SmallMatmul& p, const float* lhs, const Columns& c,
                              float* dst) {
  VF near[] = {(static_cast<void>(M), hn::Zero(DF()))...};
  VF far[] = {(static_cast<void>(M), hn::Zero(DF()))...};
  const float* rhs = c.at;
  for (int64_t k = 0; k < p.k; ++k, lhs += p.lhs_col, rhs += c.row) {
    const VF b0 = LoadVec(rhs);
    if constexpr (kTwo) {
      const VF b1 = LoadVec(rhs + kMaxLanes);
      const auto row = [&](size_t m, VF& x0, VF& x1) HWY_ATTR {
        const VF a = hn::Set(DF(), lhs[static_cast<int64_t>(m) * p.lhs_row]);
        x0 = hn::MulAdd(a, b0, x0);
        x1 = hn::MulAdd(a, b1, x1);
      };
      (row(M, near[M], far[M]), ...);
    } else {
      ((near[M] = hn::MulAdd(hn::Set(DF(), lhs[static_cast<int64_t>(M) * p.lhs_row]), b0, near[M])),
       ...);
    }
  }
  if constexpr (kTwo) {
    (StoreVec(near[M], dst + static_cast<int64_t>(M) * p.n), ...);
    (StoreColumns(far[M], dst + static_cast<int64_t>(M) * p.n + kMaxLanes, c.count - kMaxLanes),
     ...);
  } else {
    (StoreColumns(near[M], dst + static_cast<int64_t>(M) * p.n, c.count), ...);
  }
}

template <bool kTwo>
void MultiplyColumns(const SmallMatmul& p, const float* lhs, const Columns& c, float* dst) {
  int64_t m = p.m;
  for (; m >= kSmallRows; m -= kSmallRows) {
    MultiplySmall<kTwo>(std::make_index_sequence<kSmallRows>(), p, lhs, c, dst);
    lhs += kSmallRows * p.lhs_row;
    dst += kSmallRows * p.n;
  }
  switch (m) {
    case 5: return MultiplySmall<kTwo>(std::make_index_sequence<5>(), p, lhs, c, dst);
    case 4: return MultiplySmall<kTwo>(std::make_index_sequence<4>(), p, lhs, c, dst);
    case 3: return MultiplySmall<kTwo>(std::make_index_sequence<3>(), p, lhs, c, dst);
    case 2: return MultiplySmall<kTwo>(std::make_index_sequence<2>(), p, lhs, c, dst);
    case 1: return MultiplySmall<kTwo>(std::make_index_sequence<1>(), p, lhs, c, dst);
    default: return;
  }
}

/// Columns [col, col + count) of rhs as rows of whole vectors: where they lie, or as a copy.
Columns GatherColumns(const SmallMatmul& p, const float* rhs, int64_t col, size_t count,
                      float* space) {
  const size_t width = count > kMaxLanes ? 2 * kMaxLanes : kMaxLanes;
  const auto depth = static_cast<size_t>(p.k);
  if (p.rhs_col == 1 && count == width) return {rhs + col, static_cast<size_t>(p.rhs_row), count};
  if (count < width) std::fill_n(space, depth * width, 0.0f);
  if (p.rhs_col == 1) {
    for (size_t k = 0; k < depth; ++k)
      std::copy_n(rhs + static_cast<int64_t>(k) * p.rhs_row + col, count, space + k * width);
  } else {
    Transpose(rhs + col * p.rhs_col, static_cast<size_t>(p.rhs_col), count, depth, space, width);
  }
  return {space, width, count};
}

void MultiplySmallMatrices(const SmallMatmul& p, const float* lhs, const float* rhs, float* dst,
                           float* space) {
  constexpr auto kWidth = static_cast<int64_t>(kStrip);
  for (int64_t col = 0; col < p.n; col += kWidth) {
    const auto count = static_cast<size_t>(std::min(kWidth, p.n - col));
    const Columns columns = GatherColumns(p, rhs, col, count, space);
    if (count > kMaxLanes)
      MultiplyColumns<true>(p, lhs, columns, dst + col);
    else
      MultiplyColumns<false>(p, lhs, columns, dst + col);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(MultiplySmallMatrices);

size_t small_matmul_space(const SmallMatmul& product) {
  return static_cast<size_t>(product.k * kWidestStrip);
}

void small_matmul(const SmallMatmul& product, const float* lhs, const float* rhs, float* dst,
                  float* space) {
  HWY_DYNAMIC_DISPATCH(MultiplySmallMatrices)(product, lhs, rhs, dst, space);
}

}  // namespace ds::cpu
#endif
