// SPDX-License-Identifier: Apache-2.0
// Scalar special functions, evaluated in f64.
#include "ds/backends/cpu/kernels/special.h"

#include <math.h>

#include <cmath>
#include <limits>

namespace ds::cpu {
namespace {

constexpr double kPi = 3.14159265358979323846;

}  // namespace

float erfinv(float x) {
  const double y = x;
  if (std::isnan(x) || std::abs(y) > 1) return std::numeric_limits<float>::quiet_NaN();
  if (std::abs(y) == 1) return std::copysign(std::numeric_limits<float>::infinity(), x);
  if (std::abs(y) < 1e-7) return static_cast<float>(y * 0.88622692545275801);  // sqrt(pi) / 2
  const double a = 0.147;
  const double log_term = std::log1p(-y * y);
  const double b = 2 / (kPi * a) + log_term / 2;
  double r = std::copysign(std::sqrt(std::sqrt(b * b - log_term / a) - b), y);
  for (int i = 0; i < 2; ++i) {
    // Halley's step: the second derivative of erf is -2 r times the first.
    const double error = y > 0 ? (1 - y) - std::erfc(r) : std::erfc(-r) - (1 + y);
    const double step = error / (1.1283791670955126 * std::exp(-r * r));
    r -= step / (1 + r * step);
  }
  return static_cast<float>(r);
}

float lgamma(float x) {
  int sign = 0;
  // std::lgamma writes a global.
  return static_cast<float>(::lgamma_r(x, &sign));
}

float digamma(float value) {
  double x = value;
  if (x == 0) return std::copysign(std::numeric_limits<float>::infinity(), -value);
  double result = 0;
  if (x < 0) {
    if (x == std::floor(x)) return std::numeric_limits<float>::quiet_NaN();
    // The fraction towards zero: the one above floor(x) rounds to 1 for small x.
    result = -kPi / std::tan(kPi * std::fmod(x, 1.0));
    x = 1 - x;
  }
  while (x < 10) {
    result -= 1 / x;
    x += 1;
  }
  const double z = 1 / (x * x);
  // Asymptotic series in Bernoulli numbers.
  const double series =
      z *
      (1.0 / 12 -
       z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * 691.0 / 32760)))));
  return static_cast<float>(result + std::log(x) - 0.5 / x - series);
}

float trigamma(float value) {
  double x = value;
  double sign = 1, result = 0;
  if (x < 0.5) {
    const double s = std::sin(kPi * std::fmod(x, 1.0));
    if (s == 0) return std::numeric_limits<float>::infinity();
    sign = -1;
    result = -kPi * kPi / (s * s);
    x = 1 - x;
  }
  while (x < 10) {
    result += 1 / (x * x);
    x += 1;
  }
  const double z = 1 / (x * x);
  const double series =
      z * (1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66)))));
  return static_cast<float>(sign * (result + 1 / x + z / 2 + series / x));
}

}  // namespace ds::cpu
