// SPDX-License-Identifier: Apache-2.0
// Types of movement and indexing ops.
#include "ds/ir/infer_checks.h"

namespace ds {
namespace {

/// The elements start + i*step of [0, size) exist for all i < count.
void check_slice(const InferContext& c, const Shape& shape, const Shape& starts, const Shape& sizes,
                 const Shape& steps) {
  const int rank = shape.rank();
  DS_CHECK(starts.rank() == rank && sizes.rank() == rank && steps.rank() == rank, ShapeError,
           c.name(), ": starts ", starts, ", sizes ", sizes, " and steps ", steps, " do not match ",
           c.type(0));
  for (int i = 0; i < rank; ++i)
    DS_CHECK(starts[i] >= 0 && sizes[i] >= 0 && steps[i] >= 1 && starts[i] <= shape[i] &&
                 (sizes[i] == 0 ||
                  (starts[i] < shape[i] && sizes[i] - 1 <= (shape[i] - 1 - starts[i]) / steps[i])),
             IndexError, c.name(), ": ", sizes[i], " elements from ", starts[i], " by ", steps[i],
             " are outside dimension ", i, " of ", c.type(0));
}

void check_strided(const InferContext& c, const Shape& base, const Shape& shape,
                   const Shape& strides, int64_t offset) {
  DS_CHECK(shape.rank() == strides.rank(), ShapeError, c.name(), ": shape ", shape, " and strides ",
           strides, " differ in rank");
  for (int64_t size : base)
    DS_CHECK(size >= 0, ValueError, c.name(), ": ", base, " has a negative size");
  // Counted down from the room that is left, which cannot overflow.
  bool empty = false, inside = offset >= 0 && offset < base.numel();
  int64_t room = inside ? base.numel() - 1 - offset : 0;
  for (int i = 0; i < shape.rank(); ++i) {
    DS_CHECK(strides[i] >= 0 && shape[i] >= 0, ValueError, c.name(), ": negative size or stride");
    if (shape[i] == 0) empty = true;
    if (!inside || shape[i] <= 1 || strides[i] == 0) continue;
    inside = shape[i] - 1 <= room / strides[i];
    if (inside) room -= (shape[i] - 1) * strides[i];
  }
  DS_CHECK(offset >= 0 && (empty || inside), IndexError, c.name(), ": the view ", shape, " by ",
           strides, " from ", offset, " reaches outside ", base);
}

}  // namespace

std::vector<Type> infer_reshape(const InferContext& c) {
  const Shape& shape = c.ints_at(0);
  for (int64_t size : shape)
    DS_CHECK(size >= 0, ValueError, "reshape: ", shape, " has a negative size");
  DS_CHECK(shape.numel() == c.shape(0).numel(), ShapeError, "reshape: ", c.type(0), " has ",
           c.shape(0).numel(), " elements, ", shape, " has ", shape.numel());
  return {{c.dtype(0), shape}};
}

std::vector<Type> infer_permute(const InferContext& c) {
  const Shape& dims = c.ints_at(0);
  const Shape& shape = c.shape(0);
  Shape out;
  uint32_t seen = 0;
  for (int64_t dim : dims) {
    DS_CHECK(dim >= 0 && dim < shape.rank() && !(seen >> dim & 1), ValueError, "permute: dims ",
             dims, " are not an order of the dimensions of ", c.type(0));
    seen |= 1u << dim;
    out.push_back(shape[static_cast<int>(dim)]);
  }
  DS_CHECK(dims.rank() == shape.rank(), ValueError, "permute: ", dims.rank(), " dims for ",
           c.type(0));
  return {{c.dtype(0), out}};
}

std::vector<Type> infer_expand(const InferContext& c) {
  const Shape& to = c.ints_at(0);
  const Shape& from = c.shape(0);
  const int extra = to.rank() - from.rank();
  DS_CHECK(extra >= 0, ShapeError, "expand: ", c.type(0), " has more dimensions than ", to);
  for (int i = 0; i < from.rank(); ++i)
    DS_CHECK(from[i] == to[i + extra] || from[i] == 1, ShapeError, "expand: ", c.type(0),
             " does not broadcast to ", to, " (", from[i], " against ", to[i + extra],
             " at dimension ", i + extra, ")");
  return {{c.dtype(0), to}};
}

std::vector<Type> infer_slice(const InferContext& c) {
  check_slice(c, c.shape(0), c.ints_at(0), c.ints_at(1), c.ints_at(2));
  return {{c.dtype(0), c.ints_at(1)}};
}

std::vector<Type> infer_slice_scatter(const InferContext& c) {
  check_same_dtype(c, 0, 1);
  check_slice(c, c.shape(0), c.ints_at(0), c.shape(1), c.ints_at(1));
  return {c.type(0)};
}

std::vector<Type> infer_as_strided(const InferContext& c) {
  check_strided(c, c.shape(0), c.ints_at(0), c.ints_at(1), c.int_at(2));
  return {{c.dtype(0), c.ints_at(0)}};
}

std::vector<Type> infer_as_strided_scatter(const InferContext& c) {
  check_same_dtype(c, 0, 1);
  check_strided(c, c.shape(0), c.shape(1), c.ints_at(0), c.int_at(1));
  return {c.type(0)};
}

std::vector<Type> infer_as_strided_add(const InferContext& c) {
  check_strided(c, c.ints_at(0), c.shape(0), c.ints_at(1), c.int_at(2));
  return {{c.dtype(0), c.ints_at(0)}};
}

std::vector<Type> infer_pad(const InferContext& c) {
  const Shape &low = c.ints_at(0), &high = c.ints_at(1);
  Shape out = c.shape(0);
  DS_CHECK(low.rank() == out.rank() && high.rank() == out.rank(), ShapeError, "pad: sizes ", low,
           " and ", high, " do not match ", c.type(0));
  for (int i = 0; i < out.rank(); ++i) {
    DS_CHECK(low[i] >= 0 && high[i] >= 0 && low[i] <= kMaxElements && high[i] <= kMaxElements,
             ValueError, "pad: sizes ", low, " and ", high, " must not be negative or huge");
    out[i] += low[i] + high[i];
  }
  return {{c.dtype(0), out}};
}

std::vector<Type> infer_cat(const InferContext& c) {
  Shape out = c.shape(0);
  DS_CHECK(out.rank() > 0, ShapeError, "cat: 0-d tensors cannot be joined; use stack()");
  const int dim = check_dim(c, c.int_at(0), out.rank());
  for (int i = 1; i < static_cast<int>(c.inputs.size()); ++i) {
    check_same_dtype(c, 0, i);
    Shape other = c.shape(i);
    DS_CHECK(other.rank() == out.rank(), ShapeError, "cat: ", c.type(0), " and ", c.type(i),
             " differ in rank");
    const int64_t size = other[dim];
    other[dim] = out[dim];
    DS_CHECK(other == out, ShapeError, "cat: ", c.type(0), " and ", c.type(i),
             " differ outside dimension ", dim);
    out[dim] += size;
    DS_CHECK(out[dim] <= kMaxElements, ShapeError, "cat: the result is too large");
  }
  return {{c.dtype(0), out}};
}

std::vector<Type> infer_gather(const InferContext& c) {
  check_dtype(c, 1, DType::i64);
  const int rank = c.shape(0).rank();
  const int dim = check_dim(c, c.int_at(0), rank);
  DS_CHECK(c.shape(1).rank() == rank, ShapeError, "gather: index ", c.type(1), " and source ",
           c.type(0), " differ in rank");
  for (int i = 0; i < rank; ++i)
    DS_CHECK(i == dim || c.shape(1)[i] <= c.shape(0)[i], ShapeError, "gather: index ", c.type(1),
             " is larger than source ", c.type(0), " at dimension ", i);
  return {{c.dtype(0), c.shape(1)}};
}

std::vector<Type> infer_scatter(const InferContext& c) {
  check_dtype(c, 1, DType::i64);
  check_same_dtype(c, 0, 2);
  const int rank = c.shape(0).rank();
  const int dim = check_dim(c, c.int_at(0), rank);
  const std::string& reduce = c.str_at(1);
  DS_CHECK(
      reduce == "set" || reduce == "add" || reduce == "mul" || reduce == "amax" || reduce == "amin",
      ValueError, "scatter: reduce '", reduce, "' is unknown; use set, add, mul, amax or amin");
  DS_CHECK(c.shape(1).rank() == rank && c.shape(2).rank() == rank, ShapeError,
           "scatter: ", c.type(0), ", index ", c.type(1), " and source ", c.type(2),
           " differ in rank");
  for (int i = 0; i < rank; ++i)
    DS_CHECK(c.shape(1)[i] <= c.shape(2)[i] && (i == dim || c.shape(1)[i] <= c.shape(0)[i]),
             ShapeError, "scatter: index ", c.type(1), " does not fit source ", c.type(2),
             " and destination ", c.type(0), " at dimension ", i);
  return {c.type(0)};
}

namespace {

/// `shape` with `dim` replaced by the dimensions of `index`.
Shape picked_shape(const Shape& shape, const Shape& index, int dim) {
  Shape out;
  for (int i = 0; i < dim; ++i) out.push_back(shape[i]);
  for (int64_t size : index) out.push_back(size);
  for (int i = dim + 1; i < shape.rank(); ++i) out.push_back(shape[i]);
  return out;
}

}  // namespace

std::vector<Type> infer_index_select(const InferContext& c) {
  check_dtype(c, 1, DType::i64);
  DS_CHECK(c.shape(0).rank() > 0, ShapeError, "index_select: the source is 0-d");
  const int dim = check_dim(c, c.int_at(0), c.shape(0).rank());
  return {{c.dtype(0), picked_shape(c.shape(0), c.shape(1), dim)}};
}

namespace {

/// Taps of input 0's dimension; their number of outputs.
int64_t check_taps(const InferContext& c) {
  check_floating(c, 0);
  check_dtype(c, 1, DType::i64);
  check_rank(c, 1, 2, 2, "index");
  check_shape(c, 2, c.shape(1), "weight");
  check_same_dtype(c, 0, 2);
  return c.shape(1)[1];
}

}  // namespace

std::vector<Type> infer_resample(const InferContext& c) {
  const int64_t out = check_taps(c);
  Shape shape = c.shape(0);
  shape[check_dim(c, c.int_at(0), shape.rank())] = out;
  return {{c.dtype(0), shape}};
}

std::vector<Type> infer_resample_backward(const InferContext& c) {
  const int64_t out = check_taps(c);
  Shape shape = c.shape(0);
  int64_t& size = shape[check_dim(c, c.int_at(0), shape.rank())];
  DS_CHECK(size == out, ShapeError, c.name(), ": ", c.type(0), " does not have the ", out,
           " outputs of index ", c.type(1));
  DS_CHECK(c.int_at(1) >= 0, ValueError, c.name(), ": size is ", c.int_at(1));
  size = c.int_at(1);
  return {{c.dtype(0), shape}};
}

std::vector<Type> infer_index_write(const InferContext& c) {
  check_dtype(c, 1, DType::i64);
  check_same_dtype(c, 0, 2);
  DS_CHECK(c.shape(0).rank() > 0, ShapeError, c.name(), ": the destination is 0-d");
  const int dim = check_dim(c, c.int_at(0), c.shape(0).rank());
  check_shape(c, 2, picked_shape(c.shape(0), c.shape(1), dim), "source");
  return {c.type(0)};
}

std::vector<Type> infer_nonzero(const InferContext& c) {
  DS_CHECK(c.int_at(0) >= 0 && c.int_at(0) <= c.shape(0).numel(), ValueError, "nonzero: count is ",
           c.int_at(0), " for ", c.type(0));
  return {{DType::i64, {c.int_at(0), c.shape(0).rank()}}};
}

std::vector<Type> infer_searchsorted(const InferContext& c) {
  check_same_dtype(c, 0, 1);
  const Shape &sorted = c.shape(0), &values = c.shape(1);
  DS_CHECK(sorted.rank() >= 1, ShapeError, "searchsorted: the sorted sequence is 0-d");
  if (sorted.rank() > 1) {
    DS_CHECK(values.rank() == sorted.rank(), ShapeError, "searchsorted: ", c.type(0), " and ",
             c.type(1), " differ in rank");
    for (int i = 0; i + 1 < sorted.rank(); ++i)
      DS_CHECK(sorted[i] == values[i], ShapeError, "searchsorted: ", c.type(0), " and ", c.type(1),
               " differ at dimension ", i);
  }
  return {{DType::i64, values}};
}

}  // namespace ds
