// SPDX-License-Identifier: Apache-2.0
// Reductions of a contiguous [outer, n, inner] view over n. Sums are formed in short f32 runs that
// are added in f64, so their error stays that of pairwise summation; the order of additions does
// not depend on the number of threads.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::cpu {

enum class ReduceOp : uint8_t { sum, mean, prod, max, min, any, all, sum_squares, logsumexp };

/// dst [outer, inner] = op over n of src [outer, n, inner]; any dtypes that tile_load and
/// tile_store take. NaN wins in max and min. Over n == 0: 0, NaN, 1, -inf, inf, false, true, 0,
/// -inf in the order of the enumerators.
void reduce(ReduceOp op, DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
            DType dst_dtype, void* dst);

/// mean [outer, inner] and var [outer, inner] = sum((x - mean)^2) / (n - correction) of
/// src [outer, n, inner]. Two passes and a correction for the rounding of the mean.
void reduce_mean_var(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                     double correction, float* mean, float* var);

/// sum = sum(src - shift) and squares = sum((src - shift)^2) over n, all [outer, inner]: the
/// moments in one pass where a value near the mean is known.
void reduce_moments(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                    const float* shift, double* sum, double* squares);

/// dst [outer, inner]: index of the first largest (smallest when `min`) element along n; the first
/// NaN wins over all. n >= 1.
void arg_reduce(bool min, DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                int64_t* dst);

}  // namespace ds::cpu
