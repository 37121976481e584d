// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels: values known in closed form, broadcasting, integers, special values.
#include <limits>

#include "ds/base/error.h"
#include "testing.h"

namespace ds::ref {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

double unary(Op op, double x) { return run(op, {f64s({}, {x})})[0]; }
double binary(Op op, double a, double b) { return run(op, {f64s({}, {a}), f64s({}, {b})})[0]; }
double integer(Op op, double a, double b, DType dtype = DType::i64) {
  return run(op, {array(dtype, {}, {a}), array(dtype, {}, {b})})[0];
}

TEST_CASE("every op but input and markers has a kernel") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    CAPTURE(op_name(op));
    const bool none = op == Op::input_ || op_info(op).op_class == OpClass::marker;
    CHECK((kernel_for(op) == nullptr) == none);
  }
}

TEST_CASE("special functions match tables") {
  // Abramowitz and Stegun, and mpmath for the tails.
  CHECK(unary(Op::digamma_, 1) == doctest::Approx(-0.57721566490153286).epsilon(1e-15));
  CHECK(unary(Op::digamma_, 0.5) == doctest::Approx(-1.9635100260214235).epsilon(1e-15));
  CHECK(unary(Op::digamma_, -0.5) == doctest::Approx(0.03648997397857652).epsilon(1e-13));
  CHECK(unary(Op::digamma_, 10) == doctest::Approx(2.2517525890667211).epsilon(1e-15));
  CHECK(unary(Op::digamma_, 0.0) == -kInf);
  CHECK(std::isnan(unary(Op::digamma_, -3)));
  CHECK(unary(Op::trigamma_, 1) == doctest::Approx(1.6449340668482264).epsilon(1e-14));
  CHECK(unary(Op::trigamma_, 0.5) == doctest::Approx(4.9348022005446793).epsilon(1e-14));
  CHECK(unary(Op::trigamma_, -0.5) == doctest::Approx(8.9348022005446793).epsilon(1e-14));
  CHECK(unary(Op::lgamma_, 0.5) == doctest::Approx(0.57236494292470009).epsilon(1e-15));
  CHECK(unary(Op::erfinv_, 0.5) == doctest::Approx(0.47693627620446987).epsilon(1e-15));
  CHECK(unary(Op::erfinv_, 1) == kInf);
  CHECK(std::isnan(unary(Op::erfinv_, 1.5)));
}

TEST_CASE("erfinv inverts erf over its whole range") {
  for (double y = -5; y <= 5; y += 0.125) {
    const double x = std::erf(y);
    // Near 1 the argument itself carries no more digits.
    const double slope = 2 / std::sqrt(3.141592653589793) * std::exp(-y * y);
    CHECK(std::fabs(unary(Op::erfinv_, x) - y) <= 4e-16 * (4 + std::fabs(y)) + 2e-16 / slope);
  }
}

TEST_CASE("activations at points where their formulas overflow") {
  CHECK(unary(Op::sigmoid_, -1000) == 0);
  CHECK(unary(Op::sigmoid_, 1000) == 1);
  CHECK(unary(Op::softplus_, 1000) == 1000);
  CHECK(unary(Op::softplus_, -1000) == 0);
  CHECK(unary(Op::gelu_, -40) == 0);
  CHECK(unary(Op::gelu_, 1) == doctest::Approx(0.8413447460685429).epsilon(1e-15));
  CHECK(std::isnan(unary(Op::relu_, kNan)));
  CHECK(unary(Op::sign_, kNan) == 0);
  CHECK(unary(Op::round_, 2.5) == 2);
  CHECK(unary(Op::round_, -3.5) == -4);
}

TEST_CASE("binary ops broadcast") {
  const List out = run(Op::add_, {f32s({2, 1, 3}, {1, 2, 3, 4, 5, 6}), f32s({2, 1}, {10, 20})});
  CHECK(out == List{11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26});
  const List tall = run(Op::sub_, {f32s({}, {1}), f32s({4}, {1, 2, 3, 4})});
  CHECK(tall == List{0, -1, -2, -3});
  CHECK(run(Op::mul_, {f32s({0, 3}, {}), f32s({3}, {1, 2, 3})}).empty());
}

TEST_CASE("long broadcast rows cross tiles") {
  const Shape shape{3, 1000};
  const List out = run(Op::add_, {ramp(shape), ramp({1000}, 0, 1000)});
  for (size_t i = 0; i < out.size(); ++i)
    REQUIRE(out[i] == static_cast<double>(i) + 1000.0 * static_cast<double>(i % 1000));
}

TEST_CASE("division and remainders follow PyTorch's signs") {
  CHECK(binary(Op::fmod_, -7, 3) == -1);
  CHECK(binary(Op::remainder_, -7, 3) == 2);
  CHECK(binary(Op::remainder_, 7, -3) == -2);
  CHECK(binary(Op::floor_divide_, -7, 3) == -3);
  CHECK(binary(Op::floor_divide_, 1, 0.1) == 9);  // 0.1 is a little more than a tenth
  CHECK(binary(Op::floor_divide_, 1, 0) == kInf);
  CHECK(binary(Op::trunc_divide_, -7, 2) == -3);
  CHECK(integer(Op::fmod_, -7, 3) == -1);
  CHECK(integer(Op::remainder_, -7, 3) == 2);
  CHECK(integer(Op::floor_divide_, -7, 3) == -3);
  CHECK(integer(Op::trunc_divide_, -7, 3) == -2);
  CHECK_THROWS_WITH_AS(integer(Op::remainder_, 1, 0), "remainder: integer division by zero",
                       ValueError);
}

TEST_CASE("the smallest integer divided by -1 wraps") {
  const double smallest = -0x1p63;
  CHECK(integer(Op::floor_divide_, smallest, -1) == smallest);
  CHECK(integer(Op::trunc_divide_, smallest, -1) == smallest);
  CHECK(integer(Op::fmod_, smallest, -1) == 0);
}

TEST_CASE("integers wrap around in their own width") {
  CHECK(integer(Op::add_, 100, 100, DType::i8) == -56);
  CHECK(integer(Op::mul_, 200, 2, DType::u8) == 144);
  CHECK(integer(Op::sub_, 1, 2, DType::u8) == 255);
  CHECK(integer(Op::pow_, 3, 4, DType::i32) == 81);
  CHECK(integer(Op::pow_, 2, -1, DType::i32) == 0);
  CHECK(integer(Op::pow_, -1, -3, DType::i32) == -1);
  CHECK(integer(Op::left_shift_, 1, 31, DType::i32) == -0x1p31);
  CHECK(integer(Op::left_shift_, 1, 32, DType::i32) == 0);
  CHECK(integer(Op::right_shift_, -8, 1, DType::i32) == -4);
  CHECK(integer(Op::right_shift_, -8, 40, DType::i32) == -1);
}

TEST_CASE("bool arithmetic is logic") {
  const Array a = bools({4}, {0, 0, 1, 1}), b = bools({4}, {0, 1, 0, 1});
  CHECK(run(Op::add_, {a, b}) == List{0, 1, 1, 1});
  CHECK(run(Op::mul_, {a, b}) == List{0, 0, 0, 1});
  CHECK(run(Op::bitwise_not_, {a}) == List{1, 1, 0, 0});
  CHECK(run(Op::bitwise_xor_, {a, b}) == List{0, 1, 1, 0});
  CHECK(run(Op::logical_not_, {f32s({3}, {0, 2, kNan})}) == List{1, 0, 0});
}

TEST_CASE("NaN wins maximum and minimum") {
  CHECK(std::isnan(binary(Op::maximum_, kNan, 1)));
  CHECK(std::isnan(binary(Op::maximum_, 1, kNan)));
  CHECK(std::isnan(binary(Op::minimum_, 1, kNan)));
  CHECK(binary(Op::maximum_, 1, 2) == 2);
  CHECK(binary(Op::eq_, kNan, kNan) == 0);
  CHECK(binary(Op::ne_, kNan, kNan) == 1);
}

TEST_CASE("16-bit results are rounded once") {
  // 1 + 2^-11 + 2^-40 is above the middle of two f16 numbers; through f32 it would fall on it and
  // round to even, down.
  const Array x = f64s({1}, {1 + 0x1p-11 + 0x1p-40});
  CHECK(run(Op::cast_, {x}, {DType::f16})[0] == 1 + 0x1p-10);
  const Array y = f64s({1}, {-1 - 0x1p-8 + 0x1p-40});
  CHECK(run(Op::cast_, {y}, {DType::bf16})[0] == -1);
  CHECK(run(Op::cast_, {f64s({3}, {1e300, 65519, 65520})}, {DType::f16}) ==
        List{kInf, 65504, kInf});
}

TEST_CASE("casts to integers truncate and wrap") {
  const Array x = f32s({4}, {-1.9, 300.7, kNan, 2});
  CHECK(run(Op::cast_, {x}, {DType::i32}) == List{-1, 300, 0, 2});
  CHECK(run(Op::cast_, {x}, {DType::u8}) == List{255, 44, 0, 2});
  CHECK(run(Op::cast_, {x}, {DType::bool_}) == List{1, 1, 1, 1});
  CHECK(run(Op::cast_, {i64s({1}, {0x1p53})}, {DType::f32})[0] == 0x1p53);
}

TEST_CASE("nextafter steps in the dtype") {
  CHECK(run(Op::nextafter_, {f32s({}, {1}), f32s({}, {2})})[0] == 1 + 0x1p-23);
  const auto half = [](DType dtype, double a, double b) {
    return run(Op::nextafter_, {array(dtype, {}, {a}), array(dtype, {}, {b})})[0];
  };
  CHECK(half(DType::bf16, 1, 2) == 1 + 0x1p-7);
  CHECK(half(DType::f16, -1, 0) == -1 + 0x1p-11);
  CHECK(half(DType::f16, 0, -1) == -0x1p-24);
}

TEST_CASE("where picks by element and keeps bits") {
  const List out = run(Op::where_, {bools({2, 1}, {1, 0}), f32s({3}, {1, 2, 3}), f32s({}, {-0.0})});
  CHECK(out == List{1, 2, 3, 0, 0, 0});
  CHECK(std::signbit(out[3]));
}

TEST_CASE("sources") {
  CHECK(run(Op::constant_, {}, {0.5, DType::bf16}) == List{0.5});
  const Array big = run_all(Op::constant_int_, {}, {int64_t{9007199254740993}, DType::i64})[0];
  CHECK(big.data<int64_t>()[0] == 9007199254740993);
  CHECK(run(Op::iota_, {}, {int64_t{4}, DType::i32}) == List{0, 1, 2, 3});
}

}  // namespace
}  // namespace ds::ref
