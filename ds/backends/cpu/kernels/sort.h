// SPDX-License-Identifier: Apache-2.0
// Sorting and running results along one dimension of row-major memory [outer, n, inner].
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::cpu {

struct Lanes {
  int64_t outer, n, inner;
};

/// The first `k` (at most n) of every lane in stable order, NaN largest: values and indices are
/// [outer, k, inner].
void sort_lanes(DType dtype, const void* src, Lanes lanes, int64_t k, bool descending, void* values,
                int64_t* indices);

enum class ScanOp : uint8_t { sum, product, logsumexp };

/// Running sums and products: floats are accumulated in f64, integers wrap around, bool is logical.
/// logsumexp takes floating dtypes.
void scan(ScanOp op, DType dtype, const void* src, Lanes lanes, void* dst);

/// Running maximum (or minimum) and where it was found; of equal values the last. NaN wins.
void running_extreme(bool largest, DType dtype, const void* src, Lanes lanes, void* values,
                     int64_t* indices);

}  // namespace ds::cpu
