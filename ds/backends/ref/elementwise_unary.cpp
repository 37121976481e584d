// SPDX-License-Identifier: Apache-2.0
// One function per unary op, in double and in int64_t.
#include <cmath>

#include "ds/backends/ref/elementwise_math.h"
#include "ds/backends/ref/number.h"
#include "ds/base/error.h"

namespace ds::ref {
namespace {

/// A loop over a function without state.
template <class W, class F>
UnaryRun<W> run(F) {
  return [](int64_t n, const W* a, W* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = F{}(a[i]);
  };
}
template <class F>
UnaryRun<double> real(F f) {
  return run<double>(f);
}
template <class F>
UnaryRun<int64_t> whole(F f) {
  return run<int64_t>(f);
}

constexpr double kSqrtHalf = 0.70710678118654752440084436210;

double sigmoid(double x) {
  // exp of a negative number only: no overflow, and full accuracy on both sides.
  const double e = std::exp(-std::fabs(x));
  return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

constexpr double kSqrt2OverPi = 0.79788456080286535587989211987;

double gelu_slope(double x) {
  return 0.5 * (std::erfc(-x * kSqrtHalf) + kSqrt2OverPi * x * std::exp(-0.5 * x * x));
}

/// Of x sigmoid(u(x)) at x: sigmoid(u) + x sigmoid'(u) u'.
double logistic_slope(double x, double u, double slope) {
  return sigmoid(u) + sigmoid(u) * sigmoid(-u) * slope * x;
}

double gelu_tanh_slope(double x) {
  const double u = 2 * kSqrt2OverPi * (x + 0.044715 * x * x * x);
  return logistic_slope(x, u, 2 * kSqrt2OverPi * (1 + 3 * 0.044715 * x * x));
}

double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
}

double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

UnaryRun<double> transcendental(Op op) {
  switch (op) {
    case Op::exp_: return real([](double x) { return std::exp(x); });
    case Op::exp2_: return real([](double x) { return std::exp2(x); });
    case Op::expm1_: return real([](double x) { return std::expm1(x); });
    case Op::log_: return real([](double x) { return std::log(x); });
    case Op::log2_: return real([](double x) { return std::log2(x); });
    case Op::log10_: return real([](double x) { return std::log10(x); });
    case Op::log1p_: return real([](double x) { return std::log1p(x); });
    case Op::sin_: return real([](double x) { return std::sin(x); });
    case Op::cos_: return real([](double x) { return std::cos(x); });
    case Op::tan_: return real([](double x) { return std::tan(x); });
    case Op::asin_: return real([](double x) { return std::asin(x); });
    case Op::acos_: return real([](double x) { return std::acos(x); });
    case Op::atan_: return real([](double x) { return std::atan(x); });
    case Op::sinh_: return real([](double x) { return std::sinh(x); });
    case Op::cosh_: return real([](double x) { return std::cosh(x); });
    case Op::tanh_: return real([](double x) { return std::tanh(x); });
    case Op::asinh_: return real([](double x) { return std::asinh(x); });
    case Op::acosh_: return real([](double x) { return std::acosh(x); });
    case Op::atanh_: return real([](double x) { return std::atanh(x); });
    case Op::erf_: return real([](double x) { return std::erf(x); });
    case Op::erfc_: return real([](double x) { return std::erfc(x); });
    case Op::erfinv_: return real([](double x) { return erfinv(x); });
    case Op::lgamma_: return real([](double x) { return log_gamma(x); });
    case Op::digamma_: return real([](double x) { return digamma(x); });
    case Op::trigamma_: return real([](double x) { return trigamma(x); });
    default: return nullptr;
  }
}

}  // namespace

UnaryRun<double> unary_float(Op op) {
  switch (op) {
    case Op::neg_: return real([](double x) { return -x; });
    case Op::abs_: return real([](double x) { return std::fabs(x); });
    case Op::sign_: return real([](double x) { return static_cast<double>((x > 0) - (x < 0)); });
    case Op::sqrt_: return real([](double x) { return std::sqrt(x); });
    case Op::rsqrt_: return real([](double x) { return 1 / std::sqrt(x); });
    case Op::reciprocal_: return real([](double x) { return 1 / x; });
    case Op::square_: return real([](double x) { return x * x; });
    case Op::sigmoid_: return real([](double x) { return sigmoid(x); });
    case Op::relu_: return real([](double x) { return x > 0 || std::isnan(x) ? x : 0.0; });
    case Op::gelu_: return real([](double x) { return 0.5 * x * std::erfc(-x * kSqrtHalf); });
    case Op::gelu_tanh_: return real([](double x) { return gelu_tanh(x); });
    case Op::silu_: return real([](double x) { return x * sigmoid(x); });
    case Op::gelu_slope_: return real([](double x) { return gelu_slope(x); });
    case Op::gelu_tanh_slope_: return real([](double x) { return gelu_tanh_slope(x); });
    case Op::silu_slope_: return real([](double x) { return logistic_slope(x, x, 1); });
    case Op::softplus_: return real([](double x) { return softplus(x); });
    case Op::floor_: return real([](double x) { return std::floor(x); });
    case Op::ceil_: return real([](double x) { return std::ceil(x); });
    case Op::round_: return real([](double x) { return std::nearbyint(x); });
    case Op::trunc_: return real([](double x) { return std::trunc(x); });
    case Op::isnan_: return real([](double x) { return std::isnan(x) ? 1.0 : 0.0; });
    case Op::isinf_: return real([](double x) { return std::isinf(x) ? 1.0 : 0.0; });
    case Op::isfinite_: return real([](double x) { return std::isfinite(x) ? 1.0 : 0.0; });
    case Op::logical_not_: return real([](double x) { return x == 0 ? 1.0 : 0.0; });
    default: break;
  }
  const UnaryRun<double> found = transcendental(op);
  DS_ASSERT(found, op_name(op), " of a floating point dtype");
  return found;
}

UnaryRun<int64_t> unary_int(Op op, DType dtype) {
  switch (op) {
    case Op::neg_: return whole([](int64_t x) { return wrap_sub(0, x); });
    case Op::abs_: return whole([](int64_t x) { return x < 0 ? wrap_sub(0, x) : x; });
    case Op::sign_: return whole([](int64_t x) { return int64_t{x > 0} - int64_t{x < 0}; });
    case Op::square_: return whole([](int64_t x) { return wrap_mul(x, x); });
    case Op::relu_: return whole([](int64_t x) { return x > 0 ? x : 0; });
    case Op::floor_:
    case Op::ceil_:
    case Op::round_:
    case Op::trunc_: return whole([](int64_t x) { return x; });
    case Op::bitwise_not_:
      if (dtype == DType::bool_) return whole([](int64_t x) { return int64_t{x == 0}; });
      return whole([](int64_t x) { return ~x; });
    case Op::isnan_:
    case Op::isinf_: return whole([](int64_t) { return int64_t{0}; });
    case Op::isfinite_: return whole([](int64_t) { return int64_t{1}; });
    case Op::logical_not_: return whole([](int64_t x) { return int64_t{x == 0}; });
    default: break;
  }
  DS_ASSERT(false, op_name(op), " of ", dtype);
  return nullptr;
}

}  // namespace ds::ref
