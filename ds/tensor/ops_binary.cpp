// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_elementwise.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

struct Pair {
  Tensor lhs;
  Tensor rhs;
};

/// Both operands as tensors of one dtype; `floating` takes integers to the default dtype.
Pair operands(const Operand& lhs, const Operand& rhs, bool floating = false) {
  const bool tensors = !lhs.is_number() && !rhs.is_number();
  if (tensors && lhs.tensor().dtype() == rhs.tensor().dtype() &&
      (!floating || is_floating(lhs.tensor().dtype())))
    return {lhs.tensor(), rhs.tensor()};
  DType dtype = result_dtype({lhs, rhs});
  if (floating && !is_floating(dtype)) dtype = default_dtype();
  const Device device = operand_device({lhs, rhs});
  return {as_tensor(lhs, dtype, device), as_tensor(rhs, dtype, device)};
}

Tensor binary(Op op, const Operand& lhs, const Operand& rhs) {
  const Pair p = operands(lhs, rhs);
  return record(op, {p.lhs, p.rhs});
}

Tensor binary_floating(Op op, const Operand& lhs, const Operand& rhs) {
  const Pair p = operands(lhs, rhs, true);
  return record(op, {p.lhs, p.rhs});
}

bool is_one(const Operand& x) { return x.is_number() && x.as_double() == 1; }

Operand scaled(const Operand& x, const Operand& alpha) {
  return is_one(alpha) ? x : Operand(mul(x, alpha));
}

void check_no_bool(const Operand& lhs, const Operand& rhs, const char* op) {
  DS_CHECK(result_dtype({lhs, rhs}) != DType::bool_, DTypeError, op,
           ": both operands are bool; use logical_xor or convert one with to()");
}

/// pow with an exponent that has a cheaper form; nothing when it has none.
std::optional<Tensor> power_of(const Tensor& x, double exponent) {
  if (!is_floating(x.dtype())) return std::nullopt;
  if (exponent == 1) return clone(x);
  if (exponent == 2) return square(autocast_f32(x));
  if (exponent == 0.5) return sqrt(autocast_f32(x));
  if (exponent == -1) return reciprocal(autocast_f32(x));
  return std::nullopt;
}

/// log(exp(a) + exp(b)) in units where exp has the natural logarithm `unit`.
Tensor log_add(const Operand& input, const Operand& other, double unit) {
  const Pair p = operands(input, other, true);
  const Tensor gap = where(eq(p.lhs, p.rhs), 0, p.lhs - p.rhs);
  return maximum(p.lhs, p.rhs) + log1p(exp(abs(gap) * -unit)) / unit;
}

/// x * log(y) where log's argument is not needed when x is 0.
Tensor x_log(const Operand& input, const Operand& other, double shift) {
  const Pair p = operands(input, other, true);
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor unusable = logical_or(le(p.rhs, -shift), eq(p.rhs, infinity));
  const Tensor safe = where(logical_and(eq(p.lhs, 0), unusable), 1, p.rhs);
  return p.lhs * (shift == 0 ? log(safe) : log1p(safe));
}

}  // namespace

Tensor add(const Operand& input, const Operand& other, const Operand& alpha) {
  return binary(Op::add_, input, scaled(other, alpha));
}
Tensor sub(const Operand& input, const Operand& other, const Operand& alpha) {
  check_no_bool(input, other, "sub");
  return binary(Op::sub_, input, scaled(other, alpha));
}
Tensor rsub(const Operand& input, const Operand& other, const Operand& alpha) {
  return sub(other, input, alpha);
}
Tensor mul(const Operand& input, const Operand& other) { return binary(Op::mul_, input, other); }
Tensor true_divide(const Operand& input, const Operand& other) {
  return binary_floating(Op::div_, input, other);
}
Tensor floor_divide(const Operand& input, const Operand& other) {
  check_no_bool(input, other, "floor_divide");
  return binary(Op::floor_divide_, input, other);
}
Tensor trunc_divide(const Operand& input, const Operand& other) {
  check_no_bool(input, other, "trunc_divide");
  return binary(Op::trunc_divide_, input, other);
}
Tensor div(const Operand& input, const Operand& other,
           const std::optional<std::string>& rounding_mode) {
  if (!rounding_mode) return true_divide(input, other);
  DS_CHECK(*rounding_mode == "trunc" || *rounding_mode == "floor", ValueError,
           "div: rounding_mode '", *rounding_mode, "' is unknown; use 'trunc', 'floor' or none");
  return *rounding_mode == "trunc" ? trunc_divide(input, other) : floor_divide(input, other);
}
Tensor remainder(const Operand& input, const Operand& other) {
  check_no_bool(input, other, "remainder");
  return binary(Op::remainder_, input, other);
}
Tensor fmod(const Operand& input, const Operand& other) {
  check_no_bool(input, other, "fmod");
  return binary(Op::fmod_, input, other);
}

Tensor pow(const Operand& input, const Operand& other) {
  if (!input.is_number() && other.is_number()) {
    const bool integers = !other.is_float() && !is_floating(input.tensor().dtype());
    DS_CHECK(!integers || other.as_double() >= 0, ValueError, "pow: integers (",
             input.tensor().type(), ") have no power ", other.as_double(),
             "; convert the input to a floating dtype");
    if (std::optional<Tensor> cheap = power_of(input.tensor(), other.as_double())) return *cheap;
  }
  return binary(Op::pow_, input, other);
}

Tensor float_power(const Operand& input, const Operand& other) {
  const Device device = operand_device({input, other});
  return record(Op::pow_,
                {as_tensor(input, DType::f64, device), as_tensor(other, DType::f64, device)});
}

Tensor atan2(const Operand& input, const Operand& other) {
  return binary_floating(Op::atan2_, input, other);
}
Tensor copysign(const Operand& input, const Operand& other) {
  return binary_floating(Op::copysign_, input, other);
}
Tensor nextafter(const Tensor& input, const Tensor& other) {
  return binary_floating(Op::nextafter_, input, other);
}
Tensor ldexp(const Tensor& input, const Tensor& other) {
  return to_floating(input) * exp2(to_floating(other));
}
Tensor hypot(const Operand& input, const Operand& other) {
  const Pair p = operands(input, other, true);
  return sqrt_at_zero(square(p.lhs) + square(p.rhs));
}
Tensor maximum(const Operand& input, const Operand& other) {
  return binary(Op::maximum_, input, other);
}
Tensor minimum(const Operand& input, const Operand& other) {
  return binary(Op::minimum_, input, other);
}
Tensor fmax(const Operand& input, const Operand& other) {
  const Pair p = operands(input, other);
  return where(logical_or(isnan(p.rhs), ge(p.lhs, p.rhs)), p.lhs, p.rhs);
}
Tensor fmin(const Operand& input, const Operand& other) {
  const Pair p = operands(input, other);
  return where(logical_or(isnan(p.rhs), le(p.lhs, p.rhs)), p.lhs, p.rhs);
}
Tensor logaddexp(const Operand& input, const Operand& other) { return log_add(input, other, 1); }
Tensor logaddexp2(const Operand& input, const Operand& other) {
  return log_add(input, other, std::log(2.0));
}
Tensor xlogy(const Operand& input, const Operand& other) { return x_log(input, other, 0); }
Tensor xlog1py(const Operand& input, const Operand& other) { return x_log(input, other, 1); }

Tensor heaviside(const Operand& input, const Operand& values) {
  const Pair p = operands(input, values);
  return where(eq(p.lhs, 0), p.rhs, to_dtype(gt(p.lhs, 0), p.lhs.dtype()));
}

Tensor clamp(const Tensor& input, const std::optional<Operand>& min,
             const std::optional<Operand>& max) {
  DS_CHECK(min || max, ValueError, "clamp: give min, max or both");
  std::vector<Operand> all = {input};
  if (min) all.push_back(*min);
  if (max) all.push_back(*max);
  const DType dtype = result_dtype(all);
  const Tensor x = to_dtype(input, dtype);
  const auto limit = [&](const std::optional<Operand>& given, double none) {
    return given ? as_tensor(*given, dtype, x.device()) : constant({}, none, dtype, x.device());
  };
  // Integers have no infinity to stand for a limit that is not there.
  if (!is_floating(dtype) && !(min && max))
    return record(min ? Op::maximum_ : Op::minimum_, {x, limit(min ? min : max, 0)});
  const double infinity = std::numeric_limits<double>::infinity();
  return record(Op::clamp_, {x, limit(min, -infinity), limit(max, infinity)});
}
Tensor clamp_min(const Tensor& input, const Operand& min) { return clamp(input, min); }
Tensor clamp_max(const Tensor& input, const Operand& max) {
  return clamp(input, std::nullopt, max);
}

Tensor lerp(const Tensor& input, const Tensor& end, const Operand& weight) {
  DS_CHECK(input.dtype() == end.dtype(), DTypeError, "lerp: input is ", input.type(), ", end is ",
           end.type(), "; convert one with to()");
  return input + mul(weight, end - input);
}

Tensor addcmul(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2,
               const Operand& value) {
  return add(input, tensor1 * tensor2, value);
}
Tensor addcdiv(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2,
               const Operand& value) {
  return add(input, tensor1 / tensor2, value);
}

Tensor where(const Tensor& condition, const Operand& input, const Operand& other) {
  const Pair p = operands(input, other);
  const Tensor choice =
      condition.dtype() == DType::bool_ ? condition : to_dtype(condition, DType::bool_);
  return record(Op::where_, {choice, p.lhs, p.rhs});
}

Tensor eq(const Operand& input, const Operand& other) { return binary(Op::eq_, input, other); }
Tensor ne(const Operand& input, const Operand& other) { return binary(Op::ne_, input, other); }
Tensor lt(const Operand& input, const Operand& other) { return binary(Op::lt_, input, other); }
Tensor le(const Operand& input, const Operand& other) { return binary(Op::le_, input, other); }
Tensor gt(const Operand& input, const Operand& other) { return binary(Op::gt_, input, other); }
Tensor ge(const Operand& input, const Operand& other) { return binary(Op::ge_, input, other); }
Tensor logical_and(const Operand& input, const Operand& other) {
  return binary(Op::logical_and_, input, other);
}
Tensor logical_or(const Operand& input, const Operand& other) {
  return binary(Op::logical_or_, input, other);
}
Tensor logical_xor(const Operand& input, const Operand& other) {
  return binary(Op::logical_xor_, input, other);
}
Tensor bitwise_and(const Operand& input, const Operand& other) {
  return binary(Op::bitwise_and_, input, other);
}
Tensor bitwise_or(const Operand& input, const Operand& other) {
  return binary(Op::bitwise_or_, input, other);
}
Tensor bitwise_xor(const Operand& input, const Operand& other) {
  return binary(Op::bitwise_xor_, input, other);
}
Tensor bitwise_left_shift(const Operand& input, const Operand& other) {
  return binary(Op::left_shift_, input, other);
}
Tensor bitwise_right_shift(const Operand& input, const Operand& other) {
  return binary(Op::right_shift_, input, other);
}

Tensor isclose(const Tensor& input, const Tensor& other, double rtol, double atol, bool equal_nan) {
  DS_CHECK(input.dtype() == other.dtype(), DTypeError, "isclose: input is ", input.type(),
           ", other is ", other.type(), "; convert one with to()");
  DS_CHECK(rtol >= 0 && atol >= 0, ValueError, "isclose: rtol ", rtol, " or atol ", atol,
           " is negative");
  Tensor close = eq(input, other);
  if (input.dtype() == DType::bool_) return close;
  const bool floating = is_floating(input.dtype());
  if (equal_nan && floating) close = logical_or(close, logical_and(isnan(input), isnan(other)));
  if (rtol == 0 && atol == 0) return close;
  const Tensor a = floating ? input : to_dtype(input, DType::f64);
  const Tensor b = floating ? other : to_dtype(other, DType::f64);
  const Tensor gap = abs(a - b);
  return logical_or(close, logical_and(isfinite(gap), le(gap, abs(b) * rtol + atol)));
}

Tensor isin(const Tensor& elements, const Tensor& test_elements, bool invert) {
  const Tensor found =
      any(eq(unsqueeze(elements, -1), reshape(test_elements, {test_elements.numel()})), -1);
  return invert ? logical_not(found) : found;
}

bool allclose(const Tensor& input, const Tensor& other, double rtol, double atol, bool equal_nan) {
  return all(isclose(input, other, rtol, atol, equal_nan)).item_int() != 0;
}

bool equal(const Tensor& input, const Tensor& other) {
  return input.shape() == other.shape() && all(eq(input, other)).item_int() != 0;
}

}  // namespace ds
