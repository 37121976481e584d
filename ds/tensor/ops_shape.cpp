// SPDX-License-Identifier: Apache-2.0
// The functions of ops_shape.h that make new tensors.
#include "ds/tensor/ops_shape.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/ir/infer.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/ops_elementwise.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

/// The slice step of a view leaves its elements in one row-major run.
bool run_slice(const TensorImpl& view) {
  const Shape& sizes = std::get<Shape>(view.step_attrs[1]);
  const Shape& steps = std::get<Shape>(view.step_attrs[2]);
  const Shape& parent = view.parent_value.shape();
  int last = sizes.rank() - 1;
  while (last >= 0 && sizes[last] == parent[last]) --last;
  if (last < 0) return true;
  for (int i = 0; i < last; ++i)
    if (sizes[i] != 1) return false;
  return sizes[last] <= 1 || steps[last] == 1;
}

bool row_major(const TensorImpl& impl) {
  if (!impl.parent) return true;
  if (!row_major(*impl.parent)) return false;
  switch (impl.step) {
    case Op::reshape_:
    case Op::stop_gradient_: return true;
    case Op::slice_: return run_slice(impl);
    case Op::expand_: return impl.value.shape().numel() == impl.parent_value.shape().numel();
    case Op::permute_: {
      int64_t previous = -1;
      for (int64_t dim : std::get<Shape>(impl.step_attrs[0])) {
        if (impl.parent_value.shape()[static_cast<int>(dim)] == 1) continue;
        if (dim < previous) return false;
        previous = dim;
      }
      return true;
    }
    default: return false;
  }
}

/// column - row of a rows x cols matrix, i64.
Tensor column_minus_row(int64_t rows, int64_t cols, Device device) {
  return sub(iota(cols, DType::i64, device), reshaped(iota(rows, DType::i64, device), {rows, 1}));
}

Tensor triangle(const Tensor& x, int64_t diagonal, bool lower, const char* op) {
  DS_CHECK(x.dim() >= 2, ShapeError, op, ": input ", x.type(), " must have at least 2 dimensions");
  const int64_t rows = x.shape()[x.dim() - 2], cols = x.shape()[x.dim() - 1];
  // f32 counts exactly up to 2^24 and is computed together with the select.
  constexpr int64_t kMost = 1 << 23;
  const bool small = std::max(rows, cols) < kMost && diagonal < kMost && diagonal > -kMost;
  const DType count = small ? DType::f32 : DType::i64;
  const Tensor row = add(reshaped(iota(rows, count, x.device()), {rows, 1}), diagonal);
  const Tensor col = iota(cols, count, x.device());
  const Tensor keep = lower ? le(col, row) : ge(col, row);
  return record(Op::where_, {keep, x, constant({}, 0, x.dtype(), x.device())});
}

/// x with borders of `low` and `high` slices along dim, filled from x by mode.
Tensor pad_dim(const Tensor& x, int dim, int64_t low, int64_t high, const std::string& mode) {
  const int64_t size = x.shape()[dim];
  const int64_t most = std::max(low, high);
  if (mode == "reflect")
    DS_CHECK(most < size, ShapeError, "pad: reflect needs a padding below the size: padding ", most,
             ", dimension ", dim, " of ", x.type());
  if (mode == "circular")
    DS_CHECK(most <= size, ShapeError, "pad: circular wraps at most once: padding ", most,
             ", dimension ", dim, " of ", x.type());
  if (mode == "replicate")
    DS_CHECK(size > 0, ShapeError, "pad: replicate of an empty dimension ", dim, " of ", x.type());
  Shape border = x.shape();
  const auto fill = [&](bool front, int64_t count) {
    if (mode == "circular") return sliced(x, dim, front ? size - count : 0, count);
    if (mode == "reflect")
      return record(Op::flip_, {sliced(x, dim, front ? 1 : size - 1 - count, count)}, {Shape{dim}});
    border[dim] = count;
    return expanded(sliced(x, dim, front ? 0 : size - 1, 1), border);
  };
  std::vector<Tensor> parts;
  if (low > 0) parts.push_back(fill(true, low));
  parts.push_back(x);
  if (high > 0) parts.push_back(fill(false, high));
  return joined(parts, dim);
}

}  // namespace

Tensor clone(const Tensor& input) {
  if (grad_enabled() && input.requires_grad()) return record(Op::cast_, {input}, {input.dtype()});
  const Value value = detached(input.value());
  // Values are shared, except memory that others may write to: an array's, or one handed out.
  const BufferPtr buffer = value.node->op() == Op::input_ ? buffer_of(value) : nullptr;
  if (buffer && buffer->shared())
    return Tensor::from_host(host_bytes(*input.impl()).get(), input.type(), input.device());
  return {value, input.device()};
}

Tensor contiguous(const Tensor& input) { return row_major(*input.impl()) ? input : clone(input); }

Tensor repeat(const Tensor& input, const Shape& repeats) {
  const int extra = repeats.rank() - input.dim();
  DS_CHECK(extra >= 0, ShapeError, "repeat: repeats ", repeats, " has fewer dimensions than input ",
           input.type());
  Shape split, grown, out;
  for (int i = 0; i < repeats.rank(); ++i) {
    DS_CHECK(repeats[i] >= 0, ValueError, "repeat: repeats ", repeats, " has a negative number");
    const int64_t size = i < extra ? 1 : input.shape()[i - extra];
    if (repeats[i] != 1 && size != 1) {
      split.push_back(1);
      grown.push_back(repeats[i]);
    }
    split.push_back(size);
    grown.push_back(size == 1 ? repeats[i] : size);
    out.push_back(size * repeats[i]);
  }
  const Tensor copies = expanded(reshaped(input, split), grown);
  return out == input.shape() ? clone(input) : reshaped(copies, out);
}

Tensor tile(const Tensor& input, const Shape& dims) {
  Shape repeats = dims;
  while (repeats.rank() < input.dim()) repeats.insert(0, 1);
  return repeat(input, repeats);
}

Tensor repeat_interleave(const Tensor& input, int64_t repeats, std::optional<int64_t> dim) {
  DS_CHECK(repeats >= 0, ValueError, "repeat_interleave: repeats ", repeats, " is negative");
  const Tensor x = dim ? at_least_1d(input) : reshaped(input, {input.numel()});
  const int d = dim ? normalize_dim(*dim, x.dim(), "repeat_interleave") : 0;
  Shape split = x.shape(), grown = x.shape(), out = x.shape();
  split.insert(d + 1, 1);
  grown.insert(d + 1, repeats);
  out[d] *= repeats;
  return reshaped(expanded(reshaped(x, split), grown), out);
}

Tensor repeat_interleave(const Tensor& input, const Tensor& repeats, std::optional<int64_t> dim) {
  const Tensor x = dim ? at_least_1d(input) : reshaped(input, {input.numel()});
  const int d = dim ? normalize_dim(*dim, x.dim(), "repeat_interleave") : 0;
  const std::vector<int64_t> counts = as_index(repeats, "repeat_interleave").to_vector<int64_t>();
  if (counts.size() == 1) return repeat_interleave(x, counts[0], d);
  DS_CHECK(static_cast<int64_t>(counts.size()) == x.shape()[d] && repeats.dim() == 1, ShapeError,
           "repeat_interleave: repeats ", repeats.type(), " for dimension ", d, " of ", x.type());
  std::vector<int64_t> places;
  for (size_t i = 0; i < counts.size(); ++i) {
    DS_CHECK(counts[i] >= 0, ValueError, "repeat_interleave: repeats has a negative number ",
             counts[i]);
    places.insert(places.end(), static_cast<size_t>(counts[i]), static_cast<int64_t>(i));
  }
  return record(Op::index_select_, {x, index_tensor(places, x.device())}, {d});
}

Tensor cat(const std::vector<Tensor>& tensors, int64_t dim) {
  DS_CHECK(!tensors.empty(), ValueError, "cat: no tensors are given");
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) {
    DS_CHECK(x.dim() > 0, ShapeError, "cat: 0-d tensors cannot be joined; use stack");
    if (x.dim() != 1 || x.numel() > 0) parts.push_back(x);
  }
  if (parts.empty()) parts.push_back(tensors[0]);
  const DType dtype = result_dtype({tensors.begin(), tensors.end()});
  for (Tensor& part : parts) part = to_dtype(part, dtype);
  const int d = normalize_dim(dim, parts[0].dim(), "cat");
  return parts.size() == 1 ? clone(parts[0]) : record(Op::cat_, parts, {d});
}

Tensor stack(const std::vector<Tensor>& tensors, int64_t dim) {
  DS_CHECK(!tensors.empty(), ValueError, "stack: no tensors are given");
  const int d = normalize_dim(dim, tensors[0].dim() + 1, "stack");
  Shape shape = tensors[0].shape();
  shape.insert(d, 1);
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) {
    DS_CHECK(x.shape() == tensors[0].shape(), ShapeError,
             "stack: shapes differ: ", tensors[0].type(), " and ", x.type());
    parts.push_back(reshaped(x, shape));
  }
  const DType dtype = result_dtype({tensors.begin(), tensors.end()});
  for (Tensor& part : parts) part = to_dtype(part, dtype);
  return parts.size() == 1 ? clone(parts[0]) : record(Op::cat_, parts, {d});
}

Tensor hstack(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) parts.push_back(atleast_1d(x));
  return cat(parts, !parts.empty() && parts[0].dim() == 1 ? 0 : 1);
}
Tensor vstack(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) parts.push_back(atleast_2d(x));
  return cat(parts, 0);
}
Tensor dstack(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) parts.push_back(atleast_3d(x));
  return cat(parts, 2);
}
Tensor column_stack(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) parts.push_back(x.dim() < 2 ? reshape(x, {x.numel(), 1}) : x);
  return cat(parts, 1);
}

Tensor block_diag(const std::vector<Tensor>& tensors) {
  int64_t cols = 0, before = 0;
  for (const Tensor& x : tensors) {
    DS_CHECK(x.dim() <= 2, ShapeError, "block_diag: a tensor is ", x.type(),
             "; at most 2 dimensions");
    cols += atleast_2d(x).shape()[1];
  }
  std::vector<Tensor> rows;
  for (const Tensor& x : tensors) {
    const Tensor block = atleast_2d(x);
    const int64_t width = block.shape()[1];
    rows.push_back(pad(block, {before, cols - before - width}));
    before += width;
  }
  return cat(rows, 0);
}

Tensor cartesian_prod(const std::vector<Tensor>& tensors) {
  DS_CHECK(!tensors.empty(), ValueError, "cartesian_prod: no tensors are given");
  if (tensors.size() == 1) return tensors[0];
  std::vector<Tensor> columns;
  for (const Tensor& grid : meshgrid(tensors)) columns.push_back(reshaped(grid, {grid.numel()}));
  return stack(columns, 1);
}

Tensor flip(const Tensor& input, const Dims& dims) {
  if (dims.all() || input.dim() == 0) return clone(input);
  return record(Op::flip_, {input}, {dims.over(input.dim(), "flip")});
}
Tensor fliplr(const Tensor& input) {
  DS_CHECK(input.dim() >= 2, ShapeError, "fliplr: input ", input.type(), " must be at least 2-d");
  return flip(input, 1);
}
Tensor flipud(const Tensor& input) {
  DS_CHECK(input.dim() >= 1, ShapeError, "flipud: input ", input.type(), " must be at least 1-d");
  return flip(input, 0);
}

Tensor roll(const Tensor& input, const Shape& shifts, const Shape& dims) {
  if (dims.empty()) {
    DS_CHECK(shifts.rank() == 1, ValueError, "roll: shifts ", shifts, " without dims");
    return reshaped(roll(reshaped(input, {input.numel()}), shifts, {0}), input.shape());
  }
  DS_CHECK(shifts.rank() == dims.rank(), ValueError, "roll: shifts ", shifts, " and dims ", dims,
           " differ in length");
  Tensor x = input;
  for (int i = 0; i < dims.rank(); ++i) {
    DS_CHECK(input.dim() > 0, IndexError, "roll: a 0-d tensor has no dimension ", dims[i]);
    const int d = normalize_dim(dims[i], input.dim(), "roll");
    const int64_t size = input.shape()[d];
    const int64_t shift = size == 0 ? 0 : ((shifts[i] % size) + size) % size;
    if (shift != 0)
      x = joined({sliced(x, d, size - shift, shift), sliced(x, d, 0, size - shift)}, d);
  }
  return x.impl() == input.impl() ? clone(input) : x;
}

Tensor rot90(const Tensor& input, int64_t k, const Shape& dims) {
  DS_CHECK(dims.rank() == 2, ValueError, "rot90: dims ", dims, " must name two dimensions");
  const int a = normalize_dim(dims[0], input.dim(), "rot90");
  const int b = normalize_dim(dims[1], input.dim(), "rot90");
  DS_CHECK(a != b && input.dim() >= 2, ValueError, "rot90: dims ", dims, " of input ", input.type(),
           " must be two different dimensions");
  Shape swapped = all_dims(input.dim());
  std::swap(swapped[a], swapped[b]);
  switch (((k % 4) + 4) % 4) {
    case 1: return permuted(flip(input, b), swapped);
    case 2: return flip(input, {a, b});
    case 3: return permuted(flip(input, a), swapped);
    default: return clone(input);
  }
}

Tensor tril(const Tensor& input, int64_t diagonal) {
  return triangle(input, diagonal, true, "tril");
}
Tensor triu(const Tensor& input, int64_t diagonal) {
  return triangle(input, diagonal, false, "triu");
}

Tensor diag(const Tensor& input, int64_t diagonal) {
  DS_CHECK(input.dim() == 1 || input.dim() == 2, ShapeError, "diag: input ", input.type(),
           " must be 1-d or 2-d");
  return input.dim() == 1 ? diag_embed(input, diagonal) : clone(ds::diagonal(input, diagonal));
}
Tensor diagflat(const Tensor& input, int64_t offset) {
  return diag_embed(reshaped(input, {input.numel()}), offset);
}

Tensor diag_embed(const Tensor& input, int64_t offset, int64_t dim1, int64_t dim2) {
  const Tensor x = at_least_1d(input);
  const int rank = x.dim() + 1;
  const int a = normalize_dim(dim1, rank, "diag_embed");
  const int b = normalize_dim(dim2, rank, "diag_embed");
  DS_CHECK(a != b, ValueError, "diag_embed: dim1 and dim2 are the same dimension ", dim1);
  const int64_t size = x.shape().back() + std::llabs(offset);
  const Tensor rows = pad(x, {std::max<int64_t>(-offset, 0), std::max<int64_t>(offset, 0)});
  Shape column = rows.shape();
  column.push_back(1);
  const Tensor on = eq(column_minus_row(size, size, x.device()), offset);
  const Tensor matrix =
      record(Op::where_, {on, reshaped(rows, column), constant({}, 0, x.dtype(), x.device())});
  Shape order;
  int next = 0;
  for (int i = 0; i < rank; ++i) order.push_back(i == a ? rank - 2 : i == b ? rank - 1 : next++);
  return permuted(matrix, order);
}

Tensor slice_scatter(const Tensor& input, const Tensor& src, int64_t dim,
                     std::optional<int64_t> start, std::optional<int64_t> end, int64_t step) {
  const Tensor copy = clone(input);
  assign(slice(copy, dim, start, end, step), src);
  return copy;
}
Tensor select_scatter(const Tensor& input, const Tensor& src, int64_t dim, int64_t index) {
  const Tensor copy = clone(input);
  assign(select(copy, dim, index), src);
  return copy;
}

Tensor pad(const Tensor& input, const Shape& pad, const std::string& mode, double value) {
  DS_CHECK(mode == "constant" || mode == "reflect" || mode == "replicate" || mode == "circular",
           ValueError, "pad: mode '", mode,
           "' is unknown; use 'constant', 'reflect', 'replicate' or 'circular'");
  DS_CHECK(pad.rank() % 2 == 0 && pad.rank() / 2 <= input.dim(), ShapeError, "pad: ", pad,
           " must hold two numbers a dimension, for at most the ", input.dim(),
           " dimensions of input ", input.type());
  Shape low = Shape::filled(input.dim(), 0), high = low;
  Tensor x = input;
  for (int i = 0; i < pad.rank() / 2; ++i) {
    const int d = input.dim() - 1 - i;
    const int64_t front = pad[2 * i], back = pad[2 * i + 1];
    const int64_t size = input.shape()[d];
    DS_CHECK(size + std::min<int64_t>(front, 0) + std::min<int64_t>(back, 0) >= 0 &&
                 size + front + back >= 0,
             ShapeError, "pad: ", pad, " leaves a negative size of dimension ", d, " of ",
             input.type());
    low[d] = std::max<int64_t>(front, 0);
    high[d] = std::max<int64_t>(back, 0);
    const bool fill = mode != "constant" && (low[d] > 0 || high[d] > 0);
    // A negative side is cut after the other is filled, but a circle is what is left of it.
    if (fill && mode != "circular") x = pad_dim(x, d, low[d], high[d], mode);
    const int64_t cut = -std::min<int64_t>(front, 0);
    x = sliced(x, d, cut, x.shape()[d] - cut + std::min<int64_t>(back, 0));
    if (fill && mode == "circular") x = pad_dim(x, d, low[d], high[d], mode);
  }
  const Shape none = Shape::filled(input.dim(), 0);
  if (mode == "constant" && (low != none || high != none))
    x = record(Op::pad_, {x}, {low, high, value});
  return x.impl() == input.impl() ? clone(input) : x;
}

}  // namespace ds
