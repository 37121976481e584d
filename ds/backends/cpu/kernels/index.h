// SPDX-License-Identifier: Apache-2.0
// Gather, scatter and their kin over row-major memory. Every kernel but gather, whose dst is new,
// and scatter checks all indices before it writes anything. Results do not depend on the number of
// threads.
#pragma once

#include <cstdint>
#include <string_view>

#include "ds/ir/dtype.h"
#include "ds/ir/shape.h"

namespace ds::cpu {

/// Indices into a dimension: `count` numbers that must lie in [0, size).
struct Indices {
  const int64_t* data;
  int64_t count;
  int64_t dim, size;

  /// IndexError that names `op` and the first number out of range.
  void check(std::string_view op) const;
};

/// dst [outer, count, inner] = the rows of src [outer, size, inner] that the index picks; `element`
/// is the size of an element in bytes.
void index_select(const Indices& index, int64_t outer, int64_t inner, size_t element,
                  const void* src, void* dst);

/// Where the values of a tensor that is written into come from.
struct Base {
  const void* data;
  bool uniform;  ///< one element stands for all
};

/// dst [outer, size, inner] = base with rows replaced by those of src [outer, count, inner]; of
/// equal indices the last wins. `base` may be dst.
void index_copy(const Indices& index, int64_t outer, int64_t inner, size_t element, Base base,
                const void* src, void* dst);

/// dst [outer, size, inner] = base plus the rows of src [outer, count, inner] at their indices.
/// What is added to an element is summed in the order of the index: f32 and halves in f64, integers
/// wrap around, bool is the logical or. `base` may be dst.
void index_add(const Indices& index, int64_t outer, int64_t inner, DType dtype, Base base,
               const void* src, void* dst);

/// dst = src at index along dim: dst has the shape of the index, whose other dimensions are at most
/// those of src.
void gather(const int64_t* index, const Shape& index_shape, int dim, size_t element,
            const void* src, const Shape& src_shape, void* dst);

enum class ScatterOp : uint8_t { set, add, mul, amax, amin };

/// dst (already holding the base) at index along dim is combined with src, in the order of the
/// index; the leading part of src that the index covers counts. Halves only for `set`. Indices are
/// checked as they are used: whoever needs dst when one is wrong checks them before.
void scatter(ScatterOp op, const int64_t* index, const Shape& index_shape, int dim, DType dtype,
             const void* src, const Shape& src_shape, void* dst, const Shape& dst_shape);

/// Writes the coordinates [count, rank] of the first `count` nonzero elements, which must exist.
void nonzero(DType dtype, const void* src, const Shape& shape, int64_t count, int64_t* dst);

/// dst[i] = where values[i] belongs in row i / per_row of sorted [rows, length]: before equal
/// elements, or behind them with `right`. NaN is larger than every number.
void searchsorted(DType dtype, const void* sorted, int64_t length, const void* values,
                  int64_t count, int64_t per_row, bool right, int64_t* dst);

}  // namespace ds::cpu
