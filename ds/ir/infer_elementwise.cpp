// SPDX-License-Identifier: Apache-2.0
// Types of sources, unary, binary, compare and select ops.
#include "ds/base/error.h"
#include "ds/ir/infer_checks.h"

namespace ds {
namespace {

Type broadcast(const InferContext& c, DType dtype) {
  check_same_dtype(c, 0, 1);
  if (c.shape(0) == c.shape(1)) return {dtype, c.shape(0)};
  return {dtype, broadcast_shapes(c.shape(0), c.shape(1), c.name().data())};
}

/// Rules of elementwise ops also serve scans, softmax and flip, which name dimensions.
void check_named_dims(const InferContext& c) {
  const OpClass op_class = op_info(c.op).op_class;
  if (op_class == OpClass::scan || op_class == OpClass::softmax)
    check_dim(c, c.int_at(0), c.shape(0).rank());
  if (c.op == Op::flip_)
    for (int64_t dim : c.ints_at(0)) check_dim(c, dim, c.shape(0).rank());
}

}  // namespace

std::vector<Type> infer_input(const InferContext& c) { return {{c.dtype_at(1), c.ints_at(2)}}; }

std::vector<Type> infer_constant(const InferContext& c) {
  DS_CHECK(c.op == Op::constant_ || !is_floating(c.dtype_at(1)), DTypeError,
           "constant_int: dtype is ", c.dtype_at(1), "; it must be an integer or bool");
  return {{c.dtype_at(1), {}}};
}

std::vector<Type> infer_iota(const InferContext& c) {
  DS_CHECK(c.int_at(0) >= 0, ValueError, "iota: size is ", c.int_at(0),
           "; it must not be negative");
  return {{c.dtype_at(1), {c.int_at(0)}}};
}

std::vector<Type> infer_same(const InferContext& c) {
  check_named_dims(c);
  return {c.type(0)};
}

std::vector<Type> infer_same_float(const InferContext& c) {
  check_floating(c, 0);
  check_named_dims(c);
  return {c.type(0)};
}

std::vector<Type> infer_same_integral(const InferContext& c) {
  check_integral(c, 0);
  return {c.type(0)};
}

std::vector<Type> infer_same_pair(const InferContext& c) {
  check_floating(c, 0);
  check_same_type(c, 0, 1);
  check_named_dims(c);
  return {c.type(0)};
}

std::vector<Type> infer_cast(const InferContext& c) { return {{c.dtype_at(0), c.shape(0)}}; }
std::vector<Type> infer_test(const InferContext& c) { return {{DType::bool_, c.shape(0)}}; }
std::vector<Type> infer_binary(const InferContext& c) { return {broadcast(c, c.dtype(0))}; }

std::vector<Type> infer_binary_float(const InferContext& c) {
  check_floating(c, 0);
  return {broadcast(c, c.dtype(0))};
}

std::vector<Type> infer_binary_integral(const InferContext& c) {
  check_integral(c, 0);
  return {broadcast(c, c.dtype(0))};
}

std::vector<Type> infer_compare(const InferContext& c) { return {broadcast(c, DType::bool_)}; }

std::vector<Type> infer_where(const InferContext& c) {
  check_dtype(c, 0, DType::bool_);
  check_same_dtype(c, 1, 2);
  const Shape both = broadcast_shapes(c.shape(1), c.shape(2), "where");
  return {{c.dtype(1), broadcast_shapes(c.shape(0), both, "where")}};
}

std::vector<Type> infer_clamp(const InferContext& c) {
  check_same_dtype(c, 0, 1);
  check_same_dtype(c, 0, 2);
  const Shape limits = broadcast_shapes(c.shape(1), c.shape(2), "clamp");
  return {{c.dtype(0), broadcast_shapes(c.shape(0), limits, "clamp")}};
}

std::vector<Type> infer_custom_gradient(const InferContext& c) { return {c.type(0)}; }

std::vector<Type> infer_fused(const InferContext&) {
  DS_ASSERT(false, "a fused node is made by Interner::fused");
  return {};
}

}  // namespace ds
