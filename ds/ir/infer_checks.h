// SPDX-License-Identifier: Apache-2.0
// Checks that type rules share, with one wording.
#pragma once

#include <algorithm>

#include "ds/base/error.h"
#include "ds/ir/infer.h"

namespace ds {

inline void check_same_dtype(const InferContext& c, int a, int b) {
  DS_CHECK(c.dtype(a) == c.dtype(b), DTypeError, c.name(), ": dtypes differ: ", c.type(a), " and ",
           c.type(b));
}

inline void check_same_type(const InferContext& c, int a, int b) {
  check_same_dtype(c, a, b);
  DS_CHECK(c.shape(a) == c.shape(b), ShapeError, c.name(), ": shapes differ: ", c.type(a), " and ",
           c.type(b));
}

inline void check_shape(const InferContext& c, int i, const Shape& expected, const char* what) {
  DS_CHECK(c.shape(i) == expected, ShapeError, c.name(), ": ", what, " is ", c.type(i),
           ", expected ", expected);
}

inline void check_dtype(const InferContext& c, int i, DType expected) {
  DS_CHECK(c.dtype(i) == expected, DTypeError, c.name(), ": input ", i, " is ", c.type(i),
           "; its dtype must be ", expected);
}

inline void check_floating(const InferContext& c, int i) {
  DS_CHECK(is_floating(c.dtype(i)), DTypeError, c.name(), ": needs a floating dtype, got ",
           c.type(i));
}

inline void check_integral(const InferContext& c, int i) {
  DS_CHECK(!is_floating(c.dtype(i)), DTypeError, c.name(), ": needs an integer or bool dtype, got ",
           c.type(i));
}

inline void check_rank(const InferContext& c, int i, int low, int high, const char* what) {
  const int rank = c.shape(i).rank();
  DS_CHECK(rank >= low && rank <= high, ShapeError, c.name(), ": ", what, " is ", c.type(i),
           "; it must have ", low, low == high ? "" : str(" to ", high), " dimensions");
}

/// `dim` of the row is in [0, rank), 0 for a 0-d tensor.
inline int check_dim(const InferContext& c, int64_t dim, int rank) {
  DS_CHECK(dim >= 0 && dim < std::max(rank, 1), IndexError, c.name(), ": dim ", dim,
           " is out of range for ", c.type(0));
  return static_cast<int>(dim);
}

/// Statistics and affine parameters of a normalisation: f32 for 16-bit sources.
inline DType stat_dtype(DType dtype) { return is_half(dtype) ? DType::f32 : dtype; }

}  // namespace ds
