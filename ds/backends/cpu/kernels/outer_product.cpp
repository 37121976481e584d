// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/outer_product.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/outer_product.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "ds/backends/cpu/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

// Eight lanes at most, whatever the target: the panels are made for that.
using D8 = hn::CappedTag<float, 8>;
using V8 = hn::Vec<D8>;
inline constexpr size_t kLanes8 = hn::MaxLanes(D8());
/// Columns that one sweep over the pixels computes.
inline constexpr size_t kSweep = 2 * kLanes8;

// Written out: accumulators in an array stay in registers only where the compiler unrolls the loop.
#define DS_OUTER_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)
static_assert(kOuterRows == 6);

/// c[kOuterRows][kSweep] += sum over pixels a[pixel] b[pixel]^T.
HWY_INLINE void AddSweep(const OuterBlock& block, const float* HWY_RESTRICT a, const float* b,
                         const int64_t* starts, float* HWY_RESTRICT c) {
  const D8 d;
#define DS_LOAD(i)                              \
  V8 low##i = hn::LoadU(d, c + i * kOuterCols); \
  V8 high##i = hn::LoadU(d, c + i * kOuterCols + kLanes8);
  DS_OUTER_ROWS(DS_LOAD)
#undef DS_LOAD
  for (int64_t line = 0; line < block.lines; ++line) {
    const float* HWY_RESTRICT at = b + starts[line];
    for (int64_t w = 0; w < block.width; ++w, at += block.step, a += kOuterRows) {
      const V8 b0 = hn::LoadU(d, at), b1 = hn::LoadU(d, at + kLanes8);
#define DS_ADD(i)                         \
  {                                       \
    const V8 v = hn::Set(d, a[i]);        \
    low##i = hn::MulAdd(v, b0, low##i);   \
    high##i = hn::MulAdd(v, b1, high##i); \
  }
      DS_OUTER_ROWS(DS_ADD)
#undef DS_ADD
    }
  }
#define DS_STORE(i)                          \
  hn::StoreU(low##i, d, c + i * kOuterCols); \
  hn::StoreU(high##i, d, c + i * kOuterCols + kLanes8);
  DS_OUTER_ROWS(DS_STORE)
#undef DS_STORE
}
#undef DS_OUTER_ROWS

void AddOuterProducts(const OuterBlock& block) {
  float* c = block.c;
  for (int64_t col = 0; col < block.col_panels; ++col) {
    const float* b = block.b + col * block.b_stride;
    for (int64_t row = 0; row < block.row_panels; ++row) {
      const float* a = block.a + row * block.a_stride;
      for (int64_t line_tap = 0; line_tap < block.line_taps; ++line_tap) {
        const int64_t* starts = block.starts + line_tap * block.lines;
        for (int64_t tap = 0; tap < block.taps; ++tap, c += kOuterRows * kOuterCols)
          for (size_t j = 0; j < kOuterCols; j += kSweep)
            AddSweep(block, a, b + tap * block.tap_shift + j, starts, c + j);
      }
    }
  }
}

/// One run of up to kOuterCols floats; what lies outside [low, high) of it becomes 0.
HWY_INLINE void CopyRun(const float* src, int64_t low, int64_t high, float* dst) {
  const D8 d;
  if (low <= 0 && high >= kOuterCols) {
    for (size_t j = 0; j < kOuterCols; j += kLanes8) hn::StoreU(hn::LoadU(d, src + j), d, dst + j);
    return;
  }
  for (int64_t j = 0; j < kOuterCols; ++j) dst[j] = j >= low && j < high ? src[j] : 0;
}

void PackOuterCols(const float* line, int64_t size, int64_t first, int64_t step, int64_t positions,
                   int64_t channels, int64_t panel_stride, float* panels) {
  for (int64_t p = 0; p < positions; ++p) {
    const int64_t begin = first + p * step;
    float* dst = panels + p * kOuterCols;
    for (int64_t j = 0; j < channels; j += kOuterCols, dst += panel_stride) {
      const int64_t high = std::min(channels - j, size - begin - j);
      CopyRun(line + begin + j, -begin - j, high, dst);
    }
  }
}

void PackOuterRows(const float* src, int64_t pixels, int64_t stride, int64_t channels,
                   int64_t panel_stride, float* panels) {
  const D8 d;
  // Whole vectors are written although a panel has six rows: the next pixel overwrites the rest.
  const int64_t whole = channels < 8 ? 0 : (channels - 8) / kOuterRows + 1;
  for (int64_t p = 0; p < pixels; ++p, src += stride) {
    float* dst = panels + p * kOuterRows;
    for (int64_t panel = 0; panel < whole; ++panel, dst += panel_stride)
      for (size_t j = 0; j < 8; j += kLanes8)
        hn::StoreU(hn::LoadU(d, src + panel * kOuterRows + j), d, dst + j);
    for (int64_t from = whole * kOuterRows; from < channels;
         from += kOuterRows, dst += panel_stride)
      for (int64_t i = 0; i < kOuterRows; ++i) dst[i] = from + i < channels ? src[from + i] : 0;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(AddOuterProducts);
HWY_EXPORT(PackOuterCols);
HWY_EXPORT(PackOuterRows);

void add_outer_products(const OuterBlock& block) { HWY_DYNAMIC_DISPATCH(AddOuterProducts)(block); }

void pack_outer_rows(const float* src, int64_t pixels, int64_t stride, int64_t channels,
                     int64_t panel_stride, float* panels) {
  HWY_DYNAMIC_DISPATCH(PackOuterRows)(src, pixels, stride, channels, panel_stride, panels);
}

void pack_outer_cols(const float* line, int64_t size, int64_t first, int64_t step,
                     int64_t positions, int64_t channels, int64_t panel_stride, float* panels) {
  HWY_DYNAMIC_DISPATCH(PackOuterCols)
  (line, size, first, step, positions, channels, panel_stride, panels);
}

}  // namespace ds::cpu
#endif
