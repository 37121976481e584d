// SPDX-License-Identifier: Apache-2.0
// Special functions that the standard library lacks.
#include <cmath>
#include <limits>

#include "ds/backends/ref/elementwise_math.h"

namespace ds::ref {
namespace {

constexpr double kPi = 3.141592653589793238462643383280;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Start of erfinv for x in [0, 1): Giles, "Approximating the erfinv function", 2010 (single
/// precision form, about 1e-7).
double erfinv_start(double x, double one_minus_x) {
  double w = -std::log(one_minus_x * (1 + x));
  if (w < 5) {
    w -= 2.5;
    const double c[] = {2.81022636e-08,  3.43273939e-07, -3.5233877e-06,
                        -4.39150654e-06, 0.00021858087,  -0.00125372503,
                        -0.00417768164,  0.246640727,    1.50140941};
    double p = c[0];
    for (int i = 1; i < 9; ++i) p = p * w + c[i];
    return p * x;
  }
  w = std::sqrt(w) - 3;
  const double c[] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                      -0.0076224613,   0.00943887047,  1.00167406,    2.83297682};
  double p = c[0];
  for (int i = 1; i < 9; ++i) p = p * w + c[i];
  return p * x;
}

}  // namespace

double erfinv(double x) {
  if (std::isnan(x) || std::fabs(x) > 1) return kNan;
  if (std::fabs(x) == 1) return std::copysign(kInfinity, x);
  const double magnitude = std::fabs(x);
  const double tail = 1 - magnitude;  // exact for magnitude >= 0.5
  double y = erfinv_start(magnitude, tail);
  for (int step = 0; step < 2; ++step) {
    // Halley's method; erfc keeps the digits where erf is close to 1.
    const double error = magnitude > 0.5 ? tail - std::erfc(y) : std::erf(y) - magnitude;
    const double newton = error * (std::sqrt(kPi) / 2) * std::exp(y * y);
    y -= newton / (1 + y * newton);
  }
  return std::copysign(y, x);
}

double digamma(double x) {
  if (x == 0) return std::copysign(kInfinity, -x);
  if (x == -kInfinity) return kNan;
  if (x < 0) {
    // Reflection; the fraction is exact, pi * x would lose it.
    double whole;
    const double fraction = std::modf(x, &whole);
    if (fraction == 0) return kNan;
    return digamma(1 - x) - kPi / std::tan(kPi * fraction);
  }
  double result = 0;
  for (; x < 10; x += 1) result -= 1 / x;
  if (x == 10) return result + 2.25175258906672110764;
  const double z = 1 / (x * x);
  // B_2k / (2k) of the asymptotic series, Abramowitz and Stegun 6.3.18.
  const double series =
      z * (1.0 / 12 -
           z * (1.0 / 120 -
                z * (1.0 / 252 -
                     z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z * (1.0 / 12)))))));
  return result + std::log(x) - 0.5 / x - series;
}

double trigamma(double x) {
  if (x == -kInfinity) return kNan;
  if (x <= 0) {
    if (x == std::floor(x)) return kInfinity;
    double whole;
    const double sine = std::sin(kPi * std::modf(x, &whole));
    return -trigamma(1 - x) + kPi * kPi / (sine * sine);
  }
  double result = 0;
  for (; x < 15; x += 1) result += 1 / (x * x);
  const double z = 1 / (x * x);
  // Bernoulli numbers B_2k of the asymptotic series, Abramowitz and Stegun 6.4.12.
  const double series =
      z * (1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66)))));
  return result + (1 + 0.5 / x + series) / x;
}

double log_gamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

}  // namespace ds::ref
