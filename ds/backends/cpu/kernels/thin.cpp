// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/thin.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/thin.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <utility>

#include "ds/backends/cpu/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Columns whose sums stay in a near cache (16 KiB a row); the more, the longer rhs is read in
/// order.
inline constexpr int64_t kBlock = 4096;

// Indices are packs: accumulators in an array stay in registers only where all indices are known.
template <size_t... I>
using Pack = std::index_sequence<I...>;

/// Four factors of one row of lhs.
struct Factors {
  VF x0, x1, x2, x3;
};

template <bool kFirst>
HWY_INLINE void AddToRow(const Factors& x, VF w0, VF w1, VF w2, VF w3, float* y) {
  const DF d;
  VF a = hn::Mul(x.x0, w0);
  const VF b = hn::MulAdd(x.x3, w3, hn::Mul(x.x1, w1));
  if (!kFirst) a = hn::Add(a, hn::LoadU(d, y));
  hn::StoreU(hn::Add(hn::MulAdd(x.x2, w2, a), b), d, y);
}

/// dst [M, columns from begin to end] += x [M, 4] w [4, columns]; with kFirst the sums begin here.
template <bool kFirst, size_t... M>
HWY_INLINE void AddFourRows(Pack<M...>, const ThinProduct& p, int64_t row, int64_t begin,
                            int64_t end) {
  const DF d;
  constexpr auto kLanes = static_cast<int64_t>(kMaxLanes);
  const int64_t stride = p.rhs_stride;
  const float* w = static_cast<const float*>(p.rhs) + row * stride;
  const float* x = p.lhs + row;
  const Factors factors[] = {{hn::Set(d, x[static_cast<int64_t>(M) * p.lhs_stride]),
                              hn::Set(d, x[static_cast<int64_t>(M) * p.lhs_stride + 1]),
                              hn::Set(d, x[static_cast<int64_t>(M) * p.lhs_stride + 2]),
                              hn::Set(d, x[static_cast<int64_t>(M) * p.lhs_stride + 3])}...};
  int64_t c = begin;
  for (; c + kLanes <= end; c += kLanes) {
    const VF w0 = hn::LoadU(d, w + c), w1 = hn::LoadU(d, w + stride + c);
    const VF w2 = hn::LoadU(d, w + 2 * stride + c), w3 = hn::LoadU(d, w + 3 * stride + c);
    (AddToRow<kFirst>(factors[M], w0, w1, w2, w3, p.dst + static_cast<int64_t>(M) * p.n + c), ...);
  }
  for (; c < end; ++c)
    for (int64_t m = 0; m < static_cast<int64_t>(sizeof...(M)); ++m) {
      float sum = kFirst ? 0 : p.dst[m * p.n + c];
      for (int64_t i = 0; i < 4; ++i) sum += x[m * p.lhs_stride + i] * w[i * stride + c];
      p.dst[m * p.n + c] = sum;
    }
}

/// rhs lies by rows: sums of a block of columns grow as its rows are read four at a time.
template <size_t M>
void ByRows(const ThinProduct& p, int64_t begin, int64_t end) {
  for (int64_t from = begin; from < end; from += kBlock) {
    const int64_t to = std::min(end, from + kBlock);
    const std::make_index_sequence<M> rows;
    const auto* rhs = static_cast<const float*>(p.rhs);
    int64_t row = 0;
    if (p.k >= 4) {
      AddFourRows<true>(rows, p, 0, from, to);
      row = 4;
    }
    for (; row + 4 <= p.k; row += 4) AddFourRows<false>(rows, p, row, from, to);
    for (; row < p.k; ++row)
      for (int64_t m = 0; m < static_cast<int64_t>(M); ++m)
        for (int64_t c = from; c < to; ++c) {
          const float term = p.lhs[m * p.lhs_stride + row] * rhs[row * p.rhs_stride + c];
          float& y = p.dst[m * p.n + c];
          y = row == 0 ? term : y + term;
        }
  }
}

template <size_t... C>
HWY_INLINE void AddProducts(Pack<C...>, VF x, const VF* columns, VF* sums) {
  ((sums[C] = hn::MulAdd(x, columns[C], sums[C])), ...);
}

/// The sum of the lanes and of the products from `from` on, which fill no vector.
template <class T>
HWY_INLINE void PutSum(const ThinProduct& p, int64_t row, int64_t column, int64_t from, VF lanes) {
  const T* w = static_cast<const T*>(p.rhs) + column * p.rhs_stride;
  float sum = hn::GetLane(hn::SumOfLanes(DF(), lanes));
  for (int64_t i = from; i < p.k; ++i)
    sum += p.lhs[row * p.lhs_stride + i] * static_cast<float>(w[i]);
  p.dst[row * p.n + column] = sum;
}

template <class T, size_t... C>
HWY_INLINE void PutSums(Pack<C...>, const ThinProduct& p, int64_t row, int64_t column, int64_t from,
                        const VF* sums) {
  (PutSum<T>(p, row, column + static_cast<int64_t>(C), from, sums[C]), ...);
}

template <size_t... I>
HWY_INLINE void Clear(Pack<I...>, VF* sums) {
  ((sums[I] = hn::Zero(DF())), ...);
}

/// Columns of dst: the products of the rows of lhs with columns of rhs, each contiguous.
template <class T, size_t... M, size_t... C>
HWY_INLINE void Dots(Pack<M...>, Pack<C...> all, const ThinProduct& p, int64_t column) {
  const DF d;
  constexpr auto kLanes = static_cast<int64_t>(kMaxLanes);
  constexpr size_t kColumns = sizeof...(C), kSums = sizeof...(M) * kColumns;
  const T* w = static_cast<const T*>(p.rhs) + column * p.rhs_stride;
  VF sums[kSums];
  Clear(std::make_index_sequence<kSums>(), sums);
  int64_t i = 0;
  for (; i + kLanes <= p.k; i += kLanes) {
    const VF columns[] = {LoadVec(w + static_cast<int64_t>(C) * p.rhs_stride + i)...};
    (AddProducts(all, hn::LoadU(d, p.lhs + static_cast<int64_t>(M) * p.lhs_stride + i), columns,
                 sums + M * kColumns),
     ...);
  }
  (PutSums<T>(all, p, static_cast<int64_t>(M), column, i, sums + M * kColumns), ...);
}

template <size_t M, class T>
void ByColumns(const ThinProduct& p, int64_t begin, int64_t end) {
  // Eight sums in registers hide the latency of their additions.
  constexpr size_t kColumns = M == 1 ? 8 : M == 2 ? 4 : 2;
  const std::make_index_sequence<M> rows;
  int64_t column = begin;
  for (; column + static_cast<int64_t>(kColumns) <= end; column += kColumns)
    Dots<T>(rows, std::make_index_sequence<kColumns>(), p, column);
  for (; column < end; ++column) Dots<T>(rows, Pack<0>(), p, column);
}

template <size_t M>
void Product(const ThinProduct& p, int64_t begin, int64_t end) {
  if (p.rhs_by_columns && p.rhs_dtype == DType::bf16)
    ByColumns<M, bf16>(p, begin, end);
  else if (p.rhs_by_columns)
    ByColumns<M, float>(p, begin, end);
  else
    ByRows<M>(p, begin, end);
}

void ThinColumns(const ThinProduct& p, int64_t begin, int64_t end) {
  static_assert(kThinRows == 4);
  switch (p.m) {
    case 1: return Product<1>(p, begin, end);
    case 2: return Product<2>(p, begin, end);
    case 3: return Product<3>(p, begin, end);
    default: return Product<4>(p, begin, end);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(ThinColumns);

void thin_product(const ThinProduct& product, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(ThinColumns)(product, begin, end);
}

}  // namespace ds::cpu
#endif  // HWY_ONCE
