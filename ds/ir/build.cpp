// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/build.h"

#include "ds/base/error.h"

namespace ds {

NodePtr make_node(Op op, Values inputs, Attrs attrs) {
  std::vector<Type> types = infer_types(op, inputs, attrs);
  return std::make_shared<const Node>(op, std::move(inputs), std::move(attrs), std::move(types));
}

Value make(Op op, Values inputs, Attrs attrs) {
  return {make_node(op, std::move(inputs), std::move(attrs)), 0};
}

Value make_constant(double value, DType dtype) { return make(Op::constant_, {}, {value, dtype}); }

Value make_full(const Shape& shape, double value, DType dtype) {
  return make_expand(make_constant(value, dtype), shape);
}

Value make_cast(const Value& x, DType dtype) {
  return x.dtype() == dtype ? x : make(Op::cast_, {x}, {dtype});
}

Value make_reshape(const Value& x, const Shape& shape) {
  return x.shape() == shape ? x : make(Op::reshape_, {x}, {shape});
}

Value make_permute(const Value& x, const Shape& dims) { return make(Op::permute_, {x}, {dims}); }

Value make_transpose(const Value& x) {
  const int rank = x.shape().rank();
  DS_ASSERT(rank >= 2);
  Shape dims;
  for (int i = 0; i < rank - 2; ++i) dims.push_back(i);
  dims.push_back(rank - 1);
  dims.push_back(rank - 2);
  return make_permute(x, dims);
}

Value make_expand(const Value& x, const Shape& shape) {
  return x.shape() == shape ? x : make(Op::expand_, {x}, {shape});
}

Value make_sum(const Value& x, const Shape& dims, bool keepdim) {
  return dims.empty() ? x : make(Op::sum_, {x}, {dims, keepdim});
}

Value make_sum_to(const Value& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int extra = x.shape().rank() - shape.rank();
  Shape dims;
  for (int i = 0; i < x.shape().rank(); ++i)
    if (i < extra || (shape[i - extra] == 1 && x.shape()[i] != 1)) dims.push_back(i);
  // Summing leading dimensions alone leaves the shape without a reshape.
  const bool keepdim = !dims.empty() && dims.back() >= extra;
  return make_reshape(make_sum(x, dims, keepdim), shape);
}

}  // namespace ds
