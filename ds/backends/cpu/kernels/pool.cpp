// SPDX-License-Identifier: Apache-2.0
// Pooling forward. Channels last, the lanes of a vector are channels; channels first they are
// neighbouring outputs, whose sources are gathered.
#include "ds/backends/cpu/kernels/pool.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/pool.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "ds/backends/cpu/kernels/row-inl.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// What a mean divides the sum of window (z, y, x) by.
inline float DivisorOf(const PoolMean& mean, const PoolWindow& z, const PoolWindow& y,
                       const PoolWindow& x) {
  if (mean.divisor != 0) return static_cast<float>(mean.divisor);
  if (mean.count_include_pad) return static_cast<float>(z.padded * y.padded * x.padded);
  return static_cast<float>(std::max<int64_t>(1, z.count() * y.count() * x.count()));
}

template <class T>
HWY_INLINE VF LoadSome(const T* p, size_t count) {
  return count >= hn::Lanes(DF()) ? LoadVec(p) : LoadPart(p, count);
}
template <class T>
HWY_INLINE void StoreSome(VF v, T* p, size_t count) {
  if (count >= hn::Lanes(DF())) {
    StoreVec(v, p);
  } else {
    StorePart(v, p, count);
  }
}
HWY_INLINE void StoreIndices(VI index, size_t count, int64_t* out) {
  int32_t lanes[kMaxLanes];
  hn::StoreU(index, DI(), lanes);
  for (size_t i = 0; i < std::min(count, hn::Lanes(DI())); ++i) out[i] = lanes[i];
}

/// The window's largest values of all channels; src points at the sample.
template <class T>
HWY_INLINE void MaxLast(const T* src, const PoolShape& s, const PoolWindow& z, const PoolWindow& y,
                        const PoolWindow& x, T* dst, int64_t* indices) {
  const size_t c = static_cast<size_t>(s.c);
  for (size_t i = 0; i < c; i += hn::Lanes(DF())) {
    VF best = hn::Neg(Inf());
    VI at =
        hn::Set(DI(), static_cast<int32_t>((z.begin * s.src[1] + y.begin) * s.src[2] + x.begin));
    for (int64_t d = z.begin; d < z.end; d += z.step) {
      for (int64_t h = y.begin; h < y.end; h += y.step) {
        for (int64_t w = x.begin; w < x.end; w += x.step) {
          const int64_t position = (d * s.src[1] + h) * s.src[2] + w;
          const VF v = LoadSome(src + position * s.c + i, c - i);
          const MF wins = hn::Or(hn::Lt(best, v), hn::IsNaN(v));
          best = hn::IfThenElse(wins, v, best);
          at = hn::IfThenElse(hn::RebindMask(DI(), wins),
                              hn::Set(DI(), static_cast<int32_t>(position)), at);
        }
      }
    }
    StoreSome(best, dst + i, c - i);
    if (indices) StoreIndices(at, c - i, indices + i);
  }
}

template <class T>
HWY_INLINE void MeanLast(const T* src, const PoolShape& s, const PoolWindow& z, const PoolWindow& y,
                         const PoolWindow& x, float divisor, T* dst) {
  const size_t c = static_cast<size_t>(s.c);
  const VF by = hn::Set(DF(), divisor);
  for (size_t i = 0; i < c; i += hn::Lanes(DF())) {
    VF sum = hn::Zero(DF());
    for (int64_t d = z.begin; d < z.end; d += z.step) {
      for (int64_t h = y.begin; h < y.end; h += y.step) {
        // One run per window row keeps the error of large windows small.
        VF row = hn::Zero(DF());
        for (int64_t w = x.begin; w < x.end; w += x.step) {
          const int64_t position = (d * s.src[1] + h) * s.src[2] + w;
          row = hn::Add(row, LoadSome(src + position * s.c + i, c - i));
        }
        sum = hn::Add(sum, row);
      }
    }
    StoreSome(hn::Div(sum, by), dst + i, c - i);
  }
}

/// Rows (sample, z, y) [begin, end) of the output, channels last; mean is null for the maximum.
template <class T>
void PoolLastRows(const void* src, const PoolShape& s, const PoolMean* mean, int64_t begin,
                  int64_t end, void* dst, int64_t* indices) {
  const int64_t depth = static_cast<int64_t>(s.windows[0].size());
  const int64_t height = static_cast<int64_t>(s.windows[1].size());
  const int64_t width = static_cast<int64_t>(s.windows[2].size());
  for (int64_t r = begin; r < end; ++r) {
    const PoolWindow& y = s.windows[1][r % height];
    const PoolWindow& z = s.windows[0][r / height % depth];
    const T* sample = static_cast<const T*>(src) + r / height / depth * s.src_area() * s.c;
    for (int64_t w = 0; w < width; ++w) {
      const PoolWindow& x = s.windows[2][w];
      const int64_t to = (r * width + w) * s.c;
      T* out = static_cast<T*>(dst) + to;
      if (mean) {
        MeanLast(sample, s, z, y, x, DivisorOf(*mean, z, y, x), out);
      } else {
        MaxLast(sample, s, z, y, x, out, indices ? indices + to : nullptr);
      }
    }
  }
}

void PoolLast(DType dtype, const void* src, const PoolShape& s, const PoolMean* mean, int64_t begin,
              int64_t end, void* dst, int64_t* indices) {
  if (dtype == DType::bf16) return PoolLastRows<bf16>(src, s, mean, begin, end, dst, indices);
  if (dtype == DType::f16) return PoolLastRows<f16>(src, s, mean, begin, end, dst, indices);
  PoolLastRows<float>(src, s, mean, begin, end, dst, indices);
}

/// One output row of a plane of floats, channels first. taps [count, width] are the columns of the
/// source that each output reads, padded to whole vectors.
void PoolFirstRow(const float* plane, const PoolShape& s, const PoolMean* mean, const int32_t* taps,
                  int64_t count, int64_t z_index, int64_t y_index, float* dst, int64_t* indices) {
  const PoolWindow& z = s.windows[0][z_index];
  const PoolWindow& y = s.windows[1][y_index];
  const size_t width = s.windows[2].size(), lanes = hn::Lanes(DF());
  const size_t stride = tap_stride(width);
  for (size_t i = 0; i < width; i += lanes) {
    VF value = mean ? hn::Zero(DF()) : hn::Neg(Inf());
    VI at = hn::Add(hn::LoadU(DI(), taps + i),
                    hn::Set(DI(), static_cast<int32_t>((z.begin * s.src[1] + y.begin) * s.src[2])));
    for (int64_t d = z.begin; d < z.end; d += z.step) {
      for (int64_t h = y.begin; h < y.end; h += y.step) {
        const int64_t base = (d * s.src[1] + h) * s.src[2];
        VF row = hn::Zero(DF());
        for (int64_t k = 0; k < count; ++k) {
          const VI column = hn::LoadU(DI(), taps + static_cast<size_t>(k) * stride + i);
          if (mean) {
            // Column -1 stands for a tap outside the window.
            const MF outside = hn::RebindMask(DF(), hn::Lt(column, hn::Zero(DI())));
            const VI safe = hn::Max(column, hn::Zero(DI()));
            row = hn::Add(row,
                          hn::IfThenZeroElse(outside, hn::GatherIndex(DF(), plane + base, safe)));
            continue;
          }
          const VF v = hn::GatherIndex(DF(), plane + base, column);
          const MF wins = hn::Or(hn::Lt(value, v), hn::IsNaN(v));
          value = hn::IfThenElse(wins, v, value);
          const VI position = hn::Add(column, hn::Set(DI(), static_cast<int32_t>(base)));
          at = hn::IfThenElse(hn::RebindMask(DI(), wins), position, at);
        }
        if (mean) value = hn::Add(value, row);
      }
    }
    if (mean) {
      float divisors[kMaxLanes];
      for (size_t k = 0; k < lanes; ++k) {
        divisors[k] = DivisorOf(*mean, z, y, s.windows[2][std::min(i + k, width - 1)]);
      }
      value = hn::Div(value, LoadVec(divisors));
    }
    StoreSome(value, dst + i, width - i);
    if (indices) StoreIndices(at, width - i, indices + i);
  }
}

/// The same for means of windows that are several columns wide: sums down the columns first, in
/// `sums` [width of the source].
void MeanFirstRow(const float* plane, const PoolShape& s, const PoolMean& mean, int64_t z_index,
                  int64_t y_index, float* sums, float* dst) {
  const PoolWindow& z = s.windows[0][z_index];
  const PoolWindow& y = s.windows[1][y_index];
  const auto width = static_cast<size_t>(s.src[2]);
  std::fill_n(sums, width, 0.0f);
  for (int64_t d = z.begin; d < z.end; d += z.step) {
    for (int64_t h = y.begin; h < y.end; h += y.step)
      MapRow(sums, plane + (d * s.src[1] + h) * s.src[2], sums, width,
             [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); });
  }
  for (const PoolWindow& x : s.windows[2]) {
    double sum = 0;
    for (int64_t w = x.begin; w < x.end; w += x.step) sum += sums[w];
    *dst++ = static_cast<float>(sum / DivisorOf(mean, z, y, x));
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(PoolLast);
HWY_EXPORT(PoolFirstRow);
HWY_EXPORT(MeanFirstRow);

namespace {

std::array<int64_t, 3> three(std::span<const int64_t> values, int64_t fill) {
  std::array<int64_t, 3> out = {fill, fill, fill};
  std::copy(values.begin(), values.end(), out.end() - static_cast<int64_t>(values.size()));
  return out;
}

/// Source columns of every output column, tap by tap. Taps a window does not have repeat its last
/// one for a maximum, which does not change it, and are -1 for a mean.
std::vector<int32_t> column_taps(const PoolShape& s, bool mean, int64_t* count) {
  const size_t width = s.windows[2].size(), stride = tap_stride(width);
  *count = 0;
  for (const PoolWindow& x : s.windows[2]) *count = std::max(*count, x.count());
  std::vector<int32_t> taps(stride * static_cast<size_t>(*count), mean ? -1 : 0);
  for (size_t w = 0; w < width; ++w) {
    const PoolWindow& x = s.windows[2][w];
    for (int64_t k = 0; k < *count; ++k) {
      if (mean && k >= x.count()) continue;
      const int64_t tap = std::min(k, x.count() - 1);
      taps[static_cast<size_t>(k) * stride + w] = static_cast<int32_t>(x.begin + tap * x.step);
    }
  }
  return taps;
}

void pool_first(DType dtype, const void* src, const PoolShape& s, const PoolMean* mean, void* dst,
                int64_t* indices) {
  const auto row = HWY_DYNAMIC_DISPATCH(PoolFirstRow);
  const auto mean_row = HWY_DYNAMIC_DISPATCH(MeanFirstRow);
  int64_t count;
  const std::vector<int32_t> taps = column_taps(s, mean != nullptr, &count);
  const int64_t src_area = s.src_area(), dst_area = s.dst_area();
  const int64_t depth = static_cast<int64_t>(s.windows[0].size());
  const int64_t height = static_cast<int64_t>(s.windows[1].size());
  const int64_t width = static_cast<int64_t>(s.windows[2].size());
  const int64_t size = static_cast<int64_t>(dtype_size(dtype));
  const bool wide = mean && count > 2;  // gathering each tap would take longer
  parallel_for(s.n * s.c, std::max<int64_t>(1, 8192 / std::max<int64_t>(src_area + dst_area, 1)),
               [&](int64_t begin, int64_t end) {
                 std::vector<float> in(dtype == DType::f32 ? 0 : src_area),
                     out(in.empty() ? 0 : dst_area), sums(wide ? s.src[2] : 0);
                 for (int64_t p = begin; p < end; ++p) {
                   const float* plane = static_cast<const float*>(src) + p * src_area;
                   float* to = static_cast<float*>(dst) + p * dst_area;
                   if (dtype != DType::f32) {
                     tile_load(dtype, static_cast<const char*>(src) + p * src_area * size, 1,
                               in.data(), in.size());
                     plane = in.data(), to = out.data();
                   }
                   for (int64_t r = 0; r < depth * height; ++r) {
                     if (wide) {
                       mean_row(plane, s, *mean, r / height, r % height, sums.data(),
                                to + r * width);
                       continue;
                     }
                     row(plane, s, mean, taps.data(), count, r / height, r % height, to + r * width,
                         indices ? indices + p * dst_area + r * width : nullptr);
                   }
                   if (dtype != DType::f32) {
                     tile_store(dtype, out.data(), static_cast<char*>(dst) + p * dst_area * size, 1,
                                out.size());
                   }
                 }
               });
}

void pool(DType dtype, const void* src, const PoolShape& s, const PoolMean* mean, void* dst,
          int64_t* indices) {
  if (s.n * s.c * s.dst_area() == 0) return;
  if (!s.channels_last) return pool_first(dtype, src, s, mean, dst, indices);
  const auto rows = HWY_DYNAMIC_DISPATCH(PoolLast);
  const int64_t count = s.n * static_cast<int64_t>(s.windows[0].size() * s.windows[1].size());
  const int64_t work = s.n * s.c * std::max(s.src_area(), s.dst_area()) / count;
  parallel_for(
      count, std::max<int64_t>(1, 8192 / std::max<int64_t>(work, 1)),
      [&](int64_t begin, int64_t end) { rows(dtype, src, s, mean, begin, end, dst, indices); });
}

}  // namespace

PoolShape pool_shape(int64_t n, int64_t c, bool channels_last, std::span<const int64_t> src,
                     std::span<const int64_t> dst, std::span<const int64_t> kernel,
                     std::span<const int64_t> stride, std::span<const int64_t> padding,
                     std::span<const int64_t> dilation) {
  PoolShape shape{n, c, channels_last, three(src, 1), {}};
  const auto outputs = three(dst, 1), size = three(kernel, 1), move = three(stride, 1),
             pad = three(padding, 0), step = three(dilation, 1);
  for (size_t d = 0; d < 3; ++d) {
    for (int64_t o = 0; o < outputs[d]; ++o) {
      const int64_t first = o * move[d] - pad[d], end = first + (size[d] - 1) * step[d] + 1;
      const int64_t skipped = first < 0 ? (-first + step[d] - 1) / step[d] * step[d] : 0;
      shape.windows[d].push_back({first + skipped, std::min(end, shape.src[d]), step[d],
                                  std::min(end, shape.src[d] + pad[d]) - first});
    }
  }
  return shape;
}

PoolShape adaptive_pool_shape(int64_t n, int64_t c, bool channels_last,
                              std::span<const int64_t> src, std::span<const int64_t> dst) {
  PoolShape shape{n, c, channels_last, three(src, 1), {}};
  const auto outputs = three(dst, 1);
  for (size_t d = 0; d < 3; ++d) {
    for (int64_t o = 0; o < outputs[d]; ++o) {
      const int64_t begin = o * shape.src[d] / outputs[d];
      const int64_t end = ((o + 1) * shape.src[d] + outputs[d] - 1) / outputs[d];
      shape.windows[d].push_back({begin, end, 1, end - begin});
    }
  }
  return shape;
}

void max_pool(DType dtype, const void* src, const PoolShape& shape, void* dst, int64_t* indices) {
  for (const auto& windows : shape.windows) {
    for (const PoolWindow& window : windows) {
      DS_CHECK(
          window.count() > 0, ValueError,
          "max_pool: a window lies outside the input; padding must be at most half the kernel");
    }
  }
  pool(dtype, src, shape, nullptr, dst, indices);
}

void avg_pool(DType dtype, const void* src, const PoolShape& shape, PoolMean mean, void* dst) {
  pool(dtype, src, shape, &mean, dst, nullptr);
}

}  // namespace ds::cpu
#endif
