// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_elementwise.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

constexpr double kPi = 3.14159265358979323846;

void check_not_bool(const Tensor& x, const char* op) {
  DS_CHECK(x.dtype() != DType::bool_, DTypeError, op, ": the input is ", x.type(), "; bool has no ",
           op, ", use logical_not or to()");
}

/// Rounding functions leave integers as they are.
Tensor rounded(Op op, const Tensor& x) {
  check_not_bool(x, op_name(op).data());
  return is_floating(x.dtype()) ? record(op, {x}) : clone(x);
}

/// A test whose answer is the same for all integers.
Tensor float_test(Op op, const Tensor& x, bool for_integers) {
  if (is_floating(x.dtype())) return record(op, {x});
  return constant(x.shape(), for_integers, DType::bool_, x.device());
}

double largest(DType dtype) {
  switch (dtype) {
    case DType::f64: return std::numeric_limits<double>::max();
    case DType::f16: return 65504.0;
    case DType::bf16: return 0x1.fep127;
    default: return std::numeric_limits<float>::max();
  }
}

}  // namespace

#define DS_UNARY_FLOAT(name) \
  Tensor name(const Tensor& input) { return record(Op::name##_, {to_floating(input)}); }
DS_UNARY_FLOAT(exp)
DS_UNARY_FLOAT(exp2)
DS_UNARY_FLOAT(expm1)
DS_UNARY_FLOAT(log)
DS_UNARY_FLOAT(log2)
DS_UNARY_FLOAT(log10)
DS_UNARY_FLOAT(log1p)
DS_UNARY_FLOAT(sqrt)
DS_UNARY_FLOAT(rsqrt)
DS_UNARY_FLOAT(reciprocal)
DS_UNARY_FLOAT(sin)
DS_UNARY_FLOAT(cos)
DS_UNARY_FLOAT(tan)
DS_UNARY_FLOAT(asin)
DS_UNARY_FLOAT(acos)
DS_UNARY_FLOAT(atan)
DS_UNARY_FLOAT(sinh)
DS_UNARY_FLOAT(cosh)
DS_UNARY_FLOAT(tanh)
DS_UNARY_FLOAT(asinh)
DS_UNARY_FLOAT(acosh)
DS_UNARY_FLOAT(atanh)
DS_UNARY_FLOAT(erf)
DS_UNARY_FLOAT(erfc)
DS_UNARY_FLOAT(erfinv)
DS_UNARY_FLOAT(lgamma)
DS_UNARY_FLOAT(digamma)
DS_UNARY_FLOAT(sigmoid)
#undef DS_UNARY_FLOAT

Tensor abs(const Tensor& input) {
  check_not_bool(input, "abs");
  return record(Op::abs_, {input});
}
Tensor neg(const Tensor& input) {
  check_not_bool(input, "neg");
  return record(Op::neg_, {input});
}
Tensor positive(const Tensor& input) {
  check_not_bool(input, "positive");
  return input;
}
Tensor sign(const Tensor& input) {
  return input.dtype() == DType::bool_ ? clone(input) : record(Op::sign_, {input});
}
Tensor sgn(const Tensor& input) { return sign(input); }
Tensor signbit(const Tensor& input) {
  if (!is_floating(input.dtype())) return lt(input, 0);
  const Tensor one = constant({}, 1, input.dtype(), input.device());
  return lt(record(Op::copysign_, {one, input.detach()}), 0);
}
Tensor square(const Tensor& input) {
  return record(Op::square_, {input.dtype() == DType::bool_ ? to_dtype(input, DType::i64) : input});
}

Tensor sinc(const Tensor& input) {
  const Tensor x = to_floating(input) * kPi;
  const Tensor at_zero = eq(x, 0);
  const Tensor safe = where(at_zero, 1, x);
  return where(at_zero, 1, sin(safe) / safe);
}

Tensor polygamma(int64_t n, const Tensor& input) {
  DS_CHECK(n == 0 || n == 1, NotImplementedError, "polygamma: n=", n,
           " is not available; n can be 0 or 1");
  DS_CHECK(n == 0 || !grad_enabled() || !input.requires_grad(), NotImplementedError,
           "polygamma: the gradient for n=1 is not available; use no_grad() or detach()");
  return n == 0 ? digamma(input) : record(Op::trigamma_, {to_floating(input)});
}

Tensor mvlgamma(const Tensor& input, int64_t p) {
  DS_CHECK(p >= 1, ValueError, "mvlgamma: p=", p, " must be at least 1");
  const Tensor x = to_floating(input);
  Tensor sum = lgamma(x);
  for (int64_t j = 1; j < p; ++j) sum = sum + lgamma(x - 0.5 * static_cast<double>(j));
  return sum + 0.25 * static_cast<double>(p * (p - 1)) * std::log(kPi);
}

Tensor ndtr(const Tensor& input) { return erfc(to_floating(input) * -std::sqrt(0.5)) * 0.5; }
Tensor ndtri(const Tensor& input) {
  return erfinv(to_floating(input) * 2.0 - 1.0) * std::sqrt(2.0);
}

Tensor entr(const Tensor& input) {
  const Tensor x = to_floating(input);
  const Tensor above = gt(x, 0);
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor rest = where(lt(x, 0), -infinity, x * 0.0);
  return where(above, -(x * log(where(above, x, 1))), rest);
}

Tensor logit(const Tensor& input, std::optional<double> eps) {
  Tensor x = to_floating(input);
  if (eps) x = clamp(x, *eps, 1.0 - *eps);
  return log(x / (1.0 - x));
}

Tensor floor(const Tensor& input) { return rounded(Op::floor_, input); }
Tensor ceil(const Tensor& input) { return rounded(Op::ceil_, input); }
Tensor trunc(const Tensor& input) { return rounded(Op::trunc_, input); }
Tensor round(const Tensor& input, int64_t decimals) {
  if (decimals == 0 || !is_floating(input.dtype())) return rounded(Op::round_, input);
  const double scale = std::pow(10.0, static_cast<double>(std::llabs(decimals)));
  return decimals > 0 ? record(Op::round_, {input * scale}) / scale
                      : record(Op::round_, {input / scale}) * scale;
}
Tensor frac(const Tensor& input) {
  DS_CHECK(is_floating(input.dtype()), DTypeError, "frac: the input is ", input.type(),
           "; it must be floating");
  return input - trunc(input);
}
Tensor deg2rad(const Tensor& input) { return to_floating(input) * (kPi / 180.0); }
Tensor rad2deg(const Tensor& input) { return to_floating(input) * (180.0 / kPi); }

Tensor nan_to_num(const Tensor& input, double nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  if (!is_floating(input.dtype())) return clone(input);
  const double top = largest(input.dtype());
  Tensor x = where(isnan(input), nan, input);
  x = where(isposinf(input), posinf.value_or(top), x);
  return where(isneginf(input), neginf.value_or(-top), x);
}

Tensor isnan(const Tensor& input) { return float_test(Op::isnan_, input, false); }
Tensor isinf(const Tensor& input) { return float_test(Op::isinf_, input, false); }
Tensor isfinite(const Tensor& input) { return float_test(Op::isfinite_, input, true); }
Tensor isposinf(const Tensor& input) {
  if (!is_floating(input.dtype())) return float_test(Op::isinf_, input, false);
  return eq(input, std::numeric_limits<double>::infinity());
}
Tensor isneginf(const Tensor& input) {
  if (!is_floating(input.dtype())) return float_test(Op::isinf_, input, false);
  return eq(input, -std::numeric_limits<double>::infinity());
}

Tensor logical_not(const Tensor& input) { return record(Op::logical_not_, {input}); }
Tensor bitwise_not(const Tensor& input) { return record(Op::bitwise_not_, {input}); }

}  // namespace ds
