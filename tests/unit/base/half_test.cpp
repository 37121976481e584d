// SPDX-License-Identifier: Apache-2.0
// The 16-bit types against their definition: every value, and rounding decided in long double.
#include "ds/base/half.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace ds {
namespace {

struct Format {
  int mantissa_bits;
  int exponent_bits;
};
constexpr Format kF16{10, 5};
constexpr Format kBf16{7, 8};

/// The value of a finite pattern, from the definition of an IEEE format.
long double value_of(uint32_t bits, Format format) {
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const uint32_t mantissa = bits & ((1u << format.mantissa_bits) - 1);
  const int exponent =
      static_cast<int>(bits >> format.mantissa_bits) & ((1 << format.exponent_bits) - 1);
  const long double fraction =
      std::ldexp(static_cast<long double>(mantissa), -format.mantissa_bits);
  const long double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0L + fraction, exponent - bias);
  return bits >> (format.mantissa_bits + format.exponent_bits) ? -magnitude : magnitude;
}

template <class Half>
void check_round_trip(Format format) {
  const uint32_t infinity = ((1u << format.exponent_bits) - 1) << format.mantissa_bits;
  int wrong = 0;
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    Half half;
    half.bits = static_cast<uint16_t>(bits);
    const float wide = static_cast<float>(half);
    const uint32_t magnitude = bits & 0x7fffu;
    if (magnitude > infinity) {
      wrong += !std::isnan(wide) || !std::isnan(static_cast<float>(Half(wide)));
      continue;
    }
    const bool same = magnitude == infinity
                          ? std::isinf(wide)
                          : static_cast<long double>(wide) == value_of(bits, format);
    wrong += !same || std::signbit(wide) != (bits >= 0x8000u) || Half(wide).bits != bits;
  }
  CHECK(wrong == 0);
}

/// Between each two neighbours: the middle goes to the even one, a float nearer to either side
/// goes there. The last pair is the largest value and the power of two that stands for infinity.
template <class Half>
void check_rounding(Format format) {
  const uint32_t infinity = ((1u << format.exponent_bits) - 1) << format.mantissa_bits;
  int wrong = 0;
  for (uint32_t low = 0; low < infinity; ++low) {
    const long double a = value_of(low, format);
    const long double b = value_of(low + 1, format);
    const long double exact = (a + b) / 2;
    const float middle = static_cast<float>(exact);
    REQUIRE(static_cast<long double>(middle) == exact);
    const uint32_t even = low & 1u ? low + 1 : low;
    const float below = std::nextafter(middle, 0.0f);
    const float above = std::nextafter(middle, std::numeric_limits<float>::infinity());
    wrong += Half(middle).bits != even;
    wrong += Half(below).bits != low;
    wrong += Half(above).bits != low + 1;
    wrong += Half(-middle).bits != (even | 0x8000u);
    wrong += Half(-below).bits != (low | 0x8000u);
    wrong += Half(-above).bits != ((low + 1) | 0x8000u);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("every f16 and bf16 value survives the way to float and back") {
  check_round_trip<f16>(kF16);
  check_round_trip<bf16>(kBf16);
}

TEST_CASE("float rounds to the nearest f16 and bf16, ties to even") {
  check_rounding<f16>(kF16);
  check_rounding<bf16>(kBf16);
}

TEST_CASE("floats beyond the range become infinity, floats below it zero") {
  CHECK(f16(65519.996f).bits == 0x7bff);
  CHECK(f16(65520.0f).bits == 0x7c00);
  CHECK(f16(-1e30f).bits == 0xfc00);
  CHECK(f16(0x1p-26f).bits == 0);
  CHECK(f16(-0x1p-26f).bits == 0x8000);
  CHECK(bf16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(std::isnan(static_cast<float>(f16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace ds
