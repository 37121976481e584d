// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/matmul_small.h"

#include <algorithm>

#include "ds/base/parallel.h"
#include "ds/runtime/arena.h"

namespace ds::cpu {
namespace {

/// Floats of a matrix of rhs: 128 KiB, which the second-level cache holds beside the others.
constexpr int64_t kMostFloats = 1 << 15;
/// Products and sums that a thread begins for, some ten microseconds.
constexpr int64_t kWork = 1 << 19;

size_t space_of_part(const SmallMatmul& matrix) {
  return align_up(small_matmul_space(matrix) * sizeof(float));
}

Shape leading(const Shape& shape) {
  Shape out = shape;
  out.erase(out.rank() - 1);
  out.erase(out.rank() - 1);
  return out;
}

/// Where matrix `index` of a batch begins.
int64_t offset_of(int64_t index, const Shape& batch, const Shape& strides) {
  int64_t offset = 0;
  for (int d = batch.rank() - 1; d >= 0; --d) {
    offset += index % batch[d] * strides[d];
    index /= batch[d];
  }
  return offset;
}

}  // namespace

std::unique_ptr<SmallMatmulPlan> SmallMatmulPlan::make(const View& lhs, const View& rhs,
                                                       const Shape& dims) {
  const int r = dims.rank();
  if (lhs.dtype != DType::f32 || rhs.dtype != DType::f32 ||
      (rhs.strides[r - 1] != 1 && rhs.strides[r - 2] != 1))
    return nullptr;
  auto plan = std::make_unique<SmallMatmulPlan>();
  SmallMatmul& matrix = plan->matrix_;
  matrix = {dims[r - 2],        dims[r - 1],        lhs.dims[r - 1],   lhs.strides[r - 2],
            lhs.strides[r - 1], rhs.strides[r - 2], rhs.strides[r - 1]};
  if (matrix.k * matrix.n > kMostFloats) return nullptr;
  if (repeats_matrix(rhs)) {
    const std::optional<View> rows = reshape_view(lhs, {lhs.numel() / matrix.k, matrix.k});
    if (!rows) return nullptr;
    matrix.m = rows->dims[0];
    matrix.lhs_row = rows->strides[0];
    matrix.lhs_col = rows->strides[1];
    return plan;
  }
  plan->batch_ = leading(dims);
  plan->lhs_strides_ = leading(lhs.strides);
  plan->rhs_strides_ = leading(rhs.strides);
  const int64_t each = std::max<int64_t>(1, kWork / plan->size_of_one());
  plan->parts_ = std::clamp<int64_t>(plan->batch_.numel() / each, 1, num_threads());
  return plan;
}

size_t SmallMatmulPlan::scratchpad_bytes() const {
  return static_cast<size_t>(parts_) * space_of_part(matrix_);
}

void SmallMatmulPlan::execute(const float* lhs, const float* rhs, float* dst,
                              void* scratchpad) const {
  const int64_t count = batch_.numel();
  parallel_for(parts_, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      auto* space = reinterpret_cast<float*>(static_cast<char*>(scratchpad) +
                                             static_cast<size_t>(part) * space_of_part(matrix_));
      for (int64_t i = count * part / parts_; i < count * (part + 1) / parts_; ++i)
        small_matmul(matrix_, lhs + offset_of(i, batch_, lhs_strides_),
                     rhs + offset_of(i, batch_, rhs_strides_), dst + i * matrix_.m * matrix_.n,
                     space);
    }
  });
}

}  // namespace ds::cpu
