// SPDX-License-Identifier: Apache-2.0
// Arithmetic and order of single elements of every dtype, with PyTorch's results: integers wrap
// around, bool is logical, NaN is larger than every number. For kernels written per type.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ds/ir/dtype.h"

namespace ds::cpu {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;

/// Halves as float, the others as they are: what compares and computes.
template <class T>
auto number(T x) {
  if constexpr (kIsHalf<T>)
    return static_cast<float>(x);
  else
    return x;
}

/// A double as a stored float, rounded once: for a half by way of a float that was rounded to odd
/// (Boldo and Melquiond, "When double rounding is odd", 2005).
template <class T>
T rounded(double x) {
  if constexpr (kIsHalf<T>) {
    const auto nearest = static_cast<float>(x);
    const auto bits = std::bit_cast<uint32_t>(nearest);
    if (static_cast<double>(nearest) == x || std::isnan(x) || (bits & 1u)) return T(nearest);
    const bool away = std::fabs(static_cast<double>(nearest)) > std::fabs(x);
    return T(std::bit_cast<float>(away ? bits - 1 : bits + 1));
  } else {
    return static_cast<T>(x);
  }
}

template <class T>
bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T> || kIsHalf<T>)
    return std::isnan(number(x));
  else
    return false;
}
template <class T>
bool is_true(T x) {
  return number(x) != 0;
}
/// Ascending order with NaN last.
template <class T>
bool sorts_before(T a, T b) {
  return number(a) < number(b) || (is_nan(b) && !is_nan(a));
}
/// a is to replace b as the maximum: larger, or the first NaN.
template <class T>
bool beats_max(T a, T b) {
  return number(a) > number(b) || (is_nan(a) && !is_nan(b));
}
template <class T>
bool beats_min(T a, T b) {
  return number(a) < number(b) || (is_nan(a) && !is_nan(b));
}

template <class T>
T plus(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a || b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}
template <class T>
T times(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a && b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}

/// Calls f(T{}) with an unsigned type of `size` bytes, for moving elements of any dtype.
template <class F>
void with_word(size_t size, F&& f) {
  switch (size) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

/// Calls f(T{}) with the C++ type of a dtype that computes by itself: not a half.
template <class F>
void dispatch_number(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64: return f(double{});
    case DType::f32: return f(float{});
    case DType::i64: return f(int64_t{});
    case DType::i32: return f(int32_t{});
    case DType::i16: return f(int16_t{});
    case DType::i8: return f(int8_t{});
    case DType::u8: return f(uint8_t{});
    default: return f(bool{});
  }
}

}  // namespace ds::cpu
