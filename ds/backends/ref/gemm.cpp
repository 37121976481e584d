// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/ref/gemm.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

// A register block of 4 x 4 numbers; blocks of a (64 x 256) and b (256 x 64) that together take
// 256 KiB of the second-level cache.
constexpr int64_t kRows = 4;
constexpr int64_t kCols = 4;
constexpr int64_t kBlock = 64;
constexpr int64_t kDepth = 256;

/// Copies `rows` x `depth` elements in panels of kPanel rows, each panel depth-major: element
/// (r, p) of panel i is at [i][p][r]. Missing rows of the last panel are 0.
template <class W, int64_t kPanel>
void pack(const Matrix& from, int64_t rows, int64_t depth, W* to) {
  const Load<W> load = loader<W>(from.dtype);
  std::array<W, kDepth> line;
  for (int64_t panel = 0; panel < rows; panel += kPanel, to += depth * kPanel) {
    for (int64_t r = 0; r < kPanel; ++r) {
      if (panel + r < rows)
        load(from.data, from.offset + (panel + r) * from.row, from.col, depth, line.data());
      else
        line.fill(0);
      for (int64_t p = 0; p < depth; ++p) to[p * kPanel + r] = line[static_cast<size_t>(p)];
    }
  }
}

/// The same for b, whose panels are columns; reads along rows when those are contiguous.
template <class W>
void pack_columns(const Matrix& from, int64_t depth, int64_t cols, W* to) {
  if (from.col != 1) {
    pack<W, kCols>({from.data, from.dtype, from.offset, from.col, from.row}, cols, depth, to);
    return;
  }
  const Load<W> load = loader<W>(from.dtype);
  std::array<W, kBlock> line{};
  for (int64_t p = 0; p < depth; ++p) {
    load(from.data, from.offset + p * from.row, 1, cols, line.data());
    for (int64_t panel = 0; panel < cols; panel += kCols)
      for (int64_t j = 0; j < kCols; ++j)
        to[panel * depth + p * kCols + j] = line[static_cast<size_t>(panel + j)];
  }
}

template <class W>
void multiply_panels(int64_t depth, const W* a, const W* b, W* c, int64_t stride, int64_t rows,
                     int64_t cols) {
  W acc[kRows][kCols] = {};
  for (int64_t p = 0; p < depth; ++p, a += kRows, b += kCols)
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kCols; ++j) acc[i][j] = plus(acc[i][j], times(a[i], b[j]));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) c[i * stride + j] = plus(c[i * stride + j], acc[i][j]);
}

template <class W>
void multiply_block(int64_t row, int64_t col, int64_t m, int64_t n, int64_t k, const Matrix& a,
                    const Matrix& b, W* c, std::vector<W>& buffer) {
  const int64_t rows = std::min(kBlock, m - row), cols = std::min(kBlock, n - col);
  buffer.resize(static_cast<size_t>(2 * kBlock * kDepth));
  W* packed_a = buffer.data();
  W* packed_b = packed_a + kBlock * kDepth;
  for (int64_t p = 0; p < k; p += kDepth) {
    const int64_t depth = std::min(kDepth, k - p);
    pack<W, kRows>({a.data, a.dtype, a.offset + row * a.row + p * a.col, a.row, a.col}, rows, depth,
                   packed_a);
    pack_columns<W>({b.data, b.dtype, b.offset + p * b.row + col * b.col, b.row, b.col}, depth,
                    cols, packed_b);
    for (int64_t i = 0; i < rows; i += kRows)
      for (int64_t j = 0; j < cols; j += kCols)
        multiply_panels(depth, packed_a + i * depth, packed_b + j * depth,
                        c + (row + i) * n + col + j, n, std::min(kRows, rows - i),
                        std::min(kCols, cols - j));
  }
}

}  // namespace

template <class W>
void gemm(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, W* c) {
  const int64_t across = (n + kBlock - 1) / kBlock, blocks = (m + kBlock - 1) / kBlock * across;
  parallel_for(blocks, grain_for(std::min(m, kBlock) * std::min(n, kBlock) * k / 4),
               [&](int64_t begin, int64_t end) {
                 std::vector<W> buffer;
                 for (int64_t i = begin; i < end; ++i)
                   multiply_block(i / across * kBlock, i % across * kBlock, m, n, k, a, b, c,
                                  buffer);
               });
}

template void gemm<double>(int64_t, int64_t, int64_t, const Matrix&, const Matrix&, double*);
template void gemm<int64_t>(int64_t, int64_t, int64_t, const Matrix&, const Matrix&, int64_t*);

}  // namespace ds::ref
