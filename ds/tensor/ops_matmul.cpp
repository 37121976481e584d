// SPDX-License-Identifier: Apache-2.0
// Products of ops_linalg.h.
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

void check_rank(const Tensor& x, int rank, const char* op, const char* what) {
  DS_CHECK(x.dim() == rank, ShapeError, op, ": ", what, " ", x.type(), " must be ", rank, "-d");
}

void check_inner(const Tensor& a, int64_t inner, const Tensor& b, int64_t other, const char* op) {
  DS_CHECK(inner == other, ShapeError, op, ": inner sizes differ: ", a.type(), " and ", b.type(),
           " (", inner, " != ", other, ")");
}

bool is_one(const Operand& factor) { return factor.is_number() && factor.as_double() == 1; }

/// beta * input + alpha * product, in the product's dtype; beta 0 ignores input, NaN included.
Tensor combined(const Tensor& input, const Operand& beta, const Tensor& product,
                const Operand& alpha) {
  const Tensor scaled = is_one(alpha) ? product : to_dtype(product * alpha, product.dtype());
  if (beta.is_number() && beta.as_double() == 0) return scaled;
  const Tensor added = to_dtype(is_one(beta) ? input : input * beta, product.dtype());
  DS_CHECK(broadcast_shapes(added.shape(), scaled.shape(), "addmm") == scaled.shape(), ShapeError,
           "addmm: input ", input.type(), " does not expand to the product ", product.type());
  return added + scaled;
}

Shape without_last(const Tensor& x, int count) {
  return Shape(x.shape().begin(), x.shape().end() - count);
}

}  // namespace

Tensor matmul(const Tensor& input, const Tensor& other) {
  DS_CHECK(input.dim() > 0 && other.dim() > 0, ShapeError, "matmul: ", input.type(), " and ",
           other.type(), " must have at least 1 dimension; use * for 0-d tensors");
  const Tensor a = input.dim() == 1 ? reshaped(input, {1, input.numel()}) : input;
  const Tensor b = other.dim() == 1 ? reshaped(other, {other.numel(), 1}) : other;
  check_inner(input, a.shape().back(), other, b.size(-2), "matmul");
  Tensor product;
  if (b.dim() == 2 && a.dim() > 2) {
    // One product of many rows: the gradient of b is then one product too, not a sum of a batch.
    Shape out = without_last(a, 1);
    const int64_t rows = out.numel();
    out.push_back(b.shape()[1]);
    product = reshaped(record(Op::matmul_, {reshaped(a, {rows, a.shape().back()}), b}), out);
  } else {
    product = record(Op::matmul_, {a, b});
  }
  if (input.dim() > 1 && other.dim() > 1) return product;
  Shape shape = product.shape();
  if (other.dim() == 1) shape.pop_back();
  if (input.dim() == 1) shape.erase(shape.rank() - (other.dim() == 1 ? 1 : 2));
  return reshaped(product, shape);
}

Tensor mm(const Tensor& input, const Tensor& mat2) {
  check_rank(input, 2, "mm", "input");
  check_rank(mat2, 2, "mm", "mat2");
  return matmul(input, mat2);
}

Tensor bmm(const Tensor& input, const Tensor& mat2) {
  check_rank(input, 3, "bmm", "input");
  check_rank(mat2, 3, "bmm", "mat2");
  DS_CHECK(input.shape()[0] == mat2.shape()[0], ShapeError, "bmm: batches of ", input.type(),
           " and ", mat2.type(), " differ");
  return matmul(input, mat2);
}

Tensor mv(const Tensor& input, const Tensor& vec) {
  check_rank(input, 2, "mv", "input");
  check_rank(vec, 1, "mv", "vec");
  return matmul(input, vec);
}

Tensor dot(const Tensor& input, const Tensor& other) {
  check_rank(input, 1, "dot", "input");
  check_rank(other, 1, "dot", "other");
  return matmul(input, other);
}

Tensor vdot(const Tensor& input, const Tensor& other) { return dot(input, other); }

Tensor vecdot(const Tensor& input, const Tensor& other, int64_t dim) {
  return to_dtype(sum(input * other, dim), result_dtype({input, other}));
}

Tensor outer(const Tensor& input, const Tensor& vec2) {
  check_rank(input, 1, "outer", "input");
  check_rank(vec2, 1, "outer", "vec2");
  return unsqueeze(input, 1) * vec2;
}
Tensor ger(const Tensor& input, const Tensor& vec2) { return outer(input, vec2); }

Tensor inner(const Tensor& input, const Tensor& other) {
  if (input.dim() == 0 || other.dim() == 0) return input * other;
  check_inner(input, input.shape().back(), other, other.shape().back(), "inner");
  return tensordot(input, other, {-1}, {-1});
}

Tensor addmm(const Tensor& input, const Tensor& mat1, const Tensor& mat2, const Operand& beta,
             const Operand& alpha) {
  return combined(input, beta, mm(mat1, mat2), alpha);
}
Tensor addmv(const Tensor& input, const Tensor& mat, const Tensor& vec, const Operand& beta,
             const Operand& alpha) {
  return combined(input, beta, mv(mat, vec), alpha);
}
Tensor addr(const Tensor& input, const Tensor& vec1, const Tensor& vec2, const Operand& beta,
            const Operand& alpha) {
  return combined(input, beta, outer(vec1, vec2), alpha);
}
Tensor baddbmm(const Tensor& input, const Tensor& batch1, const Tensor& batch2, const Operand& beta,
               const Operand& alpha) {
  return combined(input, beta, bmm(batch1, batch2), alpha);
}
Tensor addbmm(const Tensor& input, const Tensor& batch1, const Tensor& batch2, const Operand& beta,
              const Operand& alpha) {
  check_rank(batch1, 3, "addbmm", "batch1");
  check_rank(batch2, 3, "addbmm", "batch2");
  return combined(input, beta, tensordot(batch1, batch2, {0, 2}, {0, 1}), alpha);
}

Tensor tensordot(const Tensor& a, const Tensor& b, int64_t dims) {
  DS_CHECK(dims >= 0 && dims <= a.dim() && dims <= b.dim(), ValueError, "tensordot: dims ", dims,
           " for ", a.type(), " and ", b.type());
  Shape dims_a, dims_b;
  for (int64_t i = 0; i < dims; ++i) {
    dims_a.push_back(a.dim() - dims + i);
    dims_b.push_back(i);
  }
  return tensordot(a, b, dims_a, dims_b);
}

Tensor tensordot(const Tensor& lhs, const Tensor& rhs, const Shape& dims_a, const Shape& dims_b) {
  Tensor a = lhs, b = rhs;
  DS_CHECK(dims_a.rank() == dims_b.rank(), ValueError, "tensordot: dims ", dims_a, " and ", dims_b,
           " differ in length");
  Shape rest_a = all_dims(a.dim()), rest_b = all_dims(b.dim()), summed_a, summed_b;
  int64_t inner = 1;
  for (int i = 0; i < dims_a.rank(); ++i) {
    const int da = normalize_dim(dims_a[i], a.dim(), "tensordot");
    const int db = normalize_dim(dims_b[i], b.dim(), "tensordot");
    // A size of 1 broadcasts: the other side's elements are summed first.
    if (a.shape()[da] == 1 && b.shape()[db] != 1) b = sum(b, db, true);
    if (b.shape()[db] == 1 && a.shape()[da] != 1) a = sum(a, da, true);
    check_inner(a, a.shape()[da], b, b.shape()[db], "tensordot");
    inner *= a.shape()[da];
    summed_a.push_back(da);
    summed_b.push_back(db);
  }
  const auto drop = [](Shape& rest, const Shape& dims) {
    for (int64_t dim : dims) {
      int place = 0;
      while (place < rest.rank() && rest[place] != dim) ++place;
      DS_CHECK(place < rest.rank(), ValueError, "tensordot: dimension ", dim, " appears twice in ",
               dims);
      rest.erase(place);
    }
  };
  drop(rest_a, summed_a);
  drop(rest_b, summed_b);
  Shape order_a = rest_a, order_b = summed_b, out;
  for (int64_t dim : summed_a) order_a.push_back(dim);
  for (int64_t dim : rest_b) order_b.push_back(dim);
  int64_t rows = 1, cols = 1;
  for (int64_t dim : rest_a) {
    out.push_back(a.shape()[static_cast<int>(dim)]);
    rows *= out.back();
  }
  for (int64_t dim : rest_b) {
    out.push_back(b.shape()[static_cast<int>(dim)]);
    cols *= out.back();
  }
  return reshaped(record(Op::matmul_, {reshaped(permuted(a, order_a), {rows, inner}),
                                       reshaped(permuted(b, order_b), {inner, cols})}),
                  out);
}

Tensor linear(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias) {
  DS_CHECK(input.dim() >= 1 && (weight.dim() == 1 || weight.dim() == 2), ShapeError,
           "linear: input ", input.type(), " and weight ", weight.type(),
           " must be [..., in] and [out, in]");
  DS_CHECK(input.shape().back() == weight.shape().back(), ShapeError, "linear: input ",
           input.type(), " has ", input.shape().back(), " features, weight ", weight.type(),
           " expects ", weight.shape().back());
  DS_CHECK(input.dtype() == weight.dtype() || autocast(), DTypeError, "linear: input ",
           input.type(), " and weight ", weight.type(),
           " differ in dtype; convert one with to() or use autocast");
  const Tensor product = matmul(input, weight.dim() == 1 ? weight : permuted(weight, Shape{1, 0}));
  if (!present(bias)) return product;
  return product + (autocast() ? to_dtype(*bias, product.dtype()) : *bias);
}

Tensor bilinear(const Tensor& input1, const Tensor& input2, const Tensor& weight,
                const std::optional<Tensor>& bias) {
  check_rank(weight, 3, "bilinear", "weight");
  DS_CHECK(input1.dim() >= 1 && input2.dim() == input1.dim() &&
               input1.shape().back() == weight.shape()[1] &&
               input2.shape().back() == weight.shape()[2] &&
               without_last(input1, 1) == without_last(input2, 1),
           ShapeError, "bilinear: ", input1.type(), " and ", input2.type(), " do not fit weight ",
           weight.type(), ", [out, in1, in2]");
  const int64_t out = weight.shape()[0], in1 = weight.shape()[1], in2 = weight.shape()[2];
  Shape shape = without_last(input1, 1);
  const int64_t rows = shape.numel();
  shape.push_back(out);
  const Tensor flat = reshaped(permuted(weight, Shape{1, 0, 2}), {in1, out * in2});
  const Tensor left = reshaped(matmul(reshaped(input1, {rows, in1}), flat), {rows, out, in2});
  const Tensor product = reshaped(matmul(left, reshaped(input2, {rows, in2, 1})), shape);
  return present(bias) ? product + *bias : product;
}

Tensor kron(const Tensor& input, const Tensor& other) {
  const int rank = std::max(input.dim(), other.dim());
  Shape a, b, out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - input.dim()), ib = i - (rank - other.dim());
    const int64_t size_a = ia < 0 ? 1 : input.shape()[ia], size_b = ib < 0 ? 1 : other.shape()[ib];
    a.push_back(size_a);
    a.push_back(1);
    b.push_back(1);
    b.push_back(size_b);
    out.push_back(size_a * size_b);
  }
  return reshaped(reshaped(input, a) * reshaped(other, b), out);
}

Tensor cross(const Tensor& input, const Tensor& other, int64_t dim) {
  const std::pair<Tensor, Tensor> p = promoted(input, other);
  const Shape shape = broadcast_shapes(input.shape(), other.shape(), "cross");
  const int d = normalize_dim(dim, shape.rank(), "cross");
  DS_CHECK(input.dim() == other.dim() && input.dim() > 0 && input.shape()[d] == 3 &&
               other.shape()[d] == 3,
           ShapeError, "cross: dimension ", dim, " of ", input.type(), " and ", other.type(),
           " must have size 3, and both the same number of dimensions");
  const auto turned = [&](const Tensor& x, int by) {
    const Tensor full = expanded(x, shape);
    return joined({sliced(full, d, by, 3 - by), sliced(full, d, 0, by)}, d);
  };
  return turned(p.first, 1) * turned(p.second, 2) - turned(p.first, 2) * turned(p.second, 1);
}

Tensor multi_dot(const std::vector<Tensor>& tensors) {
  DS_CHECK(tensors.size() >= 2, ValueError, "multi_dot: needs at least 2 tensors, got ",
           tensors.size());
  const size_t n = tensors.size();
  std::vector<int64_t> sizes;  // matrix i is sizes[i] x sizes[i + 1]
  for (size_t i = 0; i < n; ++i) {
    const Tensor& x = tensors[i];
    const bool end = i == 0 || i + 1 == n;
    DS_CHECK(x.dim() == 2 || (end && x.dim() == 1), ShapeError, "multi_dot: tensor ", i, " is ",
             x.type(), "; it must be a matrix (the first and last may be vectors)");
    const int64_t rows = x.dim() == 1 && i == 0 ? 1 : x.shape()[0];
    if (i == 0) sizes.push_back(rows);
    check_inner(tensors[i == 0 ? 0 : i - 1], sizes.back(), x, rows, "multi_dot");
    sizes.push_back(x.dim() == 1 ? (i == 0 ? x.shape()[0] : 1) : x.shape()[1]);
  }
  // Cormen et al., Introduction to Algorithms, matrix-chain multiplication.
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  std::vector<std::vector<size_t>> cut(n, std::vector<size_t>(n, 0));
  for (size_t length = 2; length <= n; ++length) {
    for (size_t i = 0; i + length <= n; ++i) {
      const size_t j = i + length - 1;
      cost[i][j] = std::numeric_limits<double>::infinity();
      for (size_t k = i; k < j; ++k) {
        const double c = cost[i][k] + cost[k + 1][j] +
                         static_cast<double>(sizes[i]) * static_cast<double>(sizes[k + 1]) *
                             static_cast<double>(sizes[j + 1]);
        if (c < cost[i][j]) {
          cost[i][j] = c;
          cut[i][j] = k;
        }
      }
    }
  }
  const std::function<Tensor(size_t, size_t)> product = [&](size_t i, size_t j) {
    if (i == j) return tensors[i];
    return matmul(product(i, cut[i][j]), product(cut[i][j] + 1, j));
  };
  return product(0, n - 1);
}

Tensor trace(const Tensor& input) {
  check_rank(input, 2, "trace", "input");
  return sum(diagonal(input));
}

Tensor cov(const Tensor& input, int64_t correction, const std::optional<Tensor>& fweights,
           const std::optional<Tensor>& aweights) {
  DS_CHECK(input.dim() <= 2, ShapeError, "cov: input ", input.type(), " must be at most 2-d");
  const Tensor x = to_floating(input.dim() == 2 ? input : reshaped(input, {1, input.numel()}));
  const int64_t count = x.shape()[1];
  Tensor weight;
  for (const auto& [given, name] : {std::pair{&fweights, "fweights"}, {&aweights, "aweights"}}) {
    if (!present(*given)) continue;
    const Tensor& w = **given;
    DS_CHECK(w.dim() <= 1 && w.numel() == count, ShapeError, "cov: ", name, " ", w.type(), " for ",
             count, " observations");
    DS_CHECK(is_floating(w.dtype()) == (given == &aweights) && w.dtype() != DType::bool_,
             DTypeError, "cov: ", name, " is ", w.type(),
             "; fweights must be integers and aweights floating");
    DS_CHECK(count == 0 || amin(w).item() >= 0, ValueError, "cov: ", name, " has negative numbers");
    const Tensor flat = reshaped(given == &aweights ? w : to_dtype(w, x.dtype()), {count});
    weight = weight.defined() ? weight * flat : flat;
  }
  if (!weight.defined()) {
    const Tensor centred = x - mean(x, 1, true);
    const double divisor = static_cast<double>(std::max<int64_t>(count - correction, 0));
    const Tensor out = matmul(centred, permuted(centred, Shape{1, 0})) / divisor;
    return x.shape()[0] == 1 ? reshaped(out, {}) : out;
  }
  const Tensor total = sum(weight);
  const Tensor centred = x - sum(x * weight, 1, true) / total;
  Tensor lost = constant({}, static_cast<double>(correction), x.dtype(), x.device());
  if (present(aweights)) {
    lost = sum(weight * reshaped(*aweights, {count})) * static_cast<double>(correction) / total;
  }
  const Tensor divisor = clamp_min(total - lost, 0.0);
  const Tensor out = matmul(centred * weight, permuted(centred, Shape{1, 0})) / divisor;
  return x.shape()[0] == 1 ? reshaped(out, {}) : out;
}

Tensor corrcoef(const Tensor& input) {
  const Tensor c = cov(input);
  if (c.dim() == 0) return c / c;
  const Tensor deviation = sqrt(diagonal(c));
  return clamp(c / unsqueeze(deviation, 1) / deviation, -1.0, 1.0);
}

}  // namespace ds
