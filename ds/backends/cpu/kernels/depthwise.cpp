// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/depthwise.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/depthwise.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <type_traits>

#include "ds/backends/cpu/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Outputs [begin, end) for which a tap lies inside src.
struct Inside {
  int64_t begin, end;
};

inline Inside inside(const DepthwiseRow& r, int64_t tap) {
  const int64_t first = r.padding - tap * r.dilation;  // w * stride must reach it
  const int64_t last = r.src_width - 1 + first;
  const int64_t begin = first <= 0 ? 0 : (first + r.stride - 1) / r.stride;
  const int64_t end = last < 0 ? 0 : std::min(r.width, last / r.stride + 1);
  return {std::min(begin, end), end};
}

template <class D, class T>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const T* p) {
  if constexpr (std::is_same_v<D, DF>) {
    return LoadVec(p);
  } else {
    return hn::Set(d, static_cast<float>(*p));
  }
}

/// Sums of kTaps taps for the channels of one vector, or with one lane for a single channel. They
/// stay in registers for the outputs that all taps have in common.
template <int kTaps, class T, class D>
HWY_INLINE void AddTaps(D d, const DepthwiseRow& r, int64_t tap, int64_t channel, float* sums) {
  hn::Vec<D> acc[kTaps];
#pragma GCC unroll 7
  for (int j = 0; j < kTaps; ++j) acc[j] = hn::Zero(d);
  const T* dst = static_cast<const T*>(r.diff_dst) + channel;
  const T* src =
      static_cast<const T*>(r.src) + channel + (tap * r.dilation - r.padding) * r.channels;
  const int64_t step = r.stride * r.channels, next = r.dilation * r.channels;
  const Inside low = inside(r, tap), high = inside(r, tap + kTaps - 1);
  const int64_t begin = std::max(low.begin, high.begin), end = std::min(low.end, high.end);
  for (int64_t w = begin; w < end; ++w) {
    const auto g = LoadFloats(d, dst + w * r.channels);
    const T* at = src + w * step;
#pragma GCC unroll 7
    for (int j = 0; j < kTaps; ++j) acc[j] = hn::MulAdd(g, LoadFloats(d, at + j * next), acc[j]);
  }
  for (int j = 0; j < kTaps; ++j) {
    const Inside all = inside(r, tap + j);
    const auto add = [&](int64_t from, int64_t to) HWY_ATTR {
      for (int64_t w = from; w < to; ++w)
        acc[j] = hn::MulAdd(LoadFloats(d, dst + w * r.channels),
                            LoadFloats(d, src + w * step + j * next), acc[j]);
    };
    add(all.begin, std::min(all.end, std::max(all.begin, begin)));
    add(std::max({all.begin, begin, end}), all.end);
    float* to = sums + (tap + j) * r.channels + channel;
    hn::StoreU(hn::Add(hn::LoadU(d, to), acc[j]), d, to);
  }
}

template <class T, class D>
HWY_INLINE void AddChannels(D d, const DepthwiseRow& r, int64_t channel, float* sums) {
  int64_t tap = 0;
  for (; tap + 7 <= r.taps; tap += 7) AddTaps<7, T>(d, r, tap, channel, sums);
  switch (r.taps - tap) {
    case 6: return AddTaps<6, T>(d, r, tap, channel, sums);
    case 5: return AddTaps<5, T>(d, r, tap, channel, sums);
    case 4: return AddTaps<4, T>(d, r, tap, channel, sums);
    case 3: return AddTaps<3, T>(d, r, tap, channel, sums);
    case 2: return AddTaps<2, T>(d, r, tap, channel, sums);
    case 1: return AddTaps<1, T>(d, r, tap, channel, sums);
    default: return;
  }
}

template <class T>
HWY_INLINE void AddAllChannels(const DepthwiseRow& r, float* sums) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t channel = 0;
  for (; channel + lanes <= r.channels; channel += lanes) AddChannels<T>(d, r, channel, sums);
  for (; channel < r.channels; ++channel)
    AddChannels<T>(hn::CappedTag<float, 1>(), r, channel, sums);
}

void AddDepthwiseRow(const DepthwiseRow& r, float* sums) {
  if (r.dtype == DType::bf16) return AddAllChannels<bf16>(r, sums);
  AddAllChannels<float>(r, sums);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(AddDepthwiseRow);

void add_depthwise_row(const DepthwiseRow& row, float* sums) {
  HWY_DYNAMIC_DISPATCH(AddDepthwiseRow)(row, sums);
}

}  // namespace ds::cpu
#endif
