// SPDX-License-Identifier: Apache-2.0
// Batched matrix product.
#include "ds/backends/ref/contraction.h"
#include "ds/backends/ref/families.h"
#include "ds/backends/ref/gemm.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

Shape batch_of(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

/// Offset of every matrix of the output's batch in an operand, whose batch broadcasts.
std::vector<int64_t> batch_offsets(const Shape& operand, const Shape& out) {
  const Shape batch = batch_of(out);
  const int64_t size = operand[operand.rank() - 2] * operand.back();
  std::vector<int64_t> offsets(static_cast<size_t>(batch.numel()));
  Walk(batch, {broadcast_strides(batch_of(operand), batch)})
      .run(0, batch.numel(), [&](const auto& at, const auto& step, int64_t n, int64_t done) {
        for (int64_t i = 0; i < n; ++i)
          offsets[static_cast<size_t>(done + i)] = (at[0] + i * step[0]) * size;
      });
  return offsets;
}

}  // namespace

void matmul(const KernelArgs& args) {
  const Shape& lhs = args.in_shape(0);
  const Shape& out = args.out_shape();
  const int64_t m = out[out.rank() - 2], n = out.back(), k = lhs.back();
  const std::vector<int64_t> lhs_at = batch_offsets(lhs, out);
  const std::vector<int64_t> rhs_at = batch_offsets(args.in_shape(1), out);
  dispatch_wide(args.out_dtype(), [&](auto wide) {
    using W = decltype(wide);
    const Store<W> store = storer<W>(args.out_dtype());
    parallel_for(static_cast<int64_t>(lhs_at.size()), grain_for(m * n * k / 4),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     const auto batch = static_cast<size_t>(i);
                     std::vector<W> c(static_cast<size_t>(m * n));
                     gemm<W>(m, n, k, {args.in(0), args.in_dtype(0), lhs_at[batch], k, 1},
                             {args.in(1), args.in_dtype(1), rhs_at[batch], n, 1}, c.data());
                     store(args.out(), i * m * n, 1, m * n, c.data());
                   }
                 });
  });
}

}  // namespace ds::ref
