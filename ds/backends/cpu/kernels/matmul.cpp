// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/matmul.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/matmul.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cstring>

#include "ds/backends/cpu/kernels/product-inl.h"

#ifndef DS_CPU_KERNELS_MATMUL_CONSTANTS_
#define DS_CPU_KERNELS_MATMUL_CONSTANTS_
namespace ds::cpu {
namespace {

// A strip of rhs of this depth (16 KiB with 8 lanes) and six rows of lhs (6 KiB) stay in the
// first-level cache; a block of lhs of these rows (192 KiB) in the second.
constexpr int64_t kMatmulDepth = 256, kMatmulRows = 192;
constexpr int64_t kMaxStrip = 32;     // two vectors of 16 lanes
constexpr int64_t kMatmulStrips = 4;  // packed at once

/// The largest of equal pieces of at most `most`.
int64_t matmul_piece(int64_t size, int64_t most) {
  const int64_t pieces = (size + most - 1) / most;
  return (size + pieces - 1) / pieces;
}

}  // namespace
}  // namespace ds::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// What is computed at a time: rows of dst, and a range of k.
struct Slice {
  int64_t row, rows, depth_at, depth;
};

/// lhs as panels [rows / kProductRows][depth][kProductRows].
void PackLhs(const MatmulBlock& b, const Slice& s, float* panels) {
  const float* src = b.lhs + s.row * b.lhs_row + s.depth_at * b.lhs_col;
  const auto depth = static_cast<size_t>(s.depth), all = static_cast<size_t>(s.rows);
  if (b.lhs_col == 1) {
    for (size_t i = 0; i < all; i += kProductRows)
      Transpose(src + static_cast<int64_t>(i) * b.lhs_row, static_cast<size_t>(b.lhs_row),
                std::min(kProductRows, all - i), depth, panels + i * depth, kProductRows);
    return;
  }
  // Columns may be pages apart, so what a column holds is read at once.
  const size_t whole = all / kProductRows * kProductRows;
  for (size_t k = 0; k < depth; ++k, src += b.lhs_col, panels += kProductRows) {
    for (size_t i = 0; i < whole; i += kProductRows)
      std::memcpy(panels + i * depth, src + i, kProductRows * sizeof(float));
    std::copy_n(src + whole, all - whole, panels + whole * depth);
  }
}

/// A few strips of rhs, each as [depth][kStrip]; columns that are missing become 0. Rows of rhs may
/// be pages apart, so what a row holds is read at once.
void PackRhs(const MatmulBlock& b, const Slice& s, int64_t col, size_t cols, float* strips) {
  const float* src = b.rhs + s.depth_at * b.rhs_row + col;
  const auto depth = static_cast<size_t>(s.depth);
  const size_t whole = cols / kStrip, rest = cols % kStrip;
  if (rest > 0) std::fill_n(strips + whole * depth * kStrip, depth * kStrip, 0.0f);
  for (size_t k = 0; k < depth; ++k, src += b.rhs_row, strips += kStrip) {
    for (size_t j = 0; j < whole; ++j) {
      StoreVec(LoadVec(src + j * kStrip), strips + j * depth * kStrip);
      StoreVec(LoadVec(src + j * kStrip + kMaxLanes), strips + j * depth * kStrip + kMaxLanes);
    }
    std::copy_n(src + whole * kStrip, rest, strips + whole * depth * kStrip);
  }
}

/// M rows of a strip of dst (+)= packed lhs [depth][kProductRows] times a strip of rhs.
template <size_t M>
HWY_INLINE void MultiplyRows(size_t depth, const float* lhs, const float* rhs, float* dst,
                             size_t dst_row, bool add) {
  Sums<DotF32, M> sums;
  sums.Clear();
  // dst is touched last, so that it arrives while the sums are made.
  for (size_t i = 0; i < M; ++i) hwy::Prefetch(dst + i * dst_row);
  size_t k = 0;
  // Four at a time: a loop counts as much as a load where two threads share a core.
  for (; k + 4 <= depth; k += 4, lhs += 4 * kProductRows, rhs += 4 * kStrip) {
#define DS_STEP(i)                                                  \
  sums.MulAdd(lhs + (i)*kProductRows, 1, LoadVec(rhs + (i)*kStrip), \
              LoadVec(rhs + (i)*kStrip + kMaxLanes));
    DS_STEP(0) DS_STEP(1) DS_STEP(2) DS_STEP(3)
#undef DS_STEP
  }
  for (; k < depth; ++k, rhs += kStrip, lhs += kProductRows)
    sums.MulAdd(lhs, 1, LoadVec(rhs), LoadVec(rhs + kMaxLanes));
  if (add) sums.Add(dst, dst_row);
  sums.Store(dst, dst_row);
}

void MultiplyStrip(const Slice& s, const float* panels, const float* strip, float* dst,
                   size_t dst_row) {
  const bool add = s.depth_at > 0;
  const auto depth = static_cast<size_t>(s.depth);
  for (int64_t rows = s.rows; rows > 0; rows -= static_cast<int64_t>(kProductRows)) {
    switch (rows) {
      case 1: MultiplyRows<1>(depth, panels, strip, dst, dst_row, add); break;
      case 2: MultiplyRows<2>(depth, panels, strip, dst, dst_row, add); break;
      case 3: MultiplyRows<3>(depth, panels, strip, dst, dst_row, add); break;
      case 4: MultiplyRows<4>(depth, panels, strip, dst, dst_row, add); break;
      case 5: MultiplyRows<5>(depth, panels, strip, dst, dst_row, add); break;
      default: MultiplyRows<6>(depth, panels, strip, dst, dst_row, add); break;
    }
    panels += depth * kProductRows;
    dst += kProductRows * dst_row;
  }
}

/// Columns of dst that are less than a strip go through memory that holds one.
void MultiplyTail(const Slice& s, const float* panels, const float* strip, size_t cols, float* dst,
                  size_t dst_row, float* tail) {
  const auto rows = static_cast<size_t>(s.rows);
  for (size_t r = 0; s.depth_at > 0 && r < rows; ++r)
    std::copy_n(dst + r * dst_row, cols, tail + r * kStrip);
  MultiplyStrip(s, panels, strip, tail, kStrip);
  for (size_t r = 0; r < rows; ++r) std::copy_n(tail + r * kStrip, cols, dst + r * dst_row);
}

void MultiplySlice(const MatmulBlock& b, const Slice& s, float* space) {
  constexpr auto kCols = static_cast<int64_t>(kStrip);
  float* strips = space;
  float* tail = strips + kMatmulDepth * kMaxStrip * kMatmulStrips;
  float* panels = tail + kMatmulRows * kMaxStrip;
  const auto dst_row = static_cast<size_t>(b.dst_row), depth = static_cast<size_t>(s.depth);
  PackLhs(b, s, panels);
  for (int64_t first = 0; first < b.n; first += kCols * kMatmulStrips) {
    const int64_t cols = std::min(kCols * kMatmulStrips, b.n - first);
    PackRhs(b, s, first, static_cast<size_t>(cols), strips);
    float* dst = b.dst + s.row * b.dst_row + first;
    const float* strip = strips;
    for (int64_t j = 0; j < cols; j += kCols, dst += kCols, strip += depth * kStrip) {
      if (cols - j < kCols)
        MultiplyTail(s, panels, strip, static_cast<size_t>(cols - j), dst, dst_row, tail);
      else
        MultiplyStrip(s, panels, strip, dst, dst_row);
    }
  }
}

void Matmul(const MatmulBlock& b, float* space) {
  const int64_t depth = matmul_piece(b.k, kMatmulDepth), rows = matmul_piece(b.m, kMatmulRows);
  for (int64_t k = 0; k < b.k; k += depth)
    for (int64_t row = 0; row < b.m; row += rows)
      MultiplySlice(b, {row, std::min(rows, b.m - row), k, std::min(depth, b.k - k)}, space);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(Matmul);

size_t matmul_space() {
  return static_cast<size_t>(kMatmulDepth * kMaxStrip * kMatmulStrips + kMatmulRows * kMaxStrip +
                             kMatmulRows * kMatmulDepth);
}

void matmul(const MatmulBlock& block, float* space) { HWY_DYNAMIC_DISPATCH(Matmul)(block, space); }

}  // namespace ds::cpu
#endif
