// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share: every SIMD target in turn, reproducible data, error in ULP.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ds/backends/cpu/kernels/dispatch.h"
#include "ds/ir/dtype.h"

namespace ds::cpu::testing {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Runs body once for every instruction set of this processor.
template <class Body>
void for_each_target(Body body) {
  for (const std::string& name : simd_targets()) {
    set_simd_target(name);
    CAPTURE(name);
    body();
  }
  set_simd_target("");
}

inline std::vector<float> random_floats(size_t n, unsigned seed, float low = -2, float high = 2) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> values(n);
  for (float& v : values) v = distribution(engine);
  return values;
}

/// The values as the dtype stores them, and back.
template <class T>
std::vector<T> as(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<T>(values[i]);
  return out;
}
template <class T>
std::vector<float> floats(const std::vector<T>& values) {
  std::vector<float> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<float>(values[i]);
  return out;
}

/// Distance of got from the exact value in units of got's last place; 0 for equal special values,
/// huge for different ones.
inline double ulp_error(float got, double want) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  if (std::isinf(rounded) && got == rounded) return 0;
  if (std::isinf(got) && std::isinf(rounded)) return 1e30;
  int exponent = 0;
  std::frexp(std::max(std::fabs(want), 0x1p-126), &exponent);
  exponent = std::min(exponent, 128);
  return std::fabs(static_cast<double>(got) - want) / std::ldexp(1.0, exponent - 24);
}

/// Largest |got - want| over max(1, |want|); 1e30 when one is NaN and the other not.
template <class Want>
double max_error(const std::vector<float>& got, const std::vector<Want>& want) {
  double worst = got.size() == want.size() ? 0 : 1e30;
  for (size_t i = 0; i < want.size() && i < got.size(); ++i) {
    const double w = static_cast<double>(want[i]), g = got[i];
    if (std::isnan(w) && std::isnan(g)) continue;
    if (w == g) continue;
    const double error = std::fabs(w - g) / std::max(1.0, std::fabs(w));
    worst = std::max(worst, error == error ? error : 1e30);
  }
  return worst;
}

/// Unit roundoff of a storage dtype.
inline double rounding(DType dtype) {
  return dtype == DType::bf16 ? 0x1p-8 : dtype == DType::f16 ? 0x1p-11 : 0x1p-24;
}

}  // namespace ds::cpu::testing
