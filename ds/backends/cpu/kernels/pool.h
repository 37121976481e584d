// SPDX-License-Identifier: Apache-2.0
// Pooling over one to three spatial dimensions, channels first or last, with every window given
// explicitly, so that fixed, rounded-up and adaptive windows are one kernel. f32, f16 or bf16.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ds/ir/dtype.h"

namespace ds::cpu {

/// Source positions begin, begin + step, ... below end, inside the source. `padded` is the extent
/// that a mean including padding divides by.
struct PoolWindow {
  int64_t begin, end, step, padded;
  int64_t count() const { return end > begin ? (end - begin + step - 1) / step : 0; }
};

/// A pooling problem: [n, c, d, h, w] or [n, d, h, w, c]; missing leading dimensions have size 1.
struct PoolShape {
  int64_t n, c;
  bool channels_last;
  std::array<int64_t, 3> src;
  /// One window per output position along each dimension.
  std::array<std::vector<PoolWindow>, 3> windows;

  int64_t src_area() const { return src[0] * src[1] * src[2]; }
  int64_t dst_area() const {
    return static_cast<int64_t>(windows[0].size() * windows[1].size() * windows[2].size());
  }
};

/// Windows of kernel size at multiples of stride from -padding. dst may exceed what low padding
/// alone allows (high padding, sizes rounded up); positions outside the source are left out, and
/// `padded` counts padding up to its low size, as PyTorch does. All spans have 1 to 3 entries.
PoolShape pool_shape(int64_t n, int64_t c, bool channels_last, std::span<const int64_t> src,
                     std::span<const int64_t> dst, std::span<const int64_t> kernel,
                     std::span<const int64_t> stride, std::span<const int64_t> padding,
                     std::span<const int64_t> dilation);
/// Nearly equal windows, from floor(o * src / dst) to ceil((o + 1) * src / dst).
PoolShape adaptive_pool_shape(int64_t n, int64_t c, bool channels_last,
                              std::span<const int64_t> src, std::span<const int64_t> dst);

/// Largest value of every window, NaN first, and its index in the flattened source plane (null when
/// not wanted), laid out as dst. ValueError when a window holds no source position.
void max_pool(DType dtype, const void* src, const PoolShape& shape, void* dst, int64_t* indices);
/// diff_src = diff_dst summed into the positions `indices` names; IndexError for one outside the
/// plane. Of shape only n, c, the layout, src and the number of windows count.
void max_pool_backward(DType dtype, const void* diff_dst, const int64_t* indices,
                       const PoolShape& shape, void* diff_src);

/// Columns that one tap of all windows of a row takes: whole vectors of the widest target.
inline size_t tap_stride(size_t width) { return (width + 15) / 16 * 16; }

/// What the sum of a window is divided by: `divisor` unless 0, else the padded extent or the number
/// of source positions. A window without source positions gives 0.
struct PoolMean {
  bool count_include_pad = true;
  int64_t divisor = 0;
};
void avg_pool(DType dtype, const void* src, const PoolShape& shape, PoolMean mean, void* dst);
void avg_pool_backward(DType dtype, const void* diff_dst, const PoolShape& shape, PoolMean mean,
                       void* diff_src);

}  // namespace ds::cpu
