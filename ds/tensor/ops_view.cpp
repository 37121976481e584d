// SPDX-License-Identifier: Apache-2.0
// The views of ops_shape.h.
#include <algorithm>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// `shape` with its -1 filled in for `numel` elements.
Shape known_shape(Shape shape, int64_t numel, const Tensor& input, const char* op) {
  int64_t known = 1;
  int open = -1;
  for (int i = 0; i < shape.rank(); ++i) {
    DS_CHECK(shape[i] >= -1, ValueError, op, ": shape ", shape, " has a size below -1");
    DS_CHECK(shape[i] != -1 || open < 0, ValueError, op, ": shape ", shape,
             " has more than one -1");
    if (shape[i] == -1)
      open = i;
    else
      known *= shape[i];
  }
  if (open >= 0) {
    DS_CHECK(known != 0, ShapeError, op, ": the -1 in ", shape, " is ambiguous for ", input.type());
    DS_CHECK(numel % known == 0, ShapeError, op, ": ", input.type(), " does not divide into ",
             shape);
    shape[open] = numel / known;
  } else {
    DS_CHECK(known == numel, ShapeError, op, ": ", input.type(), " has ", numel,
             " elements, shape ", shape, " ", known);
  }
  return shape;
}

/// Python's rule for a slice bound in a dimension of `size`.
int64_t bound(int64_t value, int64_t size) {
  return std::clamp(value < 0 ? value + size : value, int64_t{0}, size);
}

Tensor view_slice(const Tensor& x, int dim, int64_t start, int64_t length, int64_t step) {
  Shape starts = Shape::filled(x.dim(), 0), sizes = x.shape(), steps = Shape::filled(x.dim(), 1);
  starts[dim] = start;
  sizes[dim] = length;
  steps[dim] = step;
  return record_view(Op::slice_, x, {starts, sizes, steps});
}

std::vector<Tensor> cut(const Tensor& x, const std::vector<int64_t>& sizes, int dim) {
  std::vector<Tensor> pieces;
  int64_t start = 0;
  for (int64_t size : sizes) {
    pieces.push_back(view_slice(x, dim, start, size, 1));
    start += size;
  }
  return pieces;
}

int checked_dim(const Tensor& x, int64_t dim, const char* op) {
  DS_CHECK(x.dim() > 0, ShapeError, op, ": a 0-d tensor has no dimension to work along");
  return normalize_dim(dim, x.dim(), op);
}

}  // namespace

Tensor reshape(const Tensor& input, const Shape& shape) {
  return record_view(Op::reshape_, input, {known_shape(shape, input.numel(), input, "reshape")});
}
Tensor view(const Tensor& input, const Shape& shape) { return reshape(input, shape); }

Tensor flatten(const Tensor& input, int64_t start_dim, int64_t end_dim) {
  if (input.dim() == 0) return reshape(input, {1});
  const int first = normalize_dim(start_dim, input.dim(), "flatten");
  const int last = normalize_dim(end_dim, input.dim(), "flatten");
  DS_CHECK(first <= last, ValueError, "flatten: start_dim ", start_dim, " is behind end_dim ",
           end_dim);
  Shape shape;
  int64_t merged = 1;
  for (int i = 0; i < input.dim(); ++i) {
    if (i < first || i > last)
      shape.push_back(input.shape()[i]);
    else
      merged *= input.shape()[i];
    if (i == last) shape.push_back(merged);
  }
  return record_view(Op::reshape_, input, {shape});
}

Tensor unflatten(const Tensor& input, int64_t dim, const Shape& sizes) {
  const int d = checked_dim(input, dim, "unflatten");
  const Shape parts = known_shape(sizes, input.shape()[d], input, "unflatten");
  Shape shape;
  for (int i = 0; i < input.dim(); ++i) {
    if (i != d) {
      shape.push_back(input.shape()[i]);
      continue;
    }
    for (int64_t part : parts) shape.push_back(part);
  }
  return record_view(Op::reshape_, input, {shape});
}

Tensor squeeze(const Tensor& input, const Dims& dim) {
  const Shape dims = dim.over(input.dim(), "squeeze");
  Shape shape;
  for (int i = 0; i < input.dim(); ++i) {
    const bool named = std::find(dims.begin(), dims.end(), i) != dims.end();
    if (!named || input.shape()[i] != 1) shape.push_back(input.shape()[i]);
  }
  return record_view(Op::reshape_, input, {shape});
}

Tensor unsqueeze(const Tensor& input, int64_t dim) {
  Shape shape = input.shape();
  shape.insert(normalize_dim(dim, input.dim() + 1, "unsqueeze"), 1);
  return record_view(Op::reshape_, input, {shape});
}

Tensor transpose(const Tensor& input, int64_t dim0, int64_t dim1) {
  const int a = normalize_dim(dim0, input.dim(), "transpose");
  const int b = normalize_dim(dim1, input.dim(), "transpose");
  Shape dims = all_dims(input.dim());
  if (!dims.empty()) std::swap(dims[a], dims[b]);
  return record_view(Op::permute_, input, {dims});
}
Tensor swapaxes(const Tensor& input, int64_t axis0, int64_t axis1) {
  return transpose(input, axis0, axis1);
}

Tensor permute(const Tensor& input, const Shape& dims) {
  DS_CHECK(dims.rank() == input.dim(), ShapeError, "permute: dims=", dims, " for input ",
           input.type(), "; name every dimension once");
  Shape normal;
  for (int64_t dim : dims) normal.push_back(normalize_dim(dim, input.dim(), "permute"));
  Shape sorted = normal;
  std::sort(sorted.begin(), sorted.end());
  DS_CHECK(sorted == all_dims(input.dim()), ValueError, "permute: a dimension appears twice in ",
           dims);
  return record_view(Op::permute_, input, {normal});
}

Tensor movedim(const Tensor& input, const Shape& source, const Shape& destination) {
  DS_CHECK(source.rank() == destination.rank(), ValueError, "movedim: source ", source,
           " and destination ", destination, " differ in length");
  Shape order = Shape::filled(input.dim(), -1);
  Shape rest = all_dims(input.dim());
  for (int i = 0; i < source.rank(); ++i) {
    const int from = normalize_dim(source[i], input.dim(), "movedim");
    const int to = normalize_dim(destination[i], input.dim(), "movedim");
    auto* place = std::find(rest.begin(), rest.end(), from);
    DS_CHECK(place != rest.end() && order[to] == -1, ValueError, "movedim: source ", source,
             " or destination ", destination, " repeats a dimension");
    order[to] = from;
    rest.erase(static_cast<int>(place - rest.begin()));
  }
  int next = 0;
  for (int64_t& dim : order)
    if (dim == -1) dim = rest[next++];
  return record_view(Op::permute_, input, {order});
}
Tensor movedim(const Tensor& input, int64_t source, int64_t destination) {
  return movedim(input, Shape{source}, Shape{destination});
}

Tensor t(const Tensor& input) {
  DS_CHECK(input.dim() <= 2, ShapeError, "t: input ", input.type(),
           " has more than 2 dimensions; use mT or transpose");
  return input.dim() < 2 ? record_view(Op::reshape_, input, {input.shape()})
                         : transpose(input, 0, 1);
}
Tensor mT(const Tensor& input) {
  DS_CHECK(input.dim() >= 2, ShapeError, "mT: input ", input.type(),
           " has fewer than 2 dimensions");
  return transpose(input, -2, -1);
}
Tensor reverse_dims(const Tensor& input) {
  Shape dims = all_dims(input.dim());
  std::reverse(dims.begin(), dims.end());
  return record_view(Op::permute_, input, {dims});
}

Tensor expand(const Tensor& input, const Shape& sizes) {
  const int extra = sizes.rank() - input.dim();
  DS_CHECK(extra >= 0, ShapeError, "expand: sizes ", sizes, " has fewer dimensions than input ",
           input.type());
  Shape shape = sizes;
  for (int i = 0; i < shape.rank(); ++i) {
    const int64_t own = i < extra ? 1 : input.shape()[i - extra];
    DS_CHECK(shape[i] != -1 || i >= extra, ShapeError, "expand: -1 keeps a size, but dimension ", i,
             " of ", sizes, " is new");
    if (shape[i] == -1) shape[i] = own;
    DS_CHECK(own == shape[i] || own == 1, ShapeError, "expand: input ", input.type(),
             " does not expand to ", sizes, " (", own, " against ", shape[i], " at dimension ", i,
             ")");
  }
  return record_view(Op::expand_, input, {shape});
}
Tensor expand_as(const Tensor& input, const Tensor& other) { return expand(input, other.shape()); }
Tensor broadcast_to(const Tensor& input, const Shape& shape) { return expand(input, shape); }

std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors) {
  Shape shape;
  for (const Tensor& x : tensors) shape = broadcast_shapes(shape, x.shape(), "broadcast_tensors");
  std::vector<Tensor> out;
  for (const Tensor& x : tensors) out.push_back(expand(x, shape));
  return out;
}

Tensor narrow(const Tensor& input, int64_t dim, int64_t start, int64_t length) {
  const int d = checked_dim(input, dim, "narrow");
  const int64_t size = input.shape()[d];
  DS_CHECK(start >= -size && start <= size, IndexError, "narrow: start ", start,
           " is out of range for dimension ", d, " of ", input.type());
  const int64_t first = start < 0 ? start + size : start;
  DS_CHECK(length >= 0 && first + length <= size, IndexError, "narrow: start ", start,
           " and length ", length, " exceed dimension ", d, " of ", input.type());
  return view_slice(input, d, first, length, 1);
}

Tensor select(const Tensor& input, int64_t dim, int64_t index) {
  DS_CHECK(input.dim() > 0, IndexError, "select: a 0-d tensor cannot be indexed; use item()");
  const int d = normalize_dim(dim, input.dim(), "select");
  const int64_t size = input.shape()[d];
  DS_CHECK(index >= -size && index < size, IndexError, "select: index ", index,
           " is out of range for dimension ", d, " of ", input.type());
  Shape shape = input.shape();
  shape.erase(d);
  return record_view(Op::reshape_, view_slice(input, d, index < 0 ? index + size : index, 1, 1),
                     {shape});
}

Tensor slice(const Tensor& input, int64_t dim, std::optional<int64_t> start,
             std::optional<int64_t> end, int64_t step) {
  DS_CHECK(input.dim() > 0, IndexError, "slice: a 0-d tensor cannot be sliced");
  DS_CHECK(step > 0, ValueError, "slice: step ", step, " must be positive; use flip to reverse");
  const int d = normalize_dim(dim, input.dim(), "slice");
  const int64_t size = input.shape()[d];
  const int64_t first = bound(start.value_or(0), size);
  const int64_t last = std::max(first, bound(end.value_or(size), size));
  return view_slice(input, d, first, (last - first + step - 1) / step, step);
}

Tensor diagonal(const Tensor& input, int64_t offset, int64_t dim1, int64_t dim2) {
  const int a = checked_dim(input, dim1, "diagonal");
  const int b = checked_dim(input, dim2, "diagonal");
  DS_CHECK(a != b, ValueError, "diagonal: dim1 and dim2 are the same dimension ", dim1);
  const Shape& shape = input.shape();
  const Shape strides = contiguous_strides(shape);
  const int64_t length =
      offset >= 0 ? std::min(shape[a], shape[b] - offset) : std::min(shape[a] + offset, shape[b]);
  Shape out_shape, out_strides;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i == a || i == b) continue;
    out_shape.push_back(shape[i]);
    out_strides.push_back(strides[i]);
  }
  out_shape.push_back(std::max<int64_t>(length, 0));
  out_strides.push_back(strides[a] + strides[b]);
  const int64_t start = length <= 0 ? 0 : offset >= 0 ? offset * strides[b] : -offset * strides[a];
  return record_view(Op::as_strided_, input, {out_shape, out_strides, start});
}

Tensor unfold(const Tensor& input, int64_t dimension, int64_t size, int64_t step) {
  if (input.dim() == 0) {
    DS_CHECK(size >= 0 && size <= 1 && step > 0, ShapeError, "unfold: size ", size, " and step ",
             step, " for a 0-d tensor");
    return record_view(Op::as_strided_, input, {Shape{size}, Shape{1}, int64_t{0}});
  }
  const int d = normalize_dim(dimension, input.dim(), "unfold");
  DS_CHECK(size >= 0 && size <= input.shape()[d], ShapeError, "unfold: size ", size,
           " exceeds dimension ", d, " of ", input.type());
  DS_CHECK(step > 0, ValueError, "unfold: step ", step, " must be positive");
  Shape shape = input.shape(), strides = contiguous_strides(shape);
  shape[d] = (shape[d] - size) / step + 1;
  shape.push_back(size);
  strides.push_back(strides[d]);
  strides[d] *= step;
  return record_view(Op::as_strided_, input, {shape, strides, int64_t{0}});
}

Tensor as_strided(const Tensor& input, const Shape& size, const Shape& stride,
                  int64_t storage_offset) {
  DS_CHECK(size.rank() == stride.rank(), ValueError, "as_strided: size ", size, " and stride ",
           stride, " differ in length");
  return record_view(Op::as_strided_, input, {size, stride, storage_offset});
}

std::vector<Tensor> split(const Tensor& input, int64_t split_size, int64_t dim) {
  const int d = checked_dim(input, dim, "split");
  const int64_t size = input.shape()[d];
  DS_CHECK(split_size > 0 || (split_size == 0 && size == 0), ValueError, "split: split_size ",
           split_size, " must be positive");
  std::vector<int64_t> sizes;
  for (int64_t start = 0; start < size; start += split_size)
    sizes.push_back(std::min(split_size, size - start));
  if (sizes.empty()) sizes.push_back(0);
  return cut(input, sizes, d);
}

std::vector<Tensor> split_with_sizes(const Tensor& input, const std::vector<int64_t>& split_sizes,
                                     int64_t dim) {
  const int d = checked_dim(input, dim, "split");
  int64_t total = 0;
  for (int64_t size : split_sizes) {
    DS_CHECK(size >= 0, ValueError, "split: a size is negative: ", size);
    total += size;
  }
  DS_CHECK(total == input.shape()[d], ShapeError, "split: the sizes add up to ", total,
           ", dimension ", d, " of ", input.type(), " has ", input.shape()[d]);
  return cut(input, split_sizes, d);
}

std::vector<Tensor> chunk(const Tensor& input, int64_t chunks, int64_t dim) {
  DS_CHECK(chunks > 0, ValueError, "chunk: chunks ", chunks, " must be positive");
  const int d = checked_dim(input, dim, "chunk");
  const int64_t size = input.shape()[d];
  if (size == 0) return cut(input, std::vector<int64_t>(static_cast<size_t>(chunks), 0), d);
  return split(input, (size + chunks - 1) / chunks, d);
}

std::vector<Tensor> tensor_split(const Tensor& input, int64_t sections, int64_t dim) {
  DS_CHECK(sections > 0, ValueError, "tensor_split: sections ", sections, " must be positive");
  const int d = checked_dim(input, dim, "tensor_split");
  const int64_t size = input.shape()[d];
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < sections; ++i) sizes.push_back(size / sections + (i < size % sections));
  return cut(input, sizes, d);
}

std::vector<Tensor> tensor_split_indices(const Tensor& input, const std::vector<int64_t>& indices,
                                         int64_t dim) {
  const int d = checked_dim(input, dim, "tensor_split");
  std::vector<Tensor> pieces;
  int64_t start = 0;
  for (int64_t index : indices) {
    pieces.push_back(slice(input, d, start, index));
    start = index;
  }
  pieces.push_back(slice(input, d, start));
  return pieces;
}

std::vector<Tensor> hsplit(const Tensor& input, int64_t sections) {
  return tensor_split(input, sections, input.dim() == 1 ? 0 : 1);
}
std::vector<Tensor> vsplit(const Tensor& input, int64_t sections) {
  return tensor_split(input, sections, 0);
}
std::vector<Tensor> dsplit(const Tensor& input, int64_t sections) {
  return tensor_split(input, sections, 2);
}

std::vector<Tensor> unbind(const Tensor& input, int64_t dim) {
  const int d = checked_dim(input, dim, "unbind");
  std::vector<Tensor> slices;
  for (int64_t i = 0; i < input.shape()[d]; ++i) slices.push_back(select(input, d, i));
  return slices;
}

Tensor atleast_1d(const Tensor& input) { return input.dim() == 0 ? reshape(input, {1}) : input; }
Tensor atleast_2d(const Tensor& input) {
  return input.dim() < 2 ? reshape(input, {1, input.numel()}) : input;
}
Tensor atleast_3d(const Tensor& input) {
  if (input.dim() < 2) return reshape(input, {1, input.numel(), 1});
  return input.dim() == 2 ? unsqueeze(input, -1) : input;
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors, const std::string& indexing) {
  DS_CHECK(indexing == "ij" || indexing == "xy", ValueError, "meshgrid: indexing '", indexing,
           "' is unknown; use 'ij' or 'xy'");
  const bool swap = indexing == "xy" && tensors.size() >= 2;
  Shape shape;
  for (const Tensor& x : tensors) {
    DS_CHECK(x.dim() <= 1, ShapeError, "meshgrid: a tensor is ", x.type(), "; it must be 1-d");
    shape.push_back(x.numel());
  }
  if (swap) std::swap(shape[0], shape[1]);
  std::vector<Tensor> grids;
  for (int i = 0; i < shape.rank(); ++i) {
    const int place = swap && i < 2 ? 1 - i : i;
    Shape own = Shape::filled(shape.rank(), 1);
    own[place] = shape[place];
    grids.push_back(expand(reshape(tensors[static_cast<size_t>(i)], own), shape));
  }
  return grids;
}

}  // namespace ds
