// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/compose.h"

#include "ds/base/error.h"
#include "ds/ir/build.h"

namespace ds {

Shape all_dims(int rank) {
  Shape dims;
  for (int i = 0; i < rank; ++i) dims.push_back(i);
  return dims;
}

Tensor reshaped(const Tensor& x, const Shape& shape) {
  return x.shape() == shape ? x : record(Op::reshape_, {x}, {shape});
}

Tensor permuted(const Tensor& x, const Shape& dims) {
  return dims == all_dims(x.dim()) ? x : record(Op::permute_, {x}, {dims});
}

Tensor expanded(const Tensor& x, const Shape& shape) {
  return x.shape() == shape ? x : record(Op::expand_, {x}, {shape});
}

Tensor at_least_1d(const Tensor& x) { return x.dim() == 0 ? reshaped(x, {1}) : x; }

Tensor sliced(const Tensor& x, int dim, int64_t start, int64_t length, int64_t step) {
  if (start == 0 && length == x.shape()[dim] && step == 1) return x;
  Shape starts = Shape::filled(x.dim(), 0), sizes = x.shape(), steps = Shape::filled(x.dim(), 1);
  starts[dim] = start;
  sizes[dim] = length;
  steps[dim] = step;
  return record(Op::slice_, {x}, {starts, sizes, steps});
}

Tensor moved_last(const Tensor& x, int dim) {
  Shape dims = all_dims(x.dim());
  if (dims.empty()) return x;
  dims.erase(dim);
  dims.push_back(dim);
  return permuted(x, dims);
}

Tensor moved_back(const Tensor& x, int dim) {
  Shape dims = all_dims(x.dim());
  if (dims.empty()) return x;
  dims.pop_back();
  dims.insert(dim, x.dim() - 1);
  return permuted(x, dims);
}

Tensor constant(const Shape& shape, double value, DType dtype, Device device) {
  return {make_full(shape, value, dtype), device};
}

Tensor iota(int64_t size, DType dtype, Device device) {
  return {make(Op::iota_, {}, {size, dtype}), device};
}

Tensor index_tensor(const std::vector<int64_t>& values, Device device) {
  return Tensor::from_host(values.data(), {DType::i64, {static_cast<int64_t>(values.size())}},
                           device);
}

Tensor widened(const Tensor& x) { return is_half(x.dtype()) ? to_dtype(x, DType::f32) : x; }

Tensor autocast_f32(const Tensor& x) { return autocast() ? widened(x) : x; }

std::pair<Tensor, Tensor> promoted(const Tensor& a, const Tensor& b) {
  if (a.dtype() == b.dtype()) return {a, b};
  const DType dtype = result_dtype({a, b});
  return {to_dtype(a, dtype), to_dtype(b, dtype)};
}

Tensor sqrt_at_zero(const Tensor& x) {
  const Tensor zero = constant({}, 0, x.dtype(), x.device());
  if (!grad_enabled() || !x.requires_grad()) return record(Op::sqrt_, {x});
  const Tensor one = constant({}, 1, x.dtype(), x.device());
  const Tensor is_zero = record(Op::eq_, {x, zero});
  const Tensor root = record(Op::sqrt_, {record(Op::where_, {is_zero, one, x})});
  return record(Op::where_, {is_zero, zero, root});
}

Tensor as_index(const Tensor& index, const char* op) {
  DS_CHECK(is_integer(index.dtype()), DTypeError, op, ": the index is ", index.type(),
           "; use an integer tensor");
  return to_dtype(index, DType::i64);
}

Tensor wrapped_index(const Tensor& index, int64_t size) {
  const Device device = index.device();
  const Tensor zero = constant({}, 0, DType::i64, device);
  const Tensor length = constant({}, static_cast<double>(size), DType::i64, device);
  return record(Op::where_,
                {record(Op::lt_, {index, zero}), record(Op::add_, {index, length}), index});
}

Tensor joined(const std::vector<Tensor>& tensors, int dim) {
  return tensors.size() == 1 ? tensors[0] : record(Op::cat_, tensors, {dim});
}

}  // namespace ds
