// SPDX-License-Identifier: Apache-2.0
// Product of a few rows and a large matrix, which is read once, as fast as memory gives it.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::cpu {

/// Rows of lhs that thin_product() takes.
inline constexpr int64_t kThinRows = 4;

/// lhs [m, k] x rhs [k, n] -> dst [m, n]; m is at most kThinRows. Rows of lhs and dst are
/// contiguous, those of dst follow each other.
struct ThinProduct {
  int64_t m, n, k;
  const float* lhs;
  int64_t lhs_stride;
  const void* rhs;
  DType rhs_dtype;     // f32; by columns also bf16
  int64_t rhs_stride;  // elements from row to row, or with rhs_by_columns from column to column
  bool rhs_by_columns;
  float* dst;
};

/// The columns [begin, end) of dst.
void thin_product(const ThinProduct& product, int64_t begin, int64_t end);

}  // namespace ds::cpu
