// SPDX-License-Identifier: Apache-2.0
// Norms and distances of ops_reduce.h.
#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// (sum |x|^p)^(1/p) for finite p beside 0, 1 and 2, with gradient 0 where PyTorch has it.
Tensor power_norm(const Tensor& x, double p, const Dims& dim, bool keepdim) {
  Tensor magnitude = abs(x);
  if (p < 1) {  // the slope at 0 is infinite
    const Tensor zero = eq(magnitude, 0);
    magnitude = p > 0 ? where(zero, 0, pow(where(zero, 1, magnitude), p)) : pow(magnitude, p);
  } else {
    magnitude = pow(magnitude, p);
  }
  const Tensor total = sum(magnitude, dim, keepdim);
  const Tensor zero = eq(total, 0);
  if (p < 0) return pow(total, 1 / p);
  return where(zero, 0, pow(where(zero, 1, total), 1 / p));
}

}  // namespace

Tensor vector_norm(const Tensor& input, double ord, const Dims& dim, bool keepdim,
                   std::optional<DType> dtype) {
  const Tensor converted = dtype ? to_dtype(input, *dtype) : input;
  DS_CHECK(is_floating(converted.dtype()), DTypeError, "norm: the input is ", input.type(),
           "; it must be floating, convert it with to()");
  const Tensor x = widened(converted);
  Tensor out;
  if (std::isinf(ord))
    out = ord > 0 ? amax(abs(x), dim, keepdim) : amin(abs(x), dim, keepdim);
  else if (ord == 0)
    out = sum(to_dtype(ne(x, 0), x.dtype()), dim, keepdim);
  else if (ord == 1)
    out = sum(abs(x), dim, keepdim);
  else if (ord == 2)
    out = sqrt_at_zero(sum(square(x), dim, keepdim));
  else
    out = power_norm(x, ord, dim, keepdim);
  return to_dtype(out, converted.dtype());
}

Tensor norm(const Tensor& input, double p, const Dims& dim, bool keepdim,
            std::optional<DType> dtype) {
  return vector_norm(input, p, dim, keepdim, dtype);
}

Tensor dist(const Tensor& input, const Tensor& other, double p) {
  return vector_norm(input - other, p);
}

Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim, double eps) {
  const std::pair<Tensor, Tensor> p = promoted(to_floating(x1), to_floating(x2));
  const Shape shape = broadcast_shapes(x1.shape(), x2.shape(), "cosine_similarity");
  const Tensor a = expanded(p.first, shape), b = expanded(p.second, shape);
  const Tensor unit_a = a / clamp_min(vector_norm(a, 2, dim, true), eps);
  const Tensor unit_b = b / clamp_min(vector_norm(b, 2, dim, true), eps);
  return sum(unit_a * unit_b, dim);
}

Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p, double eps, bool keepdim) {
  return vector_norm(x1 - x2 + eps, p, -1, keepdim);
}

Tensor cdist(const Tensor& x1, const Tensor& x2, double p) {
  DS_CHECK(x1.dim() >= 2 && x2.dim() >= 2 && x1.shape().back() == x2.shape().back(), ShapeError,
           "cdist: x1 ", x1.type(), " and x2 ", x2.type(),
           " must be [..., P, M] and [..., R, M] with one M");
  DS_CHECK(p >= 0, ValueError, "cdist: p=", p, " is negative");
  // Through a matrix product for many rows, as PyTorch: exact differences would need P*R*M values.
  if (p == 2 && (x1.size(-2) > 25 || x2.size(-2) > 25)) {
    const Tensor squares =
        sum(square(x1), -1, true) + mT(sum(square(x2), -1, true)) - matmul(x1, mT(x2)) * 2.0;
    return sqrt_at_zero(clamp_min(squares, 0));
  }
  return vector_norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1);
}

Tensor pdist(const Tensor& input, double p) {
  DS_CHECK(input.dim() == 2, ShapeError, "pdist: input ", input.type(), " must be [N, M]");
  std::vector<int64_t> rows, cols;
  for (int64_t i = 0; i < input.shape()[0]; ++i) {
    for (int64_t j = i + 1; j < input.shape()[0]; ++j) {
      rows.push_back(i);
      cols.push_back(j);
    }
  }
  const Tensor a = record(Op::index_select_, {input, index_tensor(rows, input.device())}, {0});
  const Tensor b = record(Op::index_select_, {input, index_tensor(cols, input.device())}, {0});
  return vector_norm(a - b, p, -1);
}

}  // namespace ds
