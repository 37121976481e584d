// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ds/base/error.h"

namespace ds::testing {
namespace {

using Real = long double;
constexpr Real kInf = std::numeric_limits<Real>::infinity();
constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN();
const Real kPi = std::acos(Real{-1});
constexpr Real kRootTwo = 1.414213562373095048801688724209698079L;

Real sigmoid(Real x) { return 1 / (1 + std::exp(-x)); }

/// The derivative of x sigmoid(u(x)); infinity times 0 is NaN, as in PyTorch.
Real logistic_slope(Real x, Real u, Real slope) {
  return sigmoid(u) + x * (sigmoid(u) * sigmoid(-u)) * slope;
}

Real erfinv(Real x) {
  if (std::isnan(x) || std::fabs(x) > 1) return kNan;
  if (x == 0) return x;
  if (std::fabs(x) == 1) return std::copysign(kInf, x);
  const Real y = std::fabs(x), a = 0.147L, l = std::log1p(-y * y), b = 2 / (kPi * a) + l / 2;
  Real r = y < 1e-6L ? y * std::sqrt(kPi) / 2 : std::sqrt(std::sqrt(b * b - l / a) - b);
  for (int i = 0; i < 6; ++i) {
    const Real error = y > 0.5L ? (1 - y) - std::erfc(r) : std::erf(r) - y;
    const Real step = error * std::sqrt(kPi) / 2 * std::exp(r * r);
    r -= step / (1 + r * step);
  }
  return std::copysign(r, x);
}

/// x less the nearest integer, exactly.
Real fraction(Real x) { return x - std::nearbyint(x); }

Real digamma(Real x) {
  if (x == 0) return std::copysign(kInf, -x);
  if (x == -kInf) return kNan;
  if (x < 0) return x == std::floor(x) ? kNan : digamma(1 - x) - kPi / std::tan(kPi * fraction(x));
  Real shifted = 0;
  for (; x < 40; x += 1) shifted -= 1 / x;
  const Real z = 1 / (x * x);
  const Real bernoulli[] = {1.0L / 12, -1.0L / 120, 1.0L / 252, -1.0L / 240, 1.0L / 132};
  Real power = 1, series = 0;
  for (Real b : bernoulli) series += b * (power *= z);
  return std::log(x) - 0.5L / x - series + shifted;
}

Real trigamma(Real x) {
  if (x == -kInf) return kNan;
  if (x <= 0 && x == std::floor(x)) return kInf;
  if (x < 0) {
    const Real sine = std::sin(kPi * fraction(x));
    return kPi * kPi / (sine * sine) - trigamma(1 - x);
  }
  Real shifted = 0;
  for (; x < 40; x += 1) shifted += 1 / (x * x);
  if (std::isinf(x)) return 0;
  const Real z = 1 / (x * x);
  const Real bernoulli[] = {1.0L / 6, -1.0L / 30, 1.0L / 42, -1.0L / 30, 5.0L / 66};
  Real power = 1, series = 0;
  for (Real b : bernoulli) series += b * (power *= z);
  return shifted + (1 + 0.5L / x + series) / x;
}

Real log_gamma(Real x) {
  int sign = 0;
  return ::lgammal_r(x, &sign);
}

/// floor of the exact quotient: the remainder is exact, the quotient would round.
Real floor_divide(Real a, Real b) {
  if (b == 0) return a / b;
  const Real rest = std::fmod(a, b);
  const Real quotient = (a - rest) / b;
  return rest != 0 && (rest < 0) != (b < 0) ? quotient - 1 : quotient;
}

Real remainder_of(Real a, Real b) {
  const Real rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/// Digits, smallest normal and largest exponent (of 1.f x 2^e) of a floating dtype.
struct Format {
  int digits, lowest, highest;
};
Format format_of(DType dtype) {
  switch (dtype) {
    case DType::f16: return {11, -14, 15};
    case DType::bf16: return {8, -126, 127};
    case DType::f64: return {53, -1022, 1023};
    default: return {24, -126, 127};
  }
}

constexpr Contract kContracts[] = {
#define DS_NUMERICS(op, ulp, absolute, low, high) {Op::op##_, ulp, absolute, low, high},
#include "ds/ir/numerics.def"
#undef DS_NUMERICS
};

Real exact_unary(Op op, Real x) {
  switch (op) {
    case Op::neg_: return -x;
    case Op::abs_: return std::fabs(x);
    case Op::sign_: return (x > 0) - (x < 0);
    case Op::exp_: return std::exp(x);
    case Op::exp2_: return std::exp2(x);
    case Op::expm1_: return std::expm1(x);
    case Op::log_: return std::log(x);
    case Op::log2_: return std::log2(x);
    case Op::log10_: return std::log10(x);
    case Op::log1p_: return std::log1p(x);
    case Op::sqrt_: return std::sqrt(x);
    case Op::rsqrt_: return 1 / std::sqrt(x);
    case Op::reciprocal_: return 1 / x;
    case Op::square_: return x * x;
    case Op::sin_: return std::sin(x);
    case Op::cos_: return std::cos(x);
    case Op::tan_: return std::tan(x);
    case Op::asin_: return std::asin(x);
    case Op::acos_: return std::acos(x);
    case Op::atan_: return std::atan(x);
    case Op::sinh_: return std::sinh(x);
    case Op::cosh_: return std::cosh(x);
    case Op::tanh_: return std::tanh(x);
    case Op::asinh_: return std::asinh(x);
    case Op::acosh_: return std::acosh(x);
    case Op::atanh_: return std::atanh(x);
    case Op::erf_: return std::erf(x);
    case Op::erfc_: return std::erfc(x);
    case Op::erfinv_: return erfinv(x);
    case Op::lgamma_: return log_gamma(x);
    case Op::digamma_: return digamma(x);
    case Op::trigamma_: return trigamma(x);
    case Op::sigmoid_: return sigmoid(x);
    case Op::relu_: return x > 0 || std::isnan(x) ? x : 0;
    // -inf times 0 is NaN, as in PyTorch.
    case Op::gelu_: return x * std::erfc(-x / kRootTwo) / 2;
    case Op::gelu_tanh_:
      return x * sigmoid(2 * std::sqrt(2 / kPi) * (x + Real{0.044715} * x * x * x));
    case Op::silu_: return x * sigmoid(x);
    case Op::gelu_slope_:
      return std::erfc(-x / kRootTwo) / 2 + x * (std::exp(-x * x / 2) / std::sqrt(2 * kPi));
    case Op::gelu_tanh_slope_: {
      const Real k = 2 * std::sqrt(2 / kPi), a = 0.044715;
      return logistic_slope(x, k * (x + a * x * x * x), k * (1 + 3 * a * x * x));
    }
    case Op::silu_slope_: return logistic_slope(x, x, 1);
    case Op::softplus_: return std::fmax(x, Real{0}) + std::log1p(std::exp(-std::fabs(x)));
    case Op::floor_: return std::floor(x);
    case Op::ceil_: return std::ceil(x);
    case Op::round_: return std::nearbyint(x);
    case Op::trunc_: return std::trunc(x);
    case Op::cast_: return x;
    case Op::isnan_: return std::isnan(x);
    case Op::isinf_: return std::isinf(x);
    case Op::isfinite_: return std::isfinite(x);
    case Op::logical_not_: return x == 0;
    default: break;
  }
  DS_CHECK(false, ValueError, "no oracle for ", op_name(op));
  return kNan;
}

}  // namespace

const Contract* contract_of(Op op) {
  for (const Contract& contract : kContracts)
    if (contract.op == op) return &contract;
  return nullptr;
}

long double exact(Op op, long double a, long double b) {
  switch (op) {
    case Op::add_: return a + b;
    case Op::sub_: return a - b;
    case Op::mul_: return a * b;
    case Op::div_: return a / b;
    case Op::pow_: return std::pow(a, b);
    case Op::maximum_: return std::isnan(a) || a > b ? a : b;
    case Op::minimum_: return std::isnan(a) || a < b ? a : b;
    case Op::fmod_: return std::fmod(a, b);
    case Op::remainder_: return remainder_of(a, b);
    case Op::floor_divide_: return floor_divide(a, b);
    case Op::atan2_: return std::atan2(a, b);
    case Op::copysign_: return std::copysign(a, b);
    case Op::eq_: return a == b;
    case Op::ne_: return a != b;
    case Op::lt_: return a < b;
    case Op::le_: return a <= b;
    case Op::gt_: return a > b;
    case Op::ge_: return a >= b;
    case Op::logical_and_: return a != 0 && b != 0;
    case Op::logical_or_: return a != 0 || b != 0;
    case Op::logical_xor_: return (a != 0) != (b != 0);
    default: return exact_unary(op, a);
  }
}

double error_in_ulp(long double got, long double want, DType dtype) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) == std::isnan(want) ? 0 : 1e30;
  if (got == want) return 0;
  const Format f = format_of(dtype);
  const Real beyond = std::ldexp(Real{1}, f.highest + 1);
  const int exponent = want == 0 ? f.lowest : std::clamp(std::ilogb(want), f.lowest, f.highest);
  const Real unit = std::ldexp(Real{1}, exponent - f.digits + 1);
  if (std::isinf(got) && std::signbit(got) == std::signbit(want))
    return static_cast<double>(std::fmax(beyond - std::fabs(want), Real{0}) / unit);
  return static_cast<double>(std::fabs(got - want) / unit);
}

bool keeps(const Contract& contract, long double got, long double want, DType dtype) {
  // What is exact in f32 is still rounded once to 16 bits, and may round across a bound.
  const bool half = is_half(dtype);
  const double ulp =
      half ? 0.5 + std::ldexp(contract.ulp, format_of(dtype).digits - 24) : contract.ulp;
  const double slack = half ? 1.01 : 1;
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) == std::isnan(want);
  const bool close = error_in_ulp(got, want, dtype) <= ulp ||
                     std::fabs(got - want) <= static_cast<long double>(contract.absolute);
  const Real low = contract.low * (contract.low < 0 ? slack : 1 / slack);
  return close && got >= low && got <= contract.high * slack;
}

}  // namespace ds::testing
