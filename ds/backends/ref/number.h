// SPDX-License-Identifier: Apache-2.0
// Conversions between stored elements and the wide types kernels compute in: double for floating
// point, int64_t for integers and bool (0 and 1).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "ds/ir/dtype.h"

namespace ds::ref {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;

/// `x` as float, rounded to odd: a second rounding, to 16 bits, then gives what a single rounding
/// of x would (Boldo and Melquiond, "When double rounding is odd", 2005).
inline float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (static_cast<double>(nearest) == x || std::isnan(x) || (bits & 1u)) return nearest;
  const bool away = std::fabs(static_cast<double>(nearest)) > std::fabs(x);
  return std::bit_cast<float>(away ? bits - 1 : bits + 1);
}

/// Towards zero; values outside i64 saturate and NaN gives 0.
inline int64_t truncate_to_int(double x) {
  if (std::isnan(x)) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (x < -0x1p63) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

/// A stored element as double or int64_t.
template <class W, class T>
W widen(T x) {
  if constexpr (kIsHalf<T>) {
    return widen<W>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<W, int64_t> && std::is_floating_point_v<T>) {
    return truncate_to_int(static_cast<double>(x));
  } else {
    return static_cast<W>(x);
  }
}

/// A double or int64_t as a stored element: floats round once, integers keep their low bits, bool
/// is x != 0.
template <class T, class W>
T narrow(W x) {
  if constexpr (std::is_same_v<T, bool>) {
    return x != 0;
  } else if constexpr (kIsHalf<T>) {
    return T(round_to_odd(static_cast<double>(x)));
  } else if constexpr (std::is_integral_v<T> && std::is_same_v<W, double>) {
    return static_cast<T>(truncate_to_int(x));
  } else {
    return static_cast<T>(x);
  }
}

// Integer arithmetic that wraps around.
inline int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t wrap_sub(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
inline int64_t wrap_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

// Sum and product in either wide type.
inline double plus(double a, double b) { return a + b; }
inline int64_t plus(int64_t a, int64_t b) { return wrap_add(a, b); }
inline double times(double a, double b) { return a * b; }
inline int64_t times(int64_t a, int64_t b) { return wrap_mul(a, b); }

inline bool is_nan(double x) { return std::isnan(x); }
inline bool is_nan(int64_t) { return false; }
/// a is to replace b as the maximum: larger, or the first NaN.
template <class W>
bool beats_max(W a, W b) {
  return a > b || (is_nan(a) && !is_nan(b));
}
template <class W>
bool beats_min(W a, W b) {
  return a < b || (is_nan(a) && !is_nan(b));
}

}  // namespace ds::ref
