// SPDX-License-Identifier: Apache-2.0
// Sums, means, extremes and scans of ops_reduce.h.
#include "ds/tensor/ops_reduce.h"

#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

Tensor reduced(Op op, const Tensor& x, const Dims& dim, bool keepdim) {
  return record(op, {x}, {dim.over(x.dim(), op_name(op).data()), keepdim});
}

/// The dtype that sums and products of integers are computed in.
Tensor accumulable(const Tensor& x, std::optional<DType> dtype) {
  if (dtype) return to_dtype(x, *dtype);
  return is_floating(x.dtype()) ? x : to_dtype(x, DType::i64);
}

int64_t count_over(const Tensor& x, const Shape& dims) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= x.shape()[static_cast<int>(dim)];
  return count;
}

void check_floating(const Tensor& x, const char* op) {
  DS_CHECK(is_floating(x.dtype()), DTypeError, op, ": the input is ", x.type(),
           "; it must be floating, convert it with to()");
}

Tensor arg_extreme(Op op, const Tensor& input, std::optional<int64_t> dim, bool keepdim) {
  const char* name = op_name(op).data();
  DS_CHECK(input.numel() > 0 || dim, ValueError, name, ": the input ", input.type(), " is empty");
  if (dim && input.dim() > 0)
    return record(op, {input}, {normalize_dim(*dim, input.dim(), name), keepdim});
  if (dim) normalize_dim(*dim, 0, name);
  const Tensor flat = record(op, {reshaped(input, {input.numel()})}, {0, false});
  return keepdim ? reshaped(flat, Shape::filled(input.dim(), 1)) : flat;
}

std::pair<Tensor, Tensor> extreme(Op op, const Tensor& input, int64_t dim, bool keepdim) {
  const Tensor x = at_least_1d(input);
  const int d = normalize_dim(dim, x.dim(), op_name(op).data());
  const Tensor index = record(op, {x}, {d, true});
  const Tensor values = record(Op::gather_, {x, index}, {d});
  Shape shape = index.shape();
  if (!keepdim || input.dim() == 0) shape.erase(d);
  return {reshaped(values, shape), reshaped(index, shape)};
}

std::pair<Tensor, Tensor> running_extreme(Op op, const Tensor& input, int64_t dim) {
  const int d = normalize_dim(dim, input.dim(), op_name(op).data());
  const std::vector<Tensor> out = record_all(op, {at_least_1d(input)}, {d});
  return {reshaped(out[0], input.shape()), reshaped(out[1], input.shape())};
}

Tensor scan(Op op, const Tensor& x, int64_t dim) {
  const int d = normalize_dim(dim, x.dim(), op_name(op).data());
  return reshaped(record(op, {at_least_1d(x)}, {d}), x.shape());
}

}  // namespace

Tensor sum(const Tensor& input, const Dims& dim, bool keepdim, std::optional<DType> dtype) {
  return reduced(Op::sum_, accumulable(input, dtype), dim, keepdim);
}

Tensor mean(const Tensor& input, const Dims& dim, bool keepdim, std::optional<DType> dtype) {
  const Tensor x = dtype ? to_dtype(input, *dtype) : input;
  check_floating(x, "mean");
  return reduced(Op::mean_, x, dim, keepdim);
}

Tensor prod(const Tensor& input, const Dims& dim, bool keepdim, std::optional<DType> dtype) {
  return reduced(Op::prod_, accumulable(input, dtype), dim, keepdim);
}

Tensor nansum(const Tensor& input, const Dims& dim, bool keepdim, std::optional<DType> dtype) {
  const Tensor x = is_floating(input.dtype()) ? where(isnan(input), 0, input) : input;
  return sum(x, dim, keepdim, dtype);
}

Tensor nanmean(const Tensor& input, const Dims& dim, bool keepdim, std::optional<DType> dtype) {
  check_floating(input, "nanmean");
  const Tensor total = nansum(input, dim, keepdim, dtype);
  const Tensor count = sum(logical_not(isnan(input)), dim, keepdim);
  return total / to_dtype(count, total.dtype());
}

Tensor count_nonzero(const Tensor& input, const Dims& dim) {
  return sum(input.dtype() == DType::bool_ ? input : ne(input, 0), dim);
}

std::pair<Tensor, Tensor> var_mean(const Tensor& input, const Dims& dim, double correction,
                                   bool keepdim) {
  check_floating(input, "var");
  const Tensor x = widened(input);
  const Shape dims = dim.over(x.dim(), "var");
  const Tensor center = record(Op::mean_, {x}, {dims, true});
  const double divisor = static_cast<double>(count_over(x, dims)) - correction;
  const Tensor squares = record(Op::sum_, {square(x - center)}, {dims, keepdim});
  const Tensor variance = squares / std::max(divisor, 0.0);
  return {to_dtype(variance, input.dtype()),
          to_dtype(reshaped(center, variance.shape()), input.dtype())};
}

Tensor var(const Tensor& input, const Dims& dim, double correction, bool keepdim) {
  return var_mean(input, dim, correction, keepdim).first;
}

std::pair<Tensor, Tensor> std_mean(const Tensor& input, const Dims& dim, double correction,
                                   bool keepdim) {
  const std::pair<Tensor, Tensor> moments = var_mean(input, dim, correction, keepdim);
  return {sqrt_at_zero(moments.first), moments.second};
}

Tensor std(const Tensor& input, const Dims& dim, double correction, bool keepdim) {
  return std_mean(input, dim, correction, keepdim).first;
}

Tensor logsumexp(const Tensor& input, const Dims& dim, bool keepdim) {
  const Tensor x = to_floating(input);
  const Shape dims = dim.over(x.dim(), "logsumexp");
  if (count_over(x, dims) == 0) return log(record(Op::sum_, {exp(x)}, {dims, keepdim}));
  const Tensor top = record(Op::amax_, {x.detach()}, {dims, true});
  const Tensor shift = where(isinf(top), 0, top);
  const Tensor total = record(Op::sum_, {exp(x - shift)}, {dims, keepdim});
  return log(total) + reshaped(shift, total.shape());
}

Tensor amax(const Tensor& input, const Dims& dim, bool keepdim) {
  return reduced(Op::amax_, input, dim, keepdim);
}
Tensor amin(const Tensor& input, const Dims& dim, bool keepdim) {
  return reduced(Op::amin_, input, dim, keepdim);
}
std::pair<Tensor, Tensor> aminmax(const Tensor& input, const Dims& dim, bool keepdim) {
  return {amin(input, dim, keepdim), amax(input, dim, keepdim)};
}
Tensor max(const Tensor& input) { return amax(input); }
Tensor min(const Tensor& input) { return amin(input); }
std::pair<Tensor, Tensor> max(const Tensor& input, int64_t dim, bool keepdim) {
  return extreme(Op::argmax_, input, dim, keepdim);
}
std::pair<Tensor, Tensor> min(const Tensor& input, int64_t dim, bool keepdim) {
  return extreme(Op::argmin_, input, dim, keepdim);
}
Tensor max(const Tensor& input, const Tensor& other) { return maximum(input, other); }
Tensor min(const Tensor& input, const Tensor& other) { return minimum(input, other); }
Tensor argmax(const Tensor& input, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme(Op::argmax_, input, dim, keepdim);
}
Tensor argmin(const Tensor& input, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme(Op::argmin_, input, dim, keepdim);
}
Tensor any(const Tensor& input, const Dims& dim, bool keepdim) {
  return reduced(Op::any_, input, dim, keepdim);
}
Tensor all(const Tensor& input, const Dims& dim, bool keepdim) {
  return reduced(Op::all_, input, dim, keepdim);
}

Tensor cumsum(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  return scan(Op::cumsum_, accumulable(input, dtype), dim);
}
Tensor cumprod(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  return scan(Op::cumprod_, accumulable(input, dtype), dim);
}
std::pair<Tensor, Tensor> cummax(const Tensor& input, int64_t dim) {
  return running_extreme(Op::cummax_, input, dim);
}
std::pair<Tensor, Tensor> cummin(const Tensor& input, int64_t dim) {
  return running_extreme(Op::cummin_, input, dim);
}
Tensor logcumsumexp(const Tensor& input, int64_t dim) {
  return scan(Op::logcumsumexp_, to_floating(input), dim);
}

Tensor diff(const Tensor& input, int64_t n, int64_t dim) {
  DS_CHECK(input.dim() > 0, ShapeError, "diff: the input is 0-d");
  DS_CHECK(n >= 0, ValueError, "diff: n=", n, " is negative");
  const int d = normalize_dim(dim, input.dim(), "diff");
  Tensor x = n == 0 ? clone(input) : input;
  for (int64_t i = 0; i < n && x.shape()[d] > 0; ++i) {
    const int64_t size = x.shape()[d] - 1;
    const Tensor next = sliced(x, d, 1, size), last = sliced(x, d, 0, size);
    x = x.dtype() == DType::bool_ ? logical_xor(next, last) : next - last;
  }
  return x;
}

namespace {
/// dx * (y[i] + y[i + 1]) / 2 along dim.
Tensor trapezoids(const Tensor& y, const Operand& dx, int dim) {
  const int64_t size = std::max<int64_t>(y.shape()[dim] - 1, 0);
  const Tensor x = to_floating(y);
  return (sliced(x, dim, y.shape()[dim] - size, size) + sliced(x, dim, 0, size)) * dx / 2;
}

int trapezoid_dim(const Tensor& y, int64_t dim, const char* op) {
  DS_CHECK(y.dim() > 0, ShapeError, op, ": the input is 0-d");
  return normalize_dim(dim, y.dim(), op);
}

/// Distances of the points, shaped to multiply slices along dim of y.
Tensor spacing(const Tensor& y, const Tensor& x, int dim) {
  if (x.dim() != 1 || y.dim() == 1) return diff(x, 1, x.dim() == y.dim() ? dim : -1);
  Shape shape = Shape::filled(y.dim(), 1);
  shape[dim] = std::max<int64_t>(x.numel() - 1, 0);
  return reshaped(diff(x), shape);
}
}  // namespace

Tensor trapezoid(const Tensor& y, double dx, int64_t dim) {
  const int d = trapezoid_dim(y, dim, "trapezoid");
  return sum(trapezoids(y, dx, d), d);
}

Tensor trapezoid(const Tensor& y, const Tensor& x, int64_t dim) {
  const int d = trapezoid_dim(y, dim, "trapezoid");
  return sum(trapezoids(y, spacing(y, x, d), d), d);
}

Tensor cumulative_trapezoid(const Tensor& y, const Tensor& x, int64_t dim) {
  const int d = trapezoid_dim(y, dim, "cumulative_trapezoid");
  return cumsum(trapezoids(y, spacing(y, x, d), d), d);
}

Tensor cumulative_trapezoid(const Tensor& y, double dx, int64_t dim) {
  const int d = trapezoid_dim(y, dim, "cumulative_trapezoid");
  return cumsum(trapezoids(y, dx, d), d);
}

}  // namespace ds
