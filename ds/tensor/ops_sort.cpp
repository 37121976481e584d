// SPDX-License-Identifier: Apache-2.0
// Sorting and searching of ops_index.h.
#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/ops_index.h"

namespace ds {

std::pair<Tensor, Tensor> sort(const Tensor& input, int64_t dim, bool descending, bool) {
  const int d = normalize_dim(dim, input.dim(), "sort");
  const std::vector<Tensor> out = record_all(Op::sort_, {at_least_1d(input)}, {d, descending});
  return {reshaped(out[0], input.shape()), reshaped(out[1], input.shape())};
}

Tensor argsort(const Tensor& input, int64_t dim, bool descending, bool stable) {
  return sort(input, dim, descending, stable).second;
}

Tensor msort(const Tensor& input) { return sort(input, 0).first; }

std::pair<Tensor, Tensor> topk(const Tensor& input, int64_t k, int64_t dim, bool largest, bool) {
  const int d = normalize_dim(dim, input.dim(), "topk");
  const std::vector<Tensor> out = record_all(Op::topk_, {at_least_1d(input)}, {k, d, largest});
  if (input.dim() > 0) return {out[0], out[1]};
  DS_CHECK(k == 1, ValueError, "topk: k is ", k, " for a 0-d tensor; it must be 1");
  return {reshaped(out[0], {}), reshaped(out[1], {})};
}

std::pair<Tensor, Tensor> kthvalue(const Tensor& input, int64_t k, int64_t dim, bool keepdim) {
  const int d = normalize_dim(dim, input.dim(), "kthvalue");
  const Tensor x = at_least_1d(input);
  DS_CHECK(k >= 1 && k <= x.shape()[d], ValueError, "kthvalue: k is ", k, ", dimension ", d, " of ",
           input.type(), " has ", x.shape()[d], " elements");
  const std::vector<Tensor> smallest = record_all(Op::topk_, {x}, {k, d, false});
  Shape shape = input.shape();
  if (!shape.empty()) {
    shape[d] = 1;
    if (!keepdim) shape.erase(d);
  }
  return {reshaped(sliced(smallest[0], d, k - 1, 1), shape),
          reshaped(sliced(smallest[1], d, k - 1, 1), shape)};
}

Tensor searchsorted(const Tensor& sorted_sequence, const Operand& values, bool right) {
  DS_CHECK(sorted_sequence.dim() >= 1, ShapeError, "searchsorted: the sorted sequence is 0-d");
  const DType dtype = result_dtype({sorted_sequence, values});
  const Tensor x = as_tensor(values, dtype, sorted_sequence.device());
  DS_CHECK(!values.is_number() || sorted_sequence.dim() == 1, ShapeError,
           "searchsorted: a number needs a 1-d sorted sequence, it is ", sorted_sequence.type());
  return record(Op::searchsorted_, {to_dtype(sorted_sequence, dtype), x}, {right});
}

Tensor bucketize(const Operand& input, const Tensor& boundaries, bool right) {
  DS_CHECK(boundaries.dim() == 1, ShapeError, "bucketize: boundaries are ", boundaries.type(),
           "; they must be 1-d");
  return searchsorted(boundaries, input, right);
}

}  // namespace ds
