// SPDX-License-Identifier: Apache-2.0
// Gathering and scattering along a dimension, masks and nonzero of ops_index.h.
#include <limits>
#include <type_traits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_reduce.h"

namespace ds {
namespace {

/// The tensors of a scatter with 0-d ones made 1-d.
struct Scatter {
  Tensor input, index, src;
  int dim;
};

Scatter scatter_arguments(const Tensor& input, int64_t dim, const Tensor& index, const Operand& src,
                          const char* op) {
  Scatter s;
  s.dim = normalize_dim(dim, input.dim(), op);
  s.input = at_least_1d(input);
  s.index = at_least_1d(as_index(index, op));
  if (src.is_number()) {
    s.src = expanded(src.constant(input.dtype(), input.device()), s.index.shape());
  } else {
    DS_CHECK(src.tensor().dtype() == input.dtype(), DTypeError, op, ": src ", src.tensor().type(),
             " and input ", input.type(), " differ in dtype; convert one with to()");
    s.src = at_least_1d(src.tensor());
  }
  return s;
}

Tensor scattered(const Scatter& s, const Shape& shape, const char* reduce) {
  return reshaped(record(Op::scatter_, {s.input, s.index, s.src}, {s.dim, std::string(reduce)}),
                  shape);
}

/// The value that a reduction over nothing starts from.
Operand identity_of(const std::string& reduce, DType dtype) {
  if (reduce != "amax" && reduce != "amin") return reduce == "prod" ? 1 : 0;
  const bool highest = reduce == "amin";
  return dispatch(dtype, [&](auto sample) -> Operand {
    using T = decltype(sample);
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_integral_v<T>)
      return static_cast<int64_t>(highest ? Limits::max() : Limits::lowest());
    else
      return highest ? std::numeric_limits<double>::infinity()
                     : -std::numeric_limits<double>::infinity();
  });
}

/// A 1-d index and a source whose size along dim is the index's.
struct Rows {
  Tensor input, index;
  int dim;
};

Rows row_arguments(const Tensor& input, int64_t dim, const Tensor& index, const char* op) {
  DS_CHECK(index.dim() <= 1, ShapeError, op, ": index ", index.type(), " must be 0-d or 1-d");
  return {at_least_1d(input), at_least_1d(as_index(index, op)),
          normalize_dim(dim, input.dim(), op)};
}

Tensor row_write(Op op, const Rows& rows, const Tensor& src, const Shape& shape) {
  return reshaped(record(op, {rows.input, rows.index, src}, {rows.dim}), shape);
}

/// The index of whole slices of `like` along dim that a row-wise index was expanded from, as graph
/// networks do: `edges.view(-1, 1).expand(-1, features)`. Undefined where it is no such index.
Tensor index_of_slices(const Tensor& index, const Shape& like, int dim) {
  const Value value = index.value();
  if (index.dim() < 2 || value.node->op() != Op::expand_) return {};
  const Value& before = value.node->input(0);
  const Shape &shape = index.shape(), &narrow = before.shape();
  if (narrow.rank() != shape.rank() || narrow[dim] != shape[dim]) return {};
  for (int d = 0; d < shape.rank(); ++d)
    if (d != dim && (narrow[d] != 1 || shape[d] != like[d])) return {};
  return reshaped(Tensor(before, index.device()), {shape[dim]});
}

Tensor flat(const Tensor& x) { return reshaped(x, {x.numel()}); }

void check_mask(const Tensor& mask, const char* op) {
  DS_CHECK(mask.dtype() == DType::bool_, DTypeError, op, ": mask ", mask.type(),
           " must be bool; compare it with 0");
}

}  // namespace

Tensor gather(const Tensor& input, int64_t dim, const Tensor& index) {
  const int d = normalize_dim(dim, input.dim(), "gather");
  if (index.numel() == 0) return constant(index.shape(), 0, input.dtype(), input.device());
  const Tensor source = at_least_1d(input), places = at_least_1d(as_index(index, "gather"));
  if (source.dim() == places.dim())
    if (const Tensor slices = index_of_slices(places, source.shape(), d); slices.defined())
      return record(Op::index_select_, {source, slices}, {d});
  return reshaped(record(Op::gather_, {source, places}, {d}), index.shape());
}

Tensor scatter(const Tensor& input, int64_t dim, const Tensor& index, const Operand& src) {
  return scattered(scatter_arguments(input, dim, index, src, "scatter"), input.shape(), "set");
}

Tensor scatter_add(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src) {
  const Scatter s = scatter_arguments(input, dim, index, src, "scatter_add");
  if (s.input.dim() == s.index.dim() && s.src.shape() == s.index.shape())
    if (const Tensor slices = index_of_slices(s.index, s.input.shape(), s.dim); slices.defined())
      return record(Op::index_add_, {s.input, slices, s.src}, {s.dim});
  return scattered(s, input.shape(), "add");
}

Tensor scatter_reduce(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self) {
  const bool mean = reduce == "mean";
  const char* op = mean || reduce == "sum" ? "add"
                   : reduce == "prod"      ? "mul"
                   : reduce == "amax"      ? "amax"
                   : reduce == "amin"      ? "amin"
                                           : nullptr;
  DS_CHECK(op, ValueError, "scatter_reduce: reduce '", reduce,
           "' is unknown; use sum, prod, mean, amax or amin");
  Scatter s = scatter_arguments(input, dim, index, src, "scatter_reduce");
  const Shape shape = s.input.shape();
  if (!include_self) {
    const Scatter cleared = scatter_arguments(s.input, s.dim, s.index,
                                              identity_of(reduce, input.dtype()), "scatter_reduce");
    s.input = scattered(cleared, shape, "set");
  }
  const Tensor out = scattered(s, shape, op);
  if (!mean) return reshaped(out, input.shape());
  const Device device = input.device();
  const Scatter ones{constant(shape, 1, input.dtype(), device), s.index,
                     constant(s.src.shape(), 1, input.dtype(), device), s.dim};
  Tensor count = scattered(ones, shape, "add");
  if (!include_self) count = maximum(count - 1, Operand(1));
  return reshaped(is_floating(input.dtype()) ? out / count : floor_divide(out, count),
                  input.shape());
}

Tensor index_select(const Tensor& input, int64_t dim, const Tensor& index) {
  const Rows rows = row_arguments(input, dim, index, "index_select");
  const Tensor out = record(Op::index_select_, {rows.input, rows.index}, {rows.dim});
  return input.dim() == 0 ? reshaped(out, {}) : out;
}

Tensor index_add(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source,
                 const Operand& alpha) {
  const Rows rows = row_arguments(input, dim, index, "index_add");
  DS_CHECK(source.dtype() == input.dtype(), DTypeError, "index_add: source ", source.type(),
           " and input ", input.type(), " differ in dtype; convert one with to()");
  const bool one = alpha.is_number() && alpha.as_double() == 1;
  const Tensor src = one ? source : to_dtype(source * alpha, input.dtype());
  return row_write(Op::index_add_, rows, at_least_1d(src), input.shape());
}

Tensor index_copy(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source) {
  const Rows rows = row_arguments(input, dim, index, "index_copy");
  DS_CHECK(source.dtype() == input.dtype(), DTypeError, "index_copy: source ", source.type(),
           " and input ", input.type(), " differ in dtype; convert one with to()");
  return row_write(Op::index_copy_, rows, at_least_1d(source), input.shape());
}

Tensor index_fill(const Tensor& input, int64_t dim, const Tensor& index, const Operand& value) {
  const Rows rows = row_arguments(input, dim, index, "index_fill");
  const Tensor number = as_tensor(value, input.dtype(), input.device());
  DS_CHECK(number.dim() == 0, ShapeError, "index_fill: value ", number.type(),
           " must be a number or 0-d");
  const Device device = input.device();
  const int64_t size = rows.input.shape()[rows.dim];
  const Tensor marks = record(Op::index_copy_,
                              {constant({size}, 0, DType::bool_, device), rows.index,
                               constant({rows.index.numel()}, 1, DType::bool_, device)},
                              {0});
  Shape shape = Shape::filled(rows.input.dim(), 1);
  shape[rows.dim] = size;
  return reshaped(record(Op::where_, {reshaped(marks, shape), number, rows.input}), input.shape());
}

Tensor index_reduce(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source,
                    const std::string& reduce, bool include_self) {
  DS_CHECK(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin", ValueError,
           "index_reduce: reduce '", reduce, "' is unknown; use prod, mean, amax or amin");
  const Rows rows = row_arguments(input, dim, index, "index_reduce");
  const Tensor src = at_least_1d(source);
  DS_CHECK(src.dim() == rows.input.dim() && src.shape()[rows.dim] == rows.index.numel(), ShapeError,
           "index_reduce: source ", source.type(), " does not fit input ", input.type(),
           " and index ", index.type());
  Shape along = Shape::filled(src.dim(), 1);
  along[rows.dim] = rows.index.numel();
  const Tensor places = expanded(reshaped(rows.index, along), src.shape());
  return reshaped(scatter_reduce(rows.input, rows.dim, places, src, reduce, include_self),
                  input.shape());
}

Tensor put(const Tensor& input, const Tensor& index, const Tensor& source, bool accumulate) {
  DS_CHECK(index.numel() == source.numel(), ShapeError, "put: index ", index.type(), " and source ",
           source.type(), " differ in the number of elements");
  const Tensor places = wrapped_index(flat(as_index(index, "put")), input.numel());
  const Tensor x = flat(input);
  const Tensor out =
      accumulate ? scatter_add(x, 0, places, flat(source)) : scatter(x, 0, places, flat(source));
  return reshaped(out, input.shape());
}

std::vector<Tensor> unravel_index(const Tensor& indices, const Shape& shape) {
  Tensor rest = as_index(indices, "unravel_index");
  std::vector<Tensor> out(static_cast<size_t>(shape.rank()));
  for (int i = shape.rank() - 1; i >= 0; --i) {
    DS_CHECK(shape[i] > 0, ValueError, "unravel_index: shape ", shape, " must be positive");
    out[static_cast<size_t>(i)] = remainder(rest, shape[i]);
    rest = floor_divide(rest, shape[i]);
  }
  return out;
}

Tensor take(const Tensor& input, const Tensor& index) {
  const Tensor i = wrapped_index(as_index(index, "take"), input.numel());
  return record(Op::index_select_, {flat(input), i}, {0});
}

Tensor take_along_dim(const Tensor& input, const Tensor& indices, std::optional<int64_t> dim) {
  if (!dim) return flat(take(input, indices));
  DS_CHECK(input.dim() == indices.dim(), ShapeError, "take_along_dim: input ", input.type(),
           " and indices ", indices.type(), " differ in rank");
  const int d = normalize_dim(*dim, input.dim(), "take_along_dim");
  Shape without_input = input.shape(), without_indices = indices.shape();
  if (input.dim() == 0) return gather(input, 0, indices);
  without_input[d] = without_indices[d] = 1;
  const Shape shape = broadcast_shapes(without_input, without_indices, "take_along_dim");
  Shape input_shape = shape, index_shape = shape;
  input_shape[d] = input.shape()[d];
  index_shape[d] = indices.shape()[d];
  const Tensor wrapped = wrapped_index(as_index(indices, "take_along_dim"), input_shape[d]);
  return gather(expanded(input, input_shape), d, expanded(wrapped, index_shape));
}

Tensor masked_fill(const Tensor& input, const Tensor& mask, const Operand& value) {
  check_mask(mask, "masked_fill");
  const Tensor number = as_tensor(value, input.dtype(), input.device());
  DS_CHECK(number.dim() == 0, ShapeError, "masked_fill: value ", number.type(),
           " must be a number or 0-d; use where for a tensor");
  return record(Op::where_, {mask, number, input});
}

Tensor masked_select(const Tensor& input, const Tensor& mask) {
  check_mask(mask, "masked_select");
  const Shape shape = broadcast_shapes(input.shape(), mask.shape(), "masked_select");
  const Tensor places = flat(nonzero(flat(expanded(mask, shape))));
  return record(Op::index_select_, {flat(expanded(input, shape)), places}, {0});
}

Tensor masked_scatter(const Tensor& input, const Tensor& mask, const Tensor& source) {
  check_mask(mask, "masked_scatter");
  DS_CHECK(source.dtype() == input.dtype(), DTypeError, "masked_scatter: source ", source.type(),
           " and input ", input.type(), " differ in dtype; convert one with to()");
  const Shape shape = broadcast_shapes(input.shape(), mask.shape(), "masked_scatter");
  const Tensor marked = flat(expanded(mask, shape)), x = flat(expanded(input, shape));
  if (source.numel() == 0) {
    DS_CHECK(any(marked).item() == 0, ShapeError, "masked_scatter: source ", source.type(),
             " has fewer elements than the mask marks");
    return reshaped(x, shape);
  }
  // The n-th marked element takes source[n]; an unmarked one reads whatever came last.
  const Tensor order = maximum(cumsum(marked, 0) - 1, Operand(0));
  const Tensor values = record(Op::index_select_, {flat(source), order}, {0});
  return reshaped(record(Op::where_, {marked, values, x}), shape);
}

Tensor nonzero(const Tensor& input) {
  const int64_t count = count_nonzero(input).item_int();
  return record(Op::nonzero_, {input}, {count});
}

Tensor argwhere(const Tensor& input) { return nonzero(input); }

std::vector<Tensor> where(const Tensor& condition) {
  const Tensor coordinates = nonzero(at_least_1d(condition));
  std::vector<Tensor> out;
  for (int i = 0; i < static_cast<int>(coordinates.shape()[1]); ++i)
    out.push_back(reshaped(sliced(coordinates, 1, i, 1), {coordinates.shape()[0]}));
  return out;
}

}  // namespace ds
