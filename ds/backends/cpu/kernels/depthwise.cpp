// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/depthwise.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/depthwise.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

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

/// Sums of kTaps taps for the channels of one vector, or with one lane for a single channel. They
/// stay in registers for the outputs that all taps have in common.
template <int kTaps, class D>
HWY_INLINE void AddTaps(D d, const DepthwiseRow& r, int64_t tap, int64_t channel, float* sums) {
  hn::Vec<D> acc[kTaps];
#pragma GCC unroll 7
  for (int j = 0; j < kTaps; ++j) acc[j] = hn::Zero(d);
  const float* dst = r.diff_dst + channel;
  const float* src = r.src + channel + (tap * r.dilation - r.padding) * r.channels;
  const int64_t step = r.stride * r.channels, next = r.dilation * r.channels;
  const Inside low = inside(r, tap), high = inside(r, tap + kTaps - 1);
  const int64_t begin = std::max(low.begin, high.begin), end = std::min(low.end, high.end);
  for (int64_t w = begin; w < end; ++w) {
    const auto g = hn::LoadU(d, dst + w * r.channels);
    const float* at = src + w * step;
#pragma GCC unroll 7
    for (int j = 0; j < kTaps; ++j) acc[j] = hn::MulAdd(g, hn::LoadU(d, at + j * next), acc[j]);
  }
  for (int j = 0; j < kTaps; ++j) {
    const Inside all = inside(r, tap + j);
    const auto add = [&](int64_t from, int64_t to) HWY_ATTR {
      for (int64_t w = from; w < to; ++w)
        acc[j] = hn::MulAdd(hn::LoadU(d, dst + w * r.channels),
                            hn::LoadU(d, src + w * step + j * next), acc[j]);
    };
    add(all.begin, std::min(all.end, std::max(all.begin, begin)));
    add(std::max({all.begin, begin, end}), all.end);
    float* to = sums + (tap + j) * r.channels + channel;
    hn::StoreU(hn::Add(hn::LoadU(d, to), acc[j]), d, to);
  }
}

template <class D>
HWY_INLINE void AddChannels(D d, const DepthwiseRow& r, int64_t channel, float* sums) {
  int64_t tap = 0;
  for (; tap + 7 <= r.taps; tap += 7) AddTaps<7>(d, r, tap, channel, sums);
  switch (r.taps - tap) {
    case 6: return AddTaps<6>(d, r, tap, channel, sums);
    case 5: return AddTaps<5>(d, r, tap, channel, sums);
    case 4: return AddTaps<4>(d, r, tap, channel, sums);
    case 3: return AddTaps<3>(d, r, tap, channel, sums);
    case 2: return AddTaps<2>(d, r, tap, channel, sums);
    case 1: return AddTaps<1>(d, r, tap, channel, sums);
    default: return;
  }
}

void AddDepthwiseRow(const DepthwiseRow& r, float* sums) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t channel = 0;
  for (; channel + lanes <= r.channels; channel += lanes) AddChannels(d, r, channel, sums);
  for (; channel < r.channels; ++channel) AddChannels(hn::CappedTag<float, 1>(), r, channel, sums);
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
