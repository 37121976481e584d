// SPDX-License-Identifier: Apache-2.0
// Sums of outer products over pixels: what the weights' gradient of a convolution is made of.
//
// Operands are packed in panels, so that the inner loop reads both of them one after the other:
// a panel of diff_dst holds kOuterRows channels of every pixel, a panel of src kOuterCols.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ds::cpu {

/// 6 rows of two 8-lane vectors are 12 accumulators; with an operand and a broadcast they fill the
/// 16 registers of AVX2.
inline constexpr int64_t kOuterRows = 6, kOuterCols = 16;

/// One block of pixels: `lines` times `width` of them.
struct OuterBlock {
  const float* a;  // [row panels][lines][width][kOuterRows], panels a_stride apart
  const float* b;  // [column panels][kept lines][positions][kOuterCols], panels b_stride apart
  int64_t a_stride, b_stride;
  int64_t row_panels, col_panels;
  int64_t lines, width;
  const int64_t* starts;  // [line taps][lines]: where in a panel of b a line begins for a tap
  int64_t line_taps;      // taps over depth and height
  int64_t taps;           // over width
  int64_t tap_shift;      // floats in b from one of those to the next
  int64_t step;           // floats in b from one pixel to the next
  float* c;               // [column panels][row panels][line taps][taps][kOuterRows][kOuterCols]
};

/// Adds the block's products to c.
void add_outer_products(const OuterBlock& block);

/// Elements that a panel of kOuterRows takes beyond its pixels: rows are written eight at a time.
inline constexpr int64_t kOuterSlack = 8;

/// Packs `pixels` rows of `channels` floats, `stride` apart, into panels `panel_stride` apart; the
/// channels missing in the last panel become 0.
void pack_outer_rows(const float* src, int64_t pixels, int64_t stride, int64_t channels,
                     int64_t panel_stride, float* panels);

/// Packs `positions` runs of `channels` floats into panels of columns. Run p begins at element
/// first + p * step of `line`; elements outside [0, size) are 0, as are missing channels.
void pack_outer_cols(const float* line, int64_t size, int64_t first, int64_t step,
                     int64_t positions, int64_t channels, int64_t panel_stride, float* panels);

}  // namespace ds::cpu
