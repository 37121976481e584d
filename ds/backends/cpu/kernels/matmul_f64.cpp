// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/matmul_f64.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/matmul_f64.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_HAVE_FLOAT64
using DD = hn::ScalableTag<double>;
#else
using DD = hn::CappedTag<double, 1>;
#endif
using VD = hn::Vec<DD>;

constexpr int64_t kLanes = hn::MaxLanes(DD());
constexpr int64_t kStrip = 2 * kLanes;  // columns that are computed at once
constexpr int64_t kPanel = 6;           // rows: 6 x 2 sums fill the 16 registers of AVX2
// A strip of rhs (24 KiB with 8 lanes) stays in the first-level cache, a block of lhs (288 KiB) in
// the second.
constexpr int64_t kDepth = 192, kRows = 192;

/// Element (i, k) of the panel as [k][kPanel]; rows that are missing become 0.
void PackPanel(MatrixF64 lhs, int64_t rows, int64_t depth, double* to) {
  for (int64_t k = 0; k < depth; ++k, to += kPanel)
    for (int64_t i = 0; i < kPanel; ++i) to[i] = i < rows ? lhs.at[i * lhs.row + k * lhs.col] : 0.0;
}

/// Element (k, j) of the strip as [k][kStrip]; columns that are missing become 0.
void PackStrip(MatrixF64 rhs, int64_t cols, int64_t depth, double* to) {
  for (int64_t k = 0; k < depth; ++k, to += kStrip) {
    const double* from = rhs.at + k * rhs.row;
    for (int64_t j = 0; j < kStrip; ++j) to[j] = j < cols ? from[j * rhs.col] : 0.0;
  }
}

/// sums [kPanel][kStrip] = panel x strip.
void Multiply(const double* panel, const double* strip, int64_t depth, double* sums) {
  const DD d;
  VD x[kPanel], y[kPanel];
  for (int64_t i = 0; i < kPanel; ++i) x[i] = y[i] = hn::Zero(d);
  for (int64_t k = 0; k < depth; ++k, panel += kPanel, strip += kStrip) {
    const VD low = hn::LoadU(d, strip), high = hn::LoadU(d, strip + kLanes);
#pragma GCC unroll 6
    for (int64_t i = 0; i < kPanel; ++i) {
      const VD left = hn::Set(d, panel[i]);
      x[i] = hn::MulAdd(left, low, x[i]);
      y[i] = hn::MulAdd(left, high, y[i]);
    }
  }
  for (int64_t i = 0; i < kPanel; ++i) {
    hn::StoreU(x[i], d, sums + i * kStrip);
    hn::StoreU(y[i], d, sums + i * kStrip + kLanes);
  }
}

void MatmulF64(int64_t m, int64_t n, int64_t k, MatrixF64 lhs, MatrixF64 rhs, double* dst,
               int64_t dst_row) {
  if (k == 0)
    for (int64_t i = 0; i < m; ++i) std::fill_n(dst + i * dst_row, n, 0.0);
  std::vector<double> panels(kRows * kDepth), strip(kDepth * kStrip), sums(kPanel * kStrip);
  for (int64_t at = 0; at < k; at += kDepth) {
    const int64_t depth = std::min(kDepth, k - at);
    for (int64_t row = 0; row < m; row += kRows) {
      const int64_t rows = std::min(kRows, m - row);
      for (int64_t i = 0; i < rows; i += kPanel)
        PackPanel({lhs.at + (row + i) * lhs.row + at * lhs.col, lhs.row, lhs.col}, rows - i, depth,
                  panels.data() + i * depth);
      for (int64_t col = 0; col < n; col += kStrip) {
        const int64_t cols = std::min(kStrip, n - col);
        PackStrip({rhs.at + at * rhs.row + col * rhs.col, rhs.row, rhs.col}, cols, depth,
                  strip.data());
        for (int64_t i = 0; i < rows; i += kPanel) {
          Multiply(panels.data() + i * depth, strip.data(), depth, sums.data());
          for (int64_t r = 0; r < std::min(kPanel, rows - i); ++r) {
            double* to = dst + (row + i + r) * dst_row + col;
            const double* sum = sums.data() + r * kStrip;
            for (int64_t c = 0; c < cols; ++c) to[c] = at == 0 ? sum[c] : to[c] + sum[c];
          }
        }
      }
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(MatmulF64);

void matmul_f64(int64_t m, int64_t n, int64_t k, MatrixF64 lhs, MatrixF64 rhs, double* dst,
                int64_t dst_row) {
  HWY_DYNAMIC_DISPATCH(MatmulF64)(m, n, k, lhs, rhs, dst, dst_row);
}

}  // namespace ds::cpu
#endif
