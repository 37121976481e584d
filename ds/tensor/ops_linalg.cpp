// SPDX-License-Identifier: Apache-2.0
// Decompositions, solvers and matrix functions of ops_linalg.h.
#include "ds/tensor/ops_linalg.h"

#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

Shape batch_of(const Tensor& x) { return Shape(x.shape().begin(), x.shape().end() - 2); }

Tensor with_batch(const Tensor& x, const Shape& batch) {
  Shape shape = batch;
  shape.push_back(x.size(-2));
  shape.push_back(x.size(-1));
  return expanded(x, shape);
}

void check_matrices(const Tensor& x, const char* op) {
  DS_CHECK(x.dim() >= 2, ShapeError, op, ": ", x.type(), " must have at least 2 dimensions");
}

void check_square(const Tensor& x, const char* op) {
  check_matrices(x, op);
  DS_CHECK(x.size(-1) == x.size(-2), ShapeError, op, ": ", x.type(), " must be square");
}

Tensor swapped(const Tensor& x) {
  Shape dims = all_dims(x.dim());
  std::swap(dims[x.dim() - 1], dims[x.dim() - 2]);
  return permuted(x, dims);
}

/// Rounding unit of the dtype.
double eps(DType dtype) {
  return dtype == DType::f64 ? std::numeric_limits<double>::epsilon()
                             : std::numeric_limits<float>::epsilon();
}

/// A and B with one batch shape; `b` may be vectors, which become columns.
struct System {
  Tensor a, b;
  bool vector;
};

System system_of(const Tensor& a, const Tensor& b, bool left, const char* op) {
  check_square(a, op);
  System s{a, b, false};
  s.vector = left && (b.dim() == 1 || (b.dim() == a.dim() - 1 &&
                                       b.shape() == Shape(a.shape().begin(), a.shape().end() - 1)));
  if (s.vector) s.b = unsqueeze(b, -1);
  check_matrices(s.b, op);
  DS_CHECK(s.b.size(left ? -2 : -1) == a.size(-1), ShapeError, op, ": ", a.type(), " and ",
           b.type(), " do not fit");
  const Shape batch = broadcast_shapes(batch_of(a), batch_of(s.b), op);
  s.a = with_batch(s.a, batch);
  s.b = with_batch(s.b, batch);
  return s;
}

Tensor answer(const System& s, const Tensor& x) { return s.vector ? squeeze(x, -1) : x; }

Tensor triangular(const Tensor& a, const Tensor& b, bool upper, bool transpose, bool unit = false) {
  return record(Op::triangular_solve_, {a, b}, {upper, transpose, unit});
}

/// Two different dimensions moved to the end.
Tensor matrices_last(const Tensor& x, const Shape& dim, const char* op) {
  DS_CHECK(dim.rank() == 2, ValueError, op, ": dim ", dim, " must name 2 dimensions");
  return movedim(x, dim, Shape{-2, -1});
}

/// What a function of the last two dimensions left, with sizes 1 at `dim` for keepdim.
Tensor kept(const Tensor& x, int rank, const Shape& dim, bool keepdim) {
  if (!keepdim) return x;
  return movedim(unsqueeze(unsqueeze(x, -1), -1), Shape{rank - 2, rank - 1}, dim);
}

}  // namespace

Tensor cholesky(const Tensor& input, bool upper) {
  check_square(input, "cholesky");
  return record(Op::cholesky_, {input}, {upper});
}

Tensor cholesky_solve(const Tensor& input, const Tensor& factor, bool upper) {
  const System s = system_of(factor, input, true, "cholesky_solve");
  return triangular(s.a, triangular(s.a, s.b, upper, upper), upper, !upper);
}

Tensor cholesky_inverse(const Tensor& input, bool upper) {
  check_square(input, "cholesky_inverse");
  const Tensor one = eye(input.size(-1), input.size(-1), input.dtype(), input.device());
  const Tensor half = upper ? triu(input) : tril(input);
  return cholesky_solve(with_batch(one, batch_of(input)), half, upper);
}

Tensor tensorsolve(const Tensor& input, const Tensor& other, const std::optional<Shape>& dims) {
  Tensor a = input;
  if (dims && !dims->empty()) {
    Shape last;
    for (int i = 0; i < dims->rank(); ++i) last.push_back(input.dim() - dims->rank() + i);
    a = movedim(input, *dims, last);
  }
  DS_CHECK(a.dim() >= other.dim(), ShapeError, "tensorsolve: ", input.type(), " and ", other.type(),
           " do not fit");
  const Shape rest(a.shape().begin() + other.dim(), a.shape().end());
  DS_CHECK(rest.numel() == other.numel() && a.numel() == other.numel() * other.numel(), ShapeError,
           "tensorsolve: ", input.type(), " and ", other.type(), " make no square system");
  const int64_t n = other.numel();
  return reshaped(solve(reshaped(a, {n, n}), reshaped(other, {n})), rest);
}

Tensor tensorinv(const Tensor& input, int64_t ind) {
  DS_CHECK(ind > 0, ValueError, "tensorinv: ind ", ind, " must be positive");
  const auto first = static_cast<int>(std::min<int64_t>(ind, input.dim()));
  const Shape rows(input.shape().begin(), input.shape().begin() + first);
  const Shape columns(input.shape().begin() + first, input.shape().end());
  DS_CHECK(rows.numel() == columns.numel(), ShapeError, "tensorinv: the first ", ind,
           " dimensions of ", input.type(), " hold ", rows.numel(), " elements, the rest ",
           columns.numel());
  Shape out = columns;
  for (int64_t size : rows) out.push_back(size);
  return reshaped(inv(reshaped(input, {rows.numel(), columns.numel()})), out);
}

Tensor solve(const Tensor& input, const Tensor& other, bool left) {
  const System s = system_of(input, other, left, "solve");
  if (left) return answer(s, record(Op::solve_, {s.a, s.b}));
  return swapped(record(Op::solve_, {swapped(s.a), swapped(s.b)}));
}

Tensor solve_triangular(const Tensor& input, const Tensor& other, bool upper, bool left,
                        bool unitriangular) {
  check_matrices(other, "solve_triangular");
  const System s = system_of(input, other, left, "solve_triangular");
  if (left) return answer(s, triangular(s.a, s.b, upper, false, unitriangular));
  return swapped(triangular(s.a, swapped(s.b), upper, true, unitriangular));
}

Tensor inv(const Tensor& input) {
  check_square(input, "inv");
  return record(Op::inverse_, {input});
}

std::pair<Tensor, Tensor> slogdet(const Tensor& input) {
  check_square(input, "slogdet");
  const std::vector<Tensor> out = record_all(Op::slogdet_, {input});
  return {out[0], out[1]};
}

Tensor det(const Tensor& input) {
  const auto [sign, log_abs] = slogdet(input);
  return sign * exp(log_abs);
}

Tensor logdet(const Tensor& input) {
  const auto [sign, log_abs] = slogdet(input);
  return where(lt(sign, 0), std::numeric_limits<double>::quiet_NaN(), log_abs);
}

std::pair<Tensor, Tensor> qr(const Tensor& input) {
  check_matrices(input, "qr");
  const std::vector<Tensor> out = record_all(Op::qr_, {input});
  return {out[0], out[1]};
}

std::tuple<Tensor, Tensor, Tensor> svd(const Tensor& input) {
  check_matrices(input, "svd");
  const std::vector<Tensor> out = record_all(Op::svd_, {input});
  return {out[0], out[1], out[2]};
}

Tensor svdvals(const Tensor& input) { return std::get<1>(svd(input)); }

std::pair<Tensor, Tensor> eigh(const Tensor& input, const std::string& uplo) {
  DS_CHECK(uplo == "L" || uplo == "U", ValueError, "eigh: UPLO '", uplo, "' must be 'L' or 'U'");
  check_square(input, "eigh");
  const std::vector<Tensor> out = record_all(Op::eigh_, {uplo == "L" ? input : swapped(input)});
  return {out[0], out[1]};
}

Tensor eigvalsh(const Tensor& input, const std::string& uplo) { return eigh(input, uplo).first; }

Tensor pinv(const Tensor& input, std::optional<double> rtol) {
  const auto [u, s, vh] = svd(input);
  const double longest = static_cast<double>(std::max(input.size(-1), input.size(-2)));
  const double relative = rtol.value_or(longest * eps(input.dtype()));
  if (input.numel() == 0)
    return expanded(constant({}, 0, input.dtype(), input.device()), swapped(input).shape());
  const Tensor kept_values = gt(s, amax(s, -1, true) * relative);
  const Tensor inverse = where(kept_values, reciprocal(where(kept_values, s, 1)), 0);
  return matmul(swapped(vh) * unsqueeze(inverse, -2), swapped(u));
}

Tensor lstsq(const Tensor& input, const Tensor& other) {
  check_matrices(input, "lstsq");
  const bool vector = other.dim() == input.dim() - 1;
  const Tensor b = vector ? unsqueeze(other, -1) : other;
  check_matrices(b, "lstsq");
  DS_CHECK(b.size(-2) == input.size(-2), ShapeError, "lstsq: ", input.type(), " and ", other.type(),
           " do not fit");
  const Shape batch = broadcast_shapes(batch_of(input), batch_of(b), "lstsq");
  const Tensor a = with_batch(input, batch), rhs = with_batch(b, batch);
  Tensor x;
  if (input.size(-2) >= input.size(-1)) {
    const auto [q, r] = qr(a);
    x = triangular(r, matmul(swapped(q), rhs), true, false);
  } else {  // the solution of least norm
    const auto [q, r] = qr(swapped(a));
    x = matmul(q, triangular(r, rhs, true, true));
  }
  return vector ? squeeze(x, -1) : x;
}

Tensor matrix_norm(const Tensor& input, const std::string& ord, const Shape& dim, bool keepdim) {
  DS_CHECK(ord == "fro" || ord == "nuc", ValueError, "matrix_norm: ord '", ord,
           "' is unknown; use 'fro', 'nuc', 1, -1, 2, -2, inf or -inf");
  if (ord == "fro") return vector_norm(input, 2, dim, keepdim);
  const Tensor x = matrices_last(input, dim, "matrix_norm");
  return kept(sum(svdvals(x), -1), input.dim(), dim, keepdim);
}

Tensor matrix_norm(const Tensor& input, double ord, const Shape& dim, bool keepdim) {
  const double size = std::fabs(ord);
  DS_CHECK(size == 1 || size == 2 || std::isinf(size), ValueError, "matrix_norm: ord ", ord,
           " is unknown; use 'fro', 'nuc', 1, -1, 2, -2, inf or -inf");
  const Tensor x = matrices_last(input, dim, "matrix_norm");
  const Tensor sizes = size == 2 ? svdvals(x) : sum(abs(x), size == 1 ? -2 : -1);
  return kept(ord > 0 ? amax(sizes, -1) : amin(sizes, -1), input.dim(), dim, keepdim);
}

Tensor matrix_rank(const Tensor& input, std::optional<double> tol) {
  const Tensor s = svdvals(input);
  if (input.size(-1) == 0 || input.size(-2) == 0)
    return constant(batch_of(input), 0, DType::i64, input.device());
  const double longest = static_cast<double>(std::max(input.size(-1), input.size(-2)));
  if (tol) return sum(gt(s, *tol), -1);
  return sum(gt(s, amax(s, -1, true) * (longest * eps(input.dtype()))), -1);
}

Tensor cond(const Tensor& input) {
  const Tensor s = svdvals(input);
  return amax(s, -1) / amin(s, -1);
}

Tensor matrix_power(const Tensor& input, int64_t n) {
  check_square(input, "matrix_power");
  if (n < 0) return matrix_power(inv(input), -n);
  if (n == 0) {
    Shape shape = input.shape();
    return expanded(eye(input.size(-1), input.size(-1), input.dtype(), input.device()), shape);
  }
  Tensor result, square = input;
  for (; n > 0; n /= 2) {
    if (n % 2) result = result.defined() ? matmul(result, square) : square;
    if (n > 1) square = matmul(square, square);
  }
  return result;
}

// N. J. Higham, "The scaling and squaring method for the matrix exponential revisited", SIAM J.
// Matrix Anal. Appl. 26 (2005): the degree 13 Pade approximant after scaling by a power of 2.
Tensor matrix_exp(const Tensor& input) {
  check_square(input, "matrix_exp");
  if (input.numel() == 0) return reshaped(input, input.shape());
  constexpr double kTheta = 5.371920351148152;
  constexpr double b[] = {64764752532480000.,
                          32382376266240000.,
                          7771770303897600.,
                          1187353796428800.,
                          129060195264000.,
                          10559470521600.,
                          670442572800.,
                          33522128640.,
                          1323241920.,
                          40840800.,
                          960960.,
                          16380.,
                          182.,
                          1.};
  const double norm = amax(sum(abs(input.detach()), -2)).item();
  const int squarings = norm > kTheta && std::isfinite(norm)
                            ? static_cast<int>(std::ceil(std::log2(norm / kTheta)))
                            : 0;
  const Tensor a = input * std::ldexp(1.0, -squarings);
  const Tensor one = eye(input.size(-1), input.size(-1), input.dtype(), input.device());
  const Tensor a2 = matmul(a, a), a4 = matmul(a2, a2), a6 = matmul(a4, a2);
  // Divided by b[0], which does not change the ratio of the two polynomials.
  const auto c = [&](int i) { return b[i] / b[0]; };
  const Tensor odd = matmul(a6, a6 * c(13) + a4 * c(11) + a2 * c(9)) + a6 * c(7) + a4 * c(5) +
                     a2 * c(3) + one * c(1);
  const Tensor even = matmul(a6, a6 * c(12) + a4 * c(10) + a2 * c(8)) + a6 * c(6) + a4 * c(4) +
                      a2 * c(2) + one * c(0);
  const Tensor u = matmul(a, odd);
  Tensor result = record(Op::solve_, {even - u, even + u});
  for (int i = 0; i < squarings; ++i) result = matmul(result, result);
  return result;
}

}  // namespace ds
