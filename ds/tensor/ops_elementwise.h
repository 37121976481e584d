// SPDX-License-Identifier: Apache-2.0
// Elementwise functions: one result per element, operands broadcast and promote as in PyTorch.
// Where a function needs floating numbers, integers and bool are converted to the default dtype.
#pragma once

#include <optional>
#include <string>

#include "ds/tensor/record.h"

namespace ds {

// --- one operand: the result has input's shape ---------------------------------------------------
/// |input|.
Tensor abs(const Tensor& input);
/// -input; DTypeError for bool.
Tensor neg(const Tensor& input);
/// input itself as a number; DTypeError for bool.
Tensor positive(const Tensor& input);
/// -1, 0 or 1 by sign.
Tensor sign(const Tensor& input);
/// -1, 0 or 1 by sign (of real numbers the same as sign).
Tensor sgn(const Tensor& input);
/// True where the sign bit is set, -0.0 included.
Tensor signbit(const Tensor& input);
/// e to the power input.
Tensor exp(const Tensor& input);
/// 2 to the power input.
Tensor exp2(const Tensor& input);
/// exp(input) - 1, accurate near 0.
Tensor expm1(const Tensor& input);
/// Natural logarithm.
Tensor log(const Tensor& input);
/// Base 2 logarithm.
Tensor log2(const Tensor& input);
/// Base 10 logarithm.
Tensor log10(const Tensor& input);
/// log(1 + input), accurate near 0.
Tensor log1p(const Tensor& input);
/// Square root.
Tensor sqrt(const Tensor& input);
/// 1 / sqrt(input).
Tensor rsqrt(const Tensor& input);
/// 1 / input.
Tensor reciprocal(const Tensor& input);
/// input * input.
Tensor square(const Tensor& input);
/// Sine of radians.
Tensor sin(const Tensor& input);
/// Cosine of radians.
Tensor cos(const Tensor& input);
/// Tangent of radians.
Tensor tan(const Tensor& input);
/// Inverse sine.
Tensor asin(const Tensor& input);
/// Inverse cosine.
Tensor acos(const Tensor& input);
/// Inverse tangent.
Tensor atan(const Tensor& input);
/// Hyperbolic sine.
Tensor sinh(const Tensor& input);
/// Hyperbolic cosine.
Tensor cosh(const Tensor& input);
/// Hyperbolic tangent.
Tensor tanh(const Tensor& input);
/// Inverse hyperbolic sine.
Tensor asinh(const Tensor& input);
/// Inverse hyperbolic cosine.
Tensor acosh(const Tensor& input);
/// Inverse hyperbolic tangent.
Tensor atanh(const Tensor& input);
/// sin(pi x) / (pi x), 1 at 0.
Tensor sinc(const Tensor& input);
/// Error function.
Tensor erf(const Tensor& input);
/// 1 - erf(input).
Tensor erfc(const Tensor& input);
/// Inverse error function.
Tensor erfinv(const Tensor& input);
/// Logarithm of the absolute gamma function.
Tensor lgamma(const Tensor& input);
/// Derivative of lgamma.
Tensor digamma(const Tensor& input);
/// n-th derivative of digamma, for n of 0 and 1.
Tensor polygamma(int64_t n, const Tensor& input);
/// Multivariate log-gamma function of dimension p.
Tensor mvlgamma(const Tensor& input, int64_t p);
/// Cumulative distribution function of the standard normal distribution.
Tensor ndtr(const Tensor& input);
/// Inverse of ndtr.
Tensor ndtri(const Tensor& input);
/// -x log x; 0 at 0, -inf below 0.
Tensor entr(const Tensor& input);
/// 1 / (1 + exp(-input)).
Tensor sigmoid(const Tensor& input);
/// log(x / (1 - x)) of input clamped to [eps, 1 - eps] when eps is given.
Tensor logit(const Tensor& input, std::optional<double> eps = std::nullopt);
/// Largest integer not above; integers stay as they are.
Tensor floor(const Tensor& input);
/// Smallest integer not below.
Tensor ceil(const Tensor& input);
/// Nearest multiple of 10^-decimals, halves to even.
Tensor round(const Tensor& input, int64_t decimals = 0);
/// Integer part.
Tensor trunc(const Tensor& input);
/// input - trunc(input).
Tensor frac(const Tensor& input);
/// Degrees to radians.
Tensor deg2rad(const Tensor& input);
/// Radians to degrees.
Tensor rad2deg(const Tensor& input);
/// NaN replaced by nan, infinities by posinf and neginf (by default the dtype's extremes).
Tensor nan_to_num(const Tensor& input, double nan = 0.0,
                  std::optional<double> posinf = std::nullopt,
                  std::optional<double> neginf = std::nullopt);

// --- tests: bool results -------------------------------------------------------------------------
/// True where NaN.
Tensor isnan(const Tensor& input);
/// True where infinite.
Tensor isinf(const Tensor& input);
/// True where neither infinite nor NaN.
Tensor isfinite(const Tensor& input);
/// True where positive infinity.
Tensor isposinf(const Tensor& input);
/// True where negative infinity.
Tensor isneginf(const Tensor& input);
/// True where |input - other| <= atol + rtol * |other|, or both are equal.
Tensor isclose(const Tensor& input, const Tensor& other, double rtol = 1e-5, double atol = 1e-8,
               bool equal_nan = false);
/// True for every element of input that occurs in test_elements.
Tensor isin(const Tensor& elements, const Tensor& test_elements, bool invert = false);
/// isclose everywhere; computes.
bool allclose(const Tensor& input, const Tensor& other, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false);
/// Same shape and equal elements; computes.
bool equal(const Tensor& input, const Tensor& other);

// --- arithmetic ----------------------------------------------------------------------------------
/// input + alpha * other; logical or for bool.
Tensor add(const Operand& input, const Operand& other, const Operand& alpha = 1);
/// input - alpha * other; DTypeError for bool.
Tensor sub(const Operand& input, const Operand& other, const Operand& alpha = 1);
/// other - alpha * input.
Tensor rsub(const Operand& input, const Operand& other, const Operand& alpha = 1);
/// Product; logical and for bool.
Tensor mul(const Operand& input, const Operand& other);
/// Quotient: true (floating), or rounded: rounding_mode "trunc" or "floor".
Tensor div(const Operand& input, const Operand& other,
           const std::optional<std::string>& rounding_mode = std::nullopt);
/// True quotient.
Tensor true_divide(const Operand& input, const Operand& other);
/// floor(input / other); ValueError for an integer division by zero.
Tensor floor_divide(const Operand& input, const Operand& other);
/// trunc(input / other); ValueError for an integer division by zero.
Tensor trunc_divide(const Operand& input, const Operand& other);
/// Remainder with other's sign, as Python's %.
Tensor remainder(const Operand& input, const Operand& other);
/// Remainder with input's sign, as C's fmod.
Tensor fmod(const Operand& input, const Operand& other);
/// input to the power other; ValueError for an integer to a negative number.
Tensor pow(const Operand& input, const Operand& other);
/// pow computed in f64.
Tensor float_power(const Operand& input, const Operand& other);
/// Angle of the point (other, input).
Tensor atan2(const Operand& input, const Operand& other);
/// Magnitude of input with the sign of other.
Tensor copysign(const Operand& input, const Operand& other);
/// Next representable value after input towards other.
Tensor nextafter(const Tensor& input, const Tensor& other);
/// input * 2^other.
Tensor ldexp(const Tensor& input, const Tensor& other);
/// sqrt(input^2 + other^2).
Tensor hypot(const Operand& input, const Operand& other);
/// Larger element; NaN wins.
Tensor maximum(const Operand& input, const Operand& other);
/// Smaller element; NaN wins.
Tensor minimum(const Operand& input, const Operand& other);
/// Larger element; NaN loses.
Tensor fmax(const Operand& input, const Operand& other);
/// Smaller element; NaN loses.
Tensor fmin(const Operand& input, const Operand& other);
/// log(exp(input) + exp(other)) without overflow.
Tensor logaddexp(const Operand& input, const Operand& other);
/// log2(2^input + 2^other) without overflow.
Tensor logaddexp2(const Operand& input, const Operand& other);
/// input * log(other), 0 where input is 0 (and other is not NaN).
Tensor xlogy(const Operand& input, const Operand& other);
/// input * log1p(other), 0 where input is 0 (and other is not NaN).
Tensor xlog1py(const Operand& input, const Operand& other);
/// 0 below 0, `values` at 0, 1 above.
Tensor heaviside(const Operand& input, const Operand& values);
/// input limited to [min, max]; at least one of the limits is given.
Tensor clamp(const Tensor& input, const std::optional<Operand>& min,
             const std::optional<Operand>& max = std::nullopt);
/// input limited from below.
Tensor clamp_min(const Tensor& input, const Operand& min);
/// input limited from above.
Tensor clamp_max(const Tensor& input, const Operand& max);
/// start + weight * (end - start).
Tensor lerp(const Tensor& input, const Tensor& end, const Operand& weight);
/// input + value * tensor1 * tensor2.
Tensor addcmul(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2,
               const Operand& value = 1);
/// input + value * tensor1 / tensor2.
Tensor addcdiv(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2,
               const Operand& value = 1);
/// input where condition (bool) is true, other elsewhere; all broadcast.
Tensor where(const Tensor& condition, const Operand& input, const Operand& other);

// --- comparison: bool results --------------------------------------------------------------------
/// input == other.
Tensor eq(const Operand& input, const Operand& other);
/// input != other.
Tensor ne(const Operand& input, const Operand& other);
/// input < other.
Tensor lt(const Operand& input, const Operand& other);
/// input <= other.
Tensor le(const Operand& input, const Operand& other);
/// input > other.
Tensor gt(const Operand& input, const Operand& other);
/// input >= other.
Tensor ge(const Operand& input, const Operand& other);

// --- logic on truth (nonzero), and on bits of integers -------------------------------------------
/// True where zero.
Tensor logical_not(const Tensor& input);
/// True where both are nonzero.
Tensor logical_and(const Operand& input, const Operand& other);
/// True where one is nonzero.
Tensor logical_or(const Operand& input, const Operand& other);
/// True where exactly one is nonzero.
Tensor logical_xor(const Operand& input, const Operand& other);
/// Complement of the bits; logical for bool.
Tensor bitwise_not(const Tensor& input);
/// Bitwise and; logical for bool.
Tensor bitwise_and(const Operand& input, const Operand& other);
/// Bitwise or; logical for bool.
Tensor bitwise_or(const Operand& input, const Operand& other);
/// Bitwise exclusive or; logical for bool.
Tensor bitwise_xor(const Operand& input, const Operand& other);
/// input shifted left by other bits.
Tensor bitwise_left_shift(const Operand& input, const Operand& other);
/// input shifted right by other bits, arithmetic for signed integers.
Tensor bitwise_right_shift(const Operand& input, const Operand& other);

}  // namespace ds
