// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/matmul_thin.h"

#include <algorithm>

#include "ds/backends/cpu/kernels/thin.h"
#include "ds/backends/cpu/kernels/tile.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

/// Elements of rhs that a thread begins for: 128 KiB, some ten microseconds of reading.
constexpr int64_t kWork = 1 << 15;
/// Rows of lhs where rhs lies by columns: what the kernel takes at once, some times over while the
/// columns are in a near cache.
constexpr int64_t kMostRows = 8 * kThinRows;

}  // namespace

std::unique_ptr<ThinMatmulPlan> ThinMatmulPlan::make(const View& lhs, const View& rhs,
                                                     const Shape& dims) {
  const int r = dims.rank();
  const DType dtype = lhs.dtype;
  if ((dtype != DType::f32 && dtype != DType::bf16) || rhs.dtype != dtype || !lhs.row_major() ||
      !repeats_matrix(rhs))
    return nullptr;
  auto plan = std::make_unique<ThinMatmulPlan>();
  plan->dtype_ = dtype;
  plan->k_ = lhs.dims[r - 1];
  plan->n_ = dims[r - 1];
  plan->m_ = lhs.numel() / std::max<int64_t>(plan->k_, 1);
  plan->by_columns_ = rhs.strides[r - 1] != 1 && rhs.strides[r - 2] == 1;
  if (plan->m_ > (plan->by_columns_ ? kMostRows : kThinRows)) return nullptr;
  if (!plan->by_columns_ && (rhs.strides[r - 1] != 1 || dtype != DType::f32)) return nullptr;
  plan->rhs_stride_ = rhs.strides[plan->by_columns_ ? r - 1 : r - 2];
  // Of rows a thread reads whole ones, in order: threads that share rows reach half the speed.
  if (!plan->by_columns_ && plan->n_ * plan->k_ > 2 * kWork)
    plan->parts_ = std::clamp<int64_t>(plan->k_ / 64, 1, 8);
  return plan;
}

size_t ThinMatmulPlan::scratchpad_bytes() const {
  const int64_t floats = dtype_ != DType::f32 ? m_ * (k_ + n_) : parts_ == 1 ? 0 : parts_ * m_ * n_;
  return static_cast<size_t>(floats) * sizeof(float);
}

void ThinMatmulPlan::execute(const void* lhs, const void* rhs, void* dst, void* scratchpad) const {
  auto* space = static_cast<float*>(scratchpad);
  if (dtype_ != DType::f32) {
    float* sums = space + m_ * k_;
    tile_load(dtype_, lhs, 1, space, static_cast<size_t>(m_ * k_));
    multiply(space, rhs, sums);
    tile_store(dtype_, sums, dst, 1, static_cast<size_t>(m_ * n_));
  } else if (parts_ > 1) {
    add_parts(static_cast<const float*>(lhs), static_cast<const float*>(rhs),
              static_cast<float*>(dst), space);
  } else {
    multiply(static_cast<const float*>(lhs), rhs, static_cast<float*>(dst));
  }
}

void ThinMatmulPlan::multiply(const float* lhs, const void* rhs, float* dst) const {
  constexpr int64_t kColumns = 16;  // a cache line of dst
  const int64_t pieces = (n_ + kColumns - 1) / kColumns;
  parallel_for(pieces, std::max<int64_t>(1, kWork / (kColumns * k_)),
               [&](int64_t begin, int64_t end) {
                 const int64_t step = m_ > kThinRows ? 1 : end - begin;
                 for (int64_t piece = begin; piece < end; piece += step)
                   for (int64_t row = 0; row < m_; row += kThinRows)
                     thin_product({std::min(kThinRows, m_ - row), n_, k_, lhs + row * k_, k_, rhs,
                                   dtype_, rhs_stride_, by_columns_, dst + row * n_},
                                  piece * kColumns, std::min(n_, (piece + step) * kColumns));
               });
}

void ThinMatmulPlan::add_parts(const float* lhs, const float* rhs, float* dst, float* sums) const {
  const int64_t size = m_ * n_;
  parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t row = k_ * part / parts_, rows = k_ * (part + 1) / parts_ - row;
      thin_product({m_, n_, rows, lhs + row, k_, rhs + row * rhs_stride_, DType::f32, rhs_stride_,
                    false, sums + part * size},
                   0, n_);
    }
  });
  parallel_for(size, kWork / parts_, [&](int64_t begin, int64_t end) {
    std::copy(sums + begin, sums + end, dst + begin);
    for (int64_t part = 1; part < parts_; ++part)
      for (int64_t i = begin; i < end; ++i) dst[i] += sums[part * size + i];
  });
}

}  // namespace ds::cpu
