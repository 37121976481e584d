// SPDX-License-Identifier: Apache-2.0
// Types of reductions, scans, sorting and softmax losses.
#include "ds/ir/infer_checks.h"

namespace ds {
namespace {

Shape reduced(const InferContext& c, const Shape& dims, bool keepdim) {
  const Shape& shape = c.shape(0);
  Shape out;
  int next = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    if (next < dims.rank() && dims[next] == i) {
      ++next;
      if (keepdim) out.push_back(1);
    } else {
      out.push_back(shape[i]);
    }
  }
  DS_CHECK(next == dims.rank(), ValueError, c.name(), ": dims ", dims,
           " must be sorted, unique and in range for ", c.type(0));
  return out;
}

Type reduce(const InferContext& c, DType dtype) {
  return {dtype, reduced(c, c.ints_at(0), c.bool_at(1))};
}

void check_nonempty(const InferContext& c, const Shape& dims) {
  for (int64_t dim : dims)
    DS_CHECK(dim < 0 || dim >= c.shape(0).rank() || c.shape(0)[static_cast<int>(dim)] > 0,
             ShapeError, c.name(), ": dimension ", dim, " of ", c.type(0),
             " is empty and has no such value");
}

}  // namespace

std::vector<Type> infer_reduce(const InferContext& c) { return {reduce(c, c.dtype(0))}; }

std::vector<Type> infer_reduce_float(const InferContext& c) {
  check_floating(c, 0);
  return {reduce(c, c.dtype(0))};
}

std::vector<Type> infer_reduce_nonempty(const InferContext& c) {
  check_nonempty(c, c.ints_at(0));
  return {reduce(c, c.dtype(0))};
}

std::vector<Type> infer_reduce_bool(const InferContext& c) { return {reduce(c, DType::bool_)}; }

std::vector<Type> infer_reduce_arg(const InferContext& c) {
  const int dim = check_dim(c, c.int_at(0), c.shape(0).rank());
  if (c.shape(0).empty()) return {{DType::i64, {}}};
  check_nonempty(c, {dim});
  return {{DType::i64, reduced(c, {dim}, c.bool_at(1))}};
}

std::vector<Type> infer_values_indices(const InferContext& c) {
  check_dim(c, c.int_at(0), c.shape(0).rank());
  return {c.type(0), {DType::i64, c.shape(0)}};
}

std::vector<Type> infer_topk(const InferContext& c) {
  const int dim = check_dim(c, c.int_at(1), c.shape(0).rank());
  const int64_t k = c.int_at(0);
  Shape out = c.shape(0);
  const int64_t size = out.empty() ? 1 : out[dim];
  DS_CHECK(k >= 0 && k <= size, ValueError, "topk: k is ", k, ", dimension ", dim, " of ",
           c.type(0), " has ", size, " elements");
  if (!out.empty()) out[dim] = k;
  return {{c.dtype(0), out}, {DType::i64, out}};
}

std::vector<Type> infer_softmax_cross_entropy(const InferContext& c) {
  check_floating(c, 0);
  check_rank(c, 0, 2, 2, "logits");
  check_dtype(c, 1, DType::i64);
  check_shape(c, 1, {c.shape(0)[0]}, "labels");
  const Type row{stat_dtype(c.dtype(0)), {c.shape(0)[0]}};
  return {row, row};
}

std::vector<Type> infer_softmax_cross_entropy_backward(const InferContext& c) {
  check_floating(c, 1);
  check_rank(c, 1, 2, 2, "logits");
  check_dtype(c, 2, DType::i64);
  const Shape row{c.shape(1)[0]};
  check_shape(c, 0, row, "diff_loss");
  check_shape(c, 2, row, "labels");
  check_shape(c, 3, row, "logsumexp");
  check_dtype(c, 0, stat_dtype(c.dtype(1)));
  check_dtype(c, 3, stat_dtype(c.dtype(1)));
  return {c.type(1)};
}

}  // namespace ds
