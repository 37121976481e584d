// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/matmul_packed.h"

#include <algorithm>

#include "ds/backends/cpu/kernels/matmul.h"
#include "ds/base/parallel.h"
#include "ds/runtime/arena.h"

namespace ds::cpu {
namespace {

constexpr int64_t kSetsApart = 1024;  // floats in 4 KiB

/// oneDNN decides so: the copies it would make cost too much of the product.
bool read_in_place(int64_t m, int64_t n) {
  return 1.0 / static_cast<double>(m) + 1.0 / static_cast<double>(n) >= 0.0038;
}

/// Some rows of an operand fall into one set of the cache. Twice as many rows 2 KiB apart do.
bool collide(int64_t row_stride, int64_t rows) {
  return row_stride % kSetsApart == 0 || (row_stride % (kSetsApart / 2) == 0 && rows >= 1024);
}

/// The matrix [rows, cols] that a batch of matrices side by side is.
std::optional<View> as_matrix(const View& view) {
  const int64_t cols = view.dims.back();
  return reshape_view(view, {cols == 0 ? 0 : view.numel() / cols, cols});
}

size_t space_of_part() { return align_up(matmul_space() * sizeof(float)); }

}  // namespace

std::unique_ptr<PackedMatmulPlan> PackedMatmulPlan::make(const View& lhs, const View& rhs,
                                                         const Shape& dims) {
  const int r = dims.rank();
  if (lhs.dtype != DType::f32 || rhs.dtype != DType::f32 || !repeats_matrix(rhs)) return nullptr;
  const std::optional<View> left = as_matrix(lhs);
  if (!left || rhs.strides[r - 1] != 1 || (left->strides[0] != 1 && left->strides[1] != 1))
    return nullptr;
  auto plan = std::make_unique<PackedMatmulPlan>();
  plan->m_ = left->dims[0];
  plan->k_ = left->dims[1];
  plan->n_ = dims[r - 1];
  plan->lhs_row_ = left->strides[0];
  plan->lhs_col_ = left->strides[1];
  plan->rhs_row_ = rhs.strides[r - 2];
  plan->choose_split();
  return plan;
}

bool PackedMatmulPlan::pays() const {
  const bool collides = collide(rhs_row_, k_) || (lhs_col_ != 1 && collide(lhs_col_, k_));
  // A few rows are bound by reading rhs, whatever the kernel.
  return m_ >= 8 && read_in_place(m_, n_) && collides;
}

/// Threads divide columns, and each packs all of lhs, or rows, and each packs all of rhs: whatever
/// packs least. An element of lhs, which is transposed, costs four times one of rhs.
void PackedMatmulPlan::choose_split() {
  const int64_t threads = num_threads();
  double least = 0;
  for (int64_t rows = 1; rows <= threads; ++rows) {
    const int64_t cols = threads / rows;
    const double cost =
        4.0 * static_cast<double>(m_) / static_cast<double>(rows) + static_cast<double>(n_ / cols);
    if (rows * cols < threads || (rows > 1 && cost >= least)) continue;
    least = cost;
    row_parts_ = rows;
    col_parts_ = cols;
  }
}

size_t PackedMatmulPlan::scratchpad_bytes() const {
  return static_cast<size_t>(row_parts_ * col_parts_) * space_of_part();
}

void PackedMatmulPlan::execute(const float* lhs, const float* rhs, float* dst,
                               void* scratchpad) const {
  // Parts begin on whole tiles of the kernel: six rows, and two vectors of any processor.
  const auto begin_of = [](int64_t size, int64_t tile, int64_t part, int64_t parts) {
    return std::min(size, (size + tile - 1) / tile * part / parts * tile);
  };
  parallel_for(row_parts_ * col_parts_, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t row_part = i / col_parts_, col_part = i % col_parts_;
      const int64_t row = begin_of(m_, 6, row_part, row_parts_);
      const int64_t rows = begin_of(m_, 6, row_part + 1, row_parts_) - row;
      const int64_t col = begin_of(n_, 32, col_part, col_parts_);
      const int64_t cols = begin_of(n_, 32, col_part + 1, col_parts_) - col;
      if (rows == 0 || cols == 0) continue;
      matmul({rows, cols, k_, lhs + row * lhs_row_, lhs_row_, lhs_col_, rhs + col, rhs_row_,
              dst + row * n_ + col, n_},
             reinterpret_cast<float*>(static_cast<char*>(scratchpad) +
                                      static_cast<size_t>(i) * space_of_part()));
    }
  });
}

}  // namespace ds::cpu
