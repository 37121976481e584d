// SPDX-License-Identifier: Apache-2.0
// The partial result of a reduction and how two of them merge.
#pragma once

#include <cmath>
#include <cstdint>

namespace ds::cpu {

/// Elements that are reduced in f32 before they are added in f64.
inline constexpr int64_t kReduceBlock = 1024;

enum class Reduction : uint8_t {
  sum,
  sum_squares,
  centered,  ///< a = sum(x - shift), b = sum((x - shift)^2)
  prod,
  max,
  min,
  any,
  all,
  logsumexp  ///< a = the maximum m, b = sum(exp(x - m))
};

struct ReduceState {
  double a = 0, b = 0;
};

inline ReduceState reduce_start(Reduction op) {
  switch (op) {
    case Reduction::prod:
    case Reduction::all: return {1, 0};
    case Reduction::max:
    case Reduction::logsumexp: return {-HUGE_VAL, 0};
    case Reduction::min: return {HUGE_VAL, 0};
    default: return {0, 0};
  }
}

/// to = to (+) from.
inline void merge(Reduction op, const ReduceState& from, ReduceState& to) {
  switch (op) {
    case Reduction::prod: to.a *= from.a; break;
    case Reduction::any: to.a = to.a != 0 || from.a != 0; break;
    case Reduction::all: to.a = to.a != 0 && from.a != 0; break;
    case Reduction::max:
      if (from.a > to.a || from.a != from.a) to.a = from.a;
      break;
    case Reduction::min:
      if (from.a < to.a || from.a != from.a) to.a = from.a;
      break;
    case Reduction::logsumexp:
      if (from.b == 0 || to.a != to.a) break;
      if (from.a > to.a || from.a != from.a) {
        // An infinite or NaN maximum stands for the whole sum.
        const bool infinite = !(std::fabs(from.a) < HUGE_VAL);
        to.b = from.b + (infinite || to.b == 0 ? 0 : to.b * std::exp(to.a - from.a));
        to.a = from.a;
      } else if (to.a < HUGE_VAL) {
        to.b += from.b * std::exp(from.a - to.a);
      }
      break;
    default:
      to.a += from.a;
      to.b += from.b;
      break;
  }
}

}  // namespace ds::cpu
