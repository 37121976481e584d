// SPDX-License-Identifier: Apache-2.0
// Rows of the dimensions behind the resampled one are added as wholes, so that channels last, and
// all but the innermost dimension of channels first, run at the speed of memory.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/resample.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "ds/backends/cpu/kernels/resample.h"
#include "ds/backends/cpu/kernels/simd-inl.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// dst = x * w, or dst + x * w.
void AddRow(const float* x, float w, bool first, size_t n, float* dst) {
  const VF weight = hn::Set(DF(), w);
  if (first)
    ForVec(n, [&](auto at) HWY_ATTR { at.Store(hn::Mul(at.Load(x), weight), dst); });
  else
    ForVec(n,
           [&](auto at) HWY_ATTR { at.Store(hn::MulAdd(at.Load(x), weight, at.Load(dst)), dst); });
}

/// dst = a * v + b * w: what linear interpolation needs, in one sweep.
void MixRows(const float* a, float v, const float* b, float w, size_t n, float* dst) {
  const VF one = hn::Set(DF(), v), other = hn::Set(DF(), w);
  ForVec(n, [&](auto at) HWY_ATTR {
    at.Store(hn::MulAdd(at.Load(b), other, hn::Mul(at.Load(a), one)), dst);
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(AddRow);
HWY_EXPORT(MixRows);

namespace {

// A piece of a row that stays in the first-level cache while outputs are added to it.
constexpr int64_t kBlock = 1024;
constexpr int64_t kGrain = 16384;

/// Element by element: rows too short for vectors.
constexpr int64_t kShort = 4;

/// Along the innermost dimension: one output after the other.
void resample_row(const Taps& taps, const float* from, float* to) {
  const int64_t out = taps.out;
  const int64_t* at = taps.index.data;
  const float* weight = taps.weight;
  if (taps.taps == 2) {
    for (int64_t i = 0; i < out; ++i)
      to[i] = weight[i] * from[at[i]] + weight[out + i] * from[at[out + i]];
    return;
  }
  for (int64_t i = 0; i < out; ++i) to[i] = weight[i] * from[at[i]];
  for (int64_t t = 1; t < taps.taps; ++t) {
    at += out;
    weight += out;
    for (int64_t i = 0; i < out; ++i) to[i] += weight[i] * from[at[i]];
  }
}

}  // namespace

void resample(const Taps& taps, int64_t outer, int64_t inner, const float* src, float* dst) {
  taps.index.check("resample");
  if (inner == 1) {
    const int64_t rows = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, taps.out * taps.taps));
    parallel_for(outer, rows, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        resample_row(taps, src + o * taps.index.size, dst + o * taps.out);
    });
    return;
  }
  const auto add = HWY_DYNAMIC_DISPATCH(AddRow);
  const auto mix = HWY_DYNAMIC_DISPATCH(MixRows);
  const int64_t size = taps.index.size, out = taps.out;
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, inner * taps.taps));
  parallel_for(outer * out, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t i = r % out;
      const float* from = src + r / out * size * inner;
      float* to = dst + r * inner;
      const auto row = [&](int64_t t) { return from + taps.index.data[t * out + i] * inner; };
      const auto weight = [&](int64_t t) { return taps.weight[t * out + i]; };
      if (inner < kShort) {
        std::fill_n(to, inner, 0.0f);
        for (int64_t t = 0; t < taps.taps; ++t)
          for (int64_t k = 0; k < inner; ++k) to[k] += weight(t) * row(t)[k];
      } else if (taps.taps == 2) {
        mix(row(0), weight(0), row(1), weight(1), static_cast<size_t>(inner), to);
      } else {
        for (int64_t t = 0; t < taps.taps; ++t)
          add(row(t), weight(t), t == 0, static_cast<size_t>(inner), to);
      }
    }
  });
}

void resample_backward(const Taps& taps, int64_t outer, int64_t inner, const float* diff_dst,
                       float* diff_src) {
  taps.index.check("resample_backward");
  const auto add = HWY_DYNAMIC_DISPATCH(AddRow);
  const int64_t size = taps.index.size, out = taps.out;
  const int64_t blocks = (inner + kBlock - 1) / kBlock;
  const int64_t work = std::max<int64_t>(1, out * taps.taps * std::min(inner, kBlock));
  // Whoever owns a piece adds all outputs to it, in order.
  parallel_for(
      outer * blocks, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
        for (int64_t piece = begin; piece < end; ++piece) {
          const int64_t first = piece % blocks * kBlock, n = std::min(kBlock, inner - first);
          const float* from = diff_dst + piece / blocks * out * inner + first;
          float* to = diff_src + piece / blocks * size * inner + first;
          for (int64_t row = 0; row < size; ++row) std::fill_n(to + row * inner, n, 0.0f);
          for (int64_t i = 0; i < out; ++i)
            for (int64_t t = 0; t < taps.taps; ++t) {
              const float w = taps.weight[t * out + i];
              float* target = to + taps.index.data[t * out + i] * inner;
              if (n < kShort)
                for (int64_t k = 0; k < n; ++k) target[k] += w * from[i * inner + k];
              else
                add(from + i * inner, w, false, static_cast<size_t>(n), target);
            }
        }
      });
}

}  // namespace ds::cpu
#endif
