// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/matmul_f64.h"

#include <algorithm>

#include "ds/backends/cpu/kernels/matmul_f64.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

int64_t batch_offset(const View& view, int64_t batch) {
  int64_t offset = 0;
  for (int d = view.dims.rank() - 3; d >= 0; --d) {
    offset += batch % view.dims[d] * view.strides[d];
    batch /= view.dims[d];
  }
  return offset;
}

}  // namespace

void matmul_f64(const View& lhs, const View& rhs, const View& dst, const double* a, const double* b,
                double* c) {
  const int r = dst.dims.rank();
  const int64_t m = dst.dims[r - 2], n = dst.dims[r - 1], k = lhs.dims[r - 1];
  if (dst.numel() == 0) return;
  const int64_t batches = dst.numel() / (m * n);
  // Rows are split so that a single matrix uses all threads, too.
  constexpr int64_t kRows = 96;
  const int64_t blocks = (m + kRows - 1) / kRows;
  const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, kRows * n * k));
  parallel_for(batches * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t batch = i / blocks, row = i % blocks * kRows, rows = std::min(kRows, m - row);
      const MatrixF64 x{a + batch_offset(lhs, batch) + row * lhs.strides[r - 2], lhs.strides[r - 2],
                        lhs.strides[r - 1]};
      const MatrixF64 y{b + batch_offset(rhs, batch), rhs.strides[r - 2], rhs.strides[r - 1]};
      matmul_f64(rows, n, k, x, y, c + batch_offset(dst, batch) + row * dst.strides[r - 2],
                 dst.strides[r - 2]);
    }
  });
}

}  // namespace ds::cpu
