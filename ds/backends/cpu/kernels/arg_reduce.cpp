// SPDX-License-Identifier: Apache-2.0
// Positions of extremes.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/arg_reduce.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "ds/backends/cpu/kernels/math-inl.h"
#include "ds/backends/cpu/kernels/reduce.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t kArgBlock = 1024;

/// True where v is to replace best: strictly better, or the first NaN.
HWY_INLINE MF Better(VF v, VF best, bool min) {
  const MF wins = min ? hn::Lt(v, best) : hn::Lt(best, v);
  // Or with NaN-ness: v is NaN and best is not.
  return hn::Or(wins, hn::AndNot(hn::IsNaN(best), hn::IsNaN(v)));
}
inline bool BetterScalar(float v, float best, bool min) {
  return (min ? v < best : v > best) || (v != v && best == best);
}

/// A vector pass finds out whether the block holds anything better; only then is it searched.
HWY_INLINE int64_t ArgRow(bool min, DType dtype, const void* src, int64_t offset, int64_t n) {
  float buffer[kArgBlock];
  float best = *AsFloats(dtype, src, offset, 1, buffer);
  int64_t index = 0;
  const size_t lanes = hn::Lanes(DF());
  for (int64_t i = 0; i < n && best == best; i += kArgBlock) {
    const size_t len = static_cast<size_t>(std::min(kArgBlock, n - i));
    const float* x = AsFloats(dtype, src, offset + i, len, buffer);
    size_t j = 0;
    for (; j + lanes <= len; j += lanes) {
      if (hn::AllFalse(DF(), Better(LoadVec(x + j), hn::Set(DF(), best), min))) continue;
      for (size_t k = j; k < j + lanes; ++k) {
        if (BetterScalar(x[k], best, min)) best = x[k], index = i + static_cast<int64_t>(k);
      }
    }
    for (; j < len; ++j) {
      if (BetterScalar(x[j], best, min)) best = x[j], index = i + static_cast<int64_t>(j);
    }
  }
  return index;
}

void ArgRows(bool min, DType dtype, const void* src, int64_t begin, int64_t end, int64_t n,
             int64_t* dst) {
  for (int64_t o = begin; o < end; ++o) dst[o] = ArgRow(min, dtype, src, o * n, n);
}

/// At most kArgBlock columns of [n, step]; indices in i32 lanes, so n < 2^31.
void ArgColumns(bool min, DType dtype, const void* src, int64_t offset, int64_t n, int64_t step,
                size_t cols, int64_t* dst) {
  float best[kArgBlock + kMaxLanes] = {}, buffer[kArgBlock];
  int32_t index[kArgBlock + kMaxLanes] = {};
  std::copy_n(AsFloats(dtype, src, offset, cols, buffer), cols, best);
  const size_t lanes = hn::Lanes(DF());
  for (int64_t r = 1; r < n; ++r) {
    const float* x = AsFloats(dtype, src, offset + r * step, cols, buffer);
    const VI row = hn::Set(DI(), static_cast<int32_t>(r));
    for (size_t i = 0; i < cols; i += lanes) {
      const VF v = i + lanes <= cols ? LoadVec(x + i) : LoadPart(x + i, cols - i);
      const VF old = LoadVec(best + i);
      const MF better = Better(v, old, min);
      StoreVec(hn::IfThenElse(better, v, old), best + i);
      const VI at = hn::LoadU(DI(), index + i);
      hn::StoreU(hn::IfThenElse(hn::RebindMask(DI(), better), row, at), DI(), index + i);
    }
  }
  for (size_t i = 0; i < cols; ++i) dst[i] = index[i];
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(ArgRows);
HWY_EXPORT(ArgColumns);

void arg_reduce(bool min, DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                int64_t* dst) {
  constexpr int64_t kBlock = 1024;
  if (inner == 1) {
    const auto rows = HWY_DYNAMIC_DISPATCH(ArgRows);
    parallel_for(
        outer, std::max<int64_t>(1, 32768 / std::max<int64_t>(n, 1)),
        [&](int64_t begin, int64_t end) { rows(min, src_dtype, src, begin, end, n, dst); });
    return;
  }
  const auto columns = HWY_DYNAMIC_DISPATCH(ArgColumns);
  const int64_t blocks = (inner + kBlock - 1) / kBlock;
  const int64_t work = n * std::min(inner, kBlock);
  parallel_for(outer * blocks, std::max<int64_t>(1, 32768 / std::max<int64_t>(work, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t u = begin; u < end; ++u) {
                   const int64_t o = u / blocks, col = u % blocks * kBlock;
                   columns(min, src_dtype, src, o * n * inner + col, n, inner,
                           static_cast<size_t>(std::min(kBlock, inner - col)),
                           dst + o * inner + col);
                 }
               });
}

}  // namespace ds::cpu
#endif
