// SPDX-License-Identifier: Apache-2.0
// Elementwise ops and reductions that f32 tiles cannot do exactly: integers, bool and f64, computed
// in their own type. Integers wrap around; bool is logical.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"
#include "ds/ir/op.h"

namespace ds::cpu {

/// out[i] = op(a[i], b[i]) for i < n, contiguous; b is not read by unary ops. Integer division by
/// zero is a ValueError that names the op.
using TypedFn = void (*)(const void* a, const void* b, void* out, size_t n);

/// The loop for inputs of `dtype`; null where there is none: halves, f32, and what f64 needs the
/// mathematical library for.
TypedFn typed_unary(Op op, DType dtype);
TypedFn typed_binary(Op op, DType dtype);
/// Conversion between i64, i32 or f64 and any dtype but the 16-bit and 32-bit floats: towards zero
/// where a fraction is lost, the low bits where an integer is narrowed.
TypedFn typed_cast(DType from, DType to);

/// out[i] = condition[i] ? yes[i] : no[i], elements of `element` bytes.
void typed_where(size_t element, const uint8_t* condition, const void* yes, const void* no,
                 void* out, size_t n);

/// There is a typed_reduce: not of halves and f32, and a mean only of f64.
bool has_typed_reduce(Op op, DType dtype);
/// dst [outer, inner] = sum, prod, amax, amin, any, all or mean over n of src [outer, n, inner];
/// dst has the dtype of src, or bool for any and all.
void typed_reduce(Op op, DType dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                  void* dst);

/// arg_reduce (kernels/reduce.h) of i64, i32 and f64 in their own type.
void typed_arg_reduce(bool min, DType dtype, const void* src, int64_t outer, int64_t n,
                      int64_t inner, int64_t* dst);

}  // namespace ds::cpu
