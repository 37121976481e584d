// SPDX-License-Identifier: Apache-2.0
// Tile kernels against the standard library in f64, at every SIMD target.
#include "ds/backends/cpu/kernels/tile.h"

#include <bit>
#include <cstring>
#include <functional>

#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

struct UnaryCase {
  TileOp op;
  double (*oracle)(double);
  double max_ulp;
  /// Only arguments in here are compared.
  double low = -INFINITY, high = INFINITY;
};

/// Special values, a dense linear part and samples over all exponents.
std::vector<float> arguments() {
  std::vector<float> x = {0.0f,  -0.0f,  1,      -1,      kInf,          -kInf, kNan,
                          0.5f,  -0.5f,  2,      100,     -100,          88.8f, -88.8f,
                          1e30f, -1e30f, 1e-45f, -1e-45f, 3.4028235e38f, 1e-40f};
  for (int i = -20000; i <= 20000; ++i) x.push_back(i * 0.001f + 0.00037f);
  for (int i = -5000; i <= 5000; ++i) x.push_back(i * 0.021f);
  for (uint32_t bits = 0x100; bits < 0x7f800000u; bits += 0x1ffff) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-std::bit_cast<float>(bits));
  }
  return x;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double gelu(double x) { return x == -INFINITY ? 0 : 0.5 * x * std::erfc(-x * M_SQRT1_2); }
double gelu_tanh(double x) {
  return x == -INFINITY ? 0 : x * sigmoid(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
}
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

const UnaryCase kUnary[] = {
    {TileOp::copy, [](double x) { return x; }, 0},
    {TileOp::neg, [](double x) { return -x; }, 0},
    {TileOp::abs, [](double x) { return std::fabs(x); }, 0},
    {TileOp::sign, [](double x) { return double((x > 0) - (x < 0)); }, 0},
    {TileOp::exp, [](double x) { return std::exp(x); }, 2},
    {TileOp::exp2, [](double x) { return std::exp2(x); }, 2},
    {TileOp::expm1, [](double x) { return std::expm1(x); }, 4},
    {TileOp::log, [](double x) { return std::log(x); }, 2},
    {TileOp::log2, [](double x) { return std::log2(x); }, 2},
    {TileOp::log10, [](double x) { return std::log10(x); }, 1},
    {TileOp::log1p, [](double x) { return std::log1p(x); }, 3},
    {TileOp::sqrt, [](double x) { return std::sqrt(x); }, 0.5},
    {TileOp::rsqrt, [](double x) { return 1 / std::sqrt(x); }, 2},
    {TileOp::reciprocal, [](double x) { return 1 / x; }, 0.5},
    {TileOp::square, [](double x) { return x * x; }, 0.5},
    {TileOp::sin, [](double x) { return std::sin(x); }, 4},
    {TileOp::cos, [](double x) { return std::cos(x); }, 4},
    {TileOp::tan, [](double x) { return std::tan(x); }, 2},
    {TileOp::asin, [](double x) { return std::asin(x); }, 4},
    {TileOp::acos, [](double x) { return std::acos(x); }, 3},
    {TileOp::atan, [](double x) { return std::atan(x); }, 3},
    {TileOp::sinh, [](double x) { return std::sinh(x); }, 4},
    {TileOp::cosh, [](double x) { return std::cosh(x); }, 3},
    {TileOp::tanh, [](double x) { return std::tanh(x); }, 4},
    {TileOp::asinh, [](double x) { return std::asinh(x); }, 4},
    {TileOp::acosh, [](double x) { return std::acosh(x); }, 4},
    {TileOp::atanh, [](double x) { return std::atanh(x); }, 4},
    {TileOp::erf, [](double x) { return std::erf(x); }, 3},
    {TileOp::erfc, [](double x) { return std::erfc(x); }, 4},
    {TileOp::lgamma, [](double x) { return std::lgamma(x); }, 1},
    {TileOp::sigmoid, sigmoid, 4},
    {TileOp::relu, [](double x) { return x > 0 || x != x ? x : 0; }, 0},
    {TileOp::gelu, gelu, 5, -12.5, INFINITY},
    {TileOp::gelu_tanh, gelu_tanh, 16, -3, INFINITY},
    {TileOp::silu, [](double x) { return x == -INFINITY ? -0.0 : x * sigmoid(x); }, 4, -87,
     INFINITY},
    {TileOp::softplus, softplus, 3},
    {TileOp::floor, [](double x) { return std::floor(x); }, 0},
    {TileOp::ceil, [](double x) { return std::ceil(x); }, 0},
    {TileOp::round, [](double x) { return std::nearbyint(x); }, 0},
    {TileOp::trunc, [](double x) { return std::trunc(x); }, 0},
    {TileOp::isnan, [](double x) { return double(x != x); }, 0},
    {TileOp::isinf, [](double x) { return double(std::isinf(x)); }, 0},
    {TileOp::isfinite, [](double x) { return double(std::isfinite(x)); }, 0},
    {TileOp::logical_not, [](double x) { return double(x == 0); }, 0},
    {TileOp::to_bool, [](double x) { return double(x != 0); }, 0},
    {TileOp::round_f16, [](double x) { return double(float(f16(float(x)))); }, 0},
    {TileOp::round_bf16, [](double x) { return double(float(bf16(float(x)))); }, 0},
};

double torch_remainder(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}

struct BinaryCase {
  TileOp op;
  double (*oracle)(double, double);
  double max_ulp;
};
const BinaryCase kBinary[] = {
    {TileOp::add, [](double a, double b) { return a + b; }, 0.5},
    {TileOp::sub, [](double a, double b) { return a - b; }, 0.5},
    {TileOp::mul, [](double a, double b) { return a * b; }, 0.5},
    {TileOp::div, [](double a, double b) { return a / b; }, 0.5},
    {TileOp::pow, [](double a, double b) { return std::pow(a, b); }, 1},
    {TileOp::maximum, [](double a, double b) { return a != a || a > b ? a : b; }, 0},
    {TileOp::minimum, [](double a, double b) { return a != a || a < b ? a : b; }, 0},
    {TileOp::fmod, [](double a, double b) { return std::fmod(a, b); }, 0},
    {TileOp::remainder, torch_remainder, 1},
    {TileOp::atan2, [](double a, double b) { return std::atan2(a, b); }, 2},
    {TileOp::copysign, [](double a, double b) { return std::copysign(a, b); }, 0},
    {TileOp::nextafter,
     [](double a, double b) { return double(std::nextafterf(float(a), float(b))); }, 0},
    {TileOp::eq, [](double a, double b) { return double(a == b); }, 0},
    {TileOp::ne, [](double a, double b) { return double(a != b); }, 0},
    {TileOp::lt, [](double a, double b) { return double(a < b); }, 0},
    {TileOp::le, [](double a, double b) { return double(a <= b); }, 0},
    {TileOp::gt, [](double a, double b) { return double(a > b); }, 0},
    {TileOp::ge, [](double a, double b) { return double(a >= b); }, 0},
    {TileOp::logical_and, [](double a, double b) { return double(a != 0 && b != 0); }, 0},
    {TileOp::logical_or, [](double a, double b) { return double(a != 0 || b != 0); }, 0},
    {TileOp::logical_xor, [](double a, double b) { return double((a != 0) != (b != 0)); }, 0},
};

}  // namespace

TEST_CASE("unary tile ops stay within their ULP bounds on the whole range") {
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  for_each_target([&] {
    for (const UnaryCase& c : kUnary) {
      tile_unary(c.op, x.data(), y.data(), x.size());
      double worst = 0;
      float at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        if (x[i] < c.low || x[i] > c.high) continue;
        const double error = ulp_error(y[i], c.oracle(x[i]));
        if (error > worst) worst = error, at = x[i];
      }
      CHECK_MESSAGE(worst <= c.max_ulp, tile_name(c.op), " is off by ", worst, " ULP at ", at);
    }
  });
}

TEST_CASE("zeros keep their sign where the standard says so") {
  for_each_target([&] {
    for (TileOp op : {TileOp::neg, TileOp::sqrt, TileOp::sin, TileOp::tan, TileOp::asin,
                      TileOp::atan, TileOp::sinh, TileOp::tanh, TileOp::asinh, TileOp::atanh,
                      TileOp::erf, TileOp::expm1, TileOp::log1p, TileOp::trunc, TileOp::round}) {
      const float x[] = {-0.0f, 0.0f};
      float y[2];
      tile_unary(op, x, y, 2);
      const bool flip = op == TileOp::neg;
      CHECK_MESSAGE(std::signbit(y[0]) == !flip, tile_name(op));
      CHECK_MESSAGE(std::signbit(y[1]) == flip, tile_name(op));
    }
  });
}

TEST_CASE("exact results where one expects them") {
  for_each_target([&] {
    std::vector<float> x, y(300);
    for (int e = -149; e < 128; ++e) x.push_back(std::ldexp(1.0f, e));
    tile_unary(TileOp::log2, x.data(), y.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) CHECK(y[i] == static_cast<float>(i) - 149);
    const float powers[] = {1, 10, 100, 1000, 1e6f, 1e10f};
    tile_unary(TileOp::log10, powers, y.data(), 6);
    for (int i = 0; i < 6; ++i) CHECK(y[i] == std::log10(powers[i]));
  });
}

TEST_CASE("special functions against identities") {
  const std::vector<float> x = random_floats(500, 3, -0.999f, 0.999f);
  std::vector<float> y(x.size());
  tile_unary(TileOp::erfinv, x.data(), y.data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) CHECK(std::erf(double(y[i])) == doctest::Approx(x[i]));
  const float points[] = {1, 0.5f, -0.5f, 10, 0.25f, kInf};
  float psi[6], psi1[6];
  tile_unary(TileOp::digamma, points, psi, 5);
  tile_unary(TileOp::trigamma, points, psi1, 5);
  const double euler = 0.57721566490153286;
  CHECK(psi[0] == doctest::Approx(-euler));
  CHECK(psi[1] == doctest::Approx(-euler - 2 * std::log(2.0)));
  CHECK(psi[2] == doctest::Approx(psi[1] + 2));
  CHECK(psi[3] == doctest::Approx(2.2517525890667211));
  CHECK(psi[4] == doctest::Approx(-euler - M_PI / 2 - 3 * std::log(2.0)));
  CHECK(psi1[0] == doctest::Approx(M_PI * M_PI / 6));
  CHECK(psi1[1] == doctest::Approx(M_PI * M_PI / 2));
  CHECK(psi1[2] == doctest::Approx(M_PI * M_PI / 2 + 4));
}

TEST_CASE("binary tile ops against the standard library, special values crossed") {
  std::vector<float> a, b;
  const float special[] = {0.0f, -0.0f, 1, -1, kInf, -kInf, kNan, 2, -3, 0.5f, 1e30f, -1e30f, 3};
  for (float p : special) {
    for (float q : special) a.push_back(p), b.push_back(q);
  }
  const std::vector<float> x = random_floats(4001, 1, -9, 9), y = random_floats(4001, 2, -9, 9);
  a.insert(a.end(), x.begin(), x.end());
  b.insert(b.end(), y.begin(), y.end());
  for (float p : random_floats(999, 4, 0, 50)) a.push_back(p), b.push_back(p - 25);
  std::vector<float> out(a.size());
  for_each_target([&] {
    for (const BinaryCase& c : kBinary) {
      tile_binary(c.op, a.data(), b.data(), out.data(), a.size());
      double worst = 0;
      size_t at = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        const double error = ulp_error(out[i], c.oracle(a[i], b[i]));
        if (error > worst) worst = error, at = i;
      }
      CHECK_MESSAGE(worst <= c.max_ulp, tile_name(c.op), " is off by ", worst, " ULP at (", a[at],
                    ", ", b[at], "): ", out[at]);
    }
  });
}

TEST_CASE("division with rounding") {
  const float a[] = {7, -7, 7, -7, 1, -1, 5};
  const float b[] = {2, 2, -2, -2, 0.1f, kInf, 0};
  const float floor_want[] = {3, -4, -4, 3, 9, -1, kInf};  // 0.1f is above 1/10
  const float trunc_want[] = {3, -3, -3, 3, 10, -0.0f, kInf};
  float out[7];
  tile_binary(TileOp::floor_divide, a, b, out, 7);
  for (int i = 0; i < 7; ++i) CHECK(out[i] == floor_want[i]);
  tile_binary(TileOp::trunc_divide, a, b, out, 7);
  for (int i = 0; i < 7; ++i) CHECK(out[i] == trunc_want[i]);
}

TEST_CASE("ternary ops, tails of every length, splat operands, in place") {
  for_each_target([&] {
    for (size_t n : {0, 1, 7, 8, 17, 64, 1023}) {
      const std::vector<float> a = random_floats(n + 16, 1), b = random_floats(n + 16, 2),
                               c = random_floats(n + 16, 3);
      for (unsigned splat = 0; splat < 8; ++splat) {
        const std::vector<float> one(kSplatSize, 0.75f), two(kSplatSize, -1.25f),
            three(kSplatSize, 1.5f);
        const float* pa = splat & 1 ? one.data() : a.data();
        const float* pb = splat & 2 ? two.data() : b.data();
        const float* pc = splat & 4 ? three.data() : c.data();
        std::vector<float> fma(n + 1, 42), add(n + 1, 42), where(n + 1, 42), clamp(n + 1, 42);
        tile_fn(TileOp::fma)(pa, pb, pc, fma.data(), n, splat);
        tile_fn(TileOp::add)(pa, pb, nullptr, add.data(), n, splat & 3);
        tile_fn(TileOp::where)(pa, pb, pc, where.data(), n, splat);
        tile_fn(TileOp::clamp)(pa, pb, pc, clamp.data(), n, splat);
        for (size_t i = 0; i < n; ++i) {
          const float x = splat & 1 ? 0.75f : a[i], y = splat & 2 ? -1.25f : b[i],
                      z = splat & 4 ? 1.5f : c[i];
          CHECK(fma[i] == doctest::Approx(x * y + z).epsilon(1e-5));
          CHECK(add[i] == x + y);
          CHECK(where[i] == (x != 0 ? y : z));
          CHECK(clamp[i] == std::min(std::max(x, y), z));
        }
        CHECK(fma[n] == 42);
        CHECK(add[n] == 42);
        CHECK(where[n] == 42);
      }
      std::vector<float> in_place = a;
      tile_binary(TileOp::mul, in_place.data(), in_place.data(), in_place.data(), n);
      for (size_t i = 0; i < n; ++i) CHECK(in_place[i] == a[i] * a[i]);
      CHECK(in_place[n] == a[n]);
    }
  });
}

namespace {

template <class T>
void check_io(int64_t stride, size_t n) {
  CAPTURE(dtype_name(kDTypeOf<T>));
  std::vector<T> memory(4 * n + 4);
  for (size_t i = 0; i < memory.size(); ++i) {
    memory[i] = static_cast<T>(static_cast<float>((i * 37) % 120));
  }
  const int64_t origin = stride < 0 ? static_cast<int64_t>(2 * n) : 0;
  std::vector<float> tile(n + 1, 42);
  tile_load(kDTypeOf<T>, memory.data() + origin, stride, tile.data(), n);
  bool good = tile[n] == 42;
  for (size_t i = 0; i < n; ++i) {
    good &= tile[i] == static_cast<float>(memory[origin + static_cast<int64_t>(i) * stride]);
  }
  CHECK(good);
  if (stride == 0) return;
  std::vector<T> copy(memory.size()), want(memory.size());
  tile_store(kDTypeOf<T>, tile.data(), copy.data() + origin, stride, n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t at = origin + static_cast<int64_t>(i) * stride;
    want[at] = memory[at];
  }
  CHECK(std::memcmp(copy.data(), want.data(), want.size() * sizeof(T)) == 0);
}

}  // namespace

TEST_CASE("loads and stores of every dtype, any stride") {
  for_each_target([&] {
    for (int64_t stride : {1, 0, 3, -2}) {
      for (size_t n : {0, 1, 7, 17, 1001}) {
        check_io<double>(stride, n);
        check_io<float>(stride, n);
        check_io<f16>(stride, n);
        check_io<bf16>(stride, n);
        check_io<int64_t>(stride, n);
        check_io<int32_t>(stride, n);
        check_io<int16_t>(stride, n);
        check_io<int8_t>(stride, n);
        check_io<uint8_t>(stride, n);
      }
    }
  });
}

TEST_CASE("every 16-bit pattern survives, every rounding is to nearest even") {
  for_each_target([&] {
    std::vector<uint16_t> bits(65536);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    std::vector<float> wide(65536);
    bool good = true;
    tile_load(DType::f16, bits.data(), 1, wide.data(), wide.size());
    for (size_t i = 0; i < wide.size(); ++i) {
      const float want = static_cast<float>(std::bit_cast<f16>(bits[i]));
      good &= std::bit_cast<uint32_t>(want) == std::bit_cast<uint32_t>(wide[i]) || want != want;
    }
    CHECK(good);
    std::vector<float> values = {65504, 65519.99f, 65520, -65520, 1e-8f, 2.9802322e-8f, 2.99e-8f};
    for (uint32_t u = 0; u < 0xff000000u; u += 60013) values.push_back(std::bit_cast<float>(u));
    std::vector<uint16_t> f16s(values.size()), bf16s(values.size());
    tile_store(DType::f16, values.data(), f16s.data(), 1, values.size());
    tile_store(DType::bf16, values.data(), bf16s.data(), 1, values.size());
    good = true;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] != values[i]) {
        good &= std::isnan(static_cast<float>(std::bit_cast<f16>(f16s[i]))) &&
                std::isnan(static_cast<float>(std::bit_cast<bf16>(bf16s[i])));
      } else {
        good &= f16s[i] == f16(values[i]).bits && bf16s[i] == bf16(values[i]).bits;
      }
    }
    CHECK(good);
  });
}

TEST_CASE("bools and out of range integers") {
  for_each_target([&] {
    std::vector<uint8_t> bytes(37);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i % 3 * 100);
    float tile[37];
    tile_load(DType::bool_, bytes.data(), 1, tile, 37);
    for (int i = 0; i < 37; ++i) CHECK(tile[i] == (i % 3 != 0));
    tile[0] = kNan, tile[1] = -0.0f, tile[2] = 1e-30f;
    tile_store(DType::bool_, tile, bytes.data(), 1, 37);
    CHECK(bytes[0] == 1);
    CHECK(bytes[1] == 0);
    CHECK(bytes[2] == 1);
    for (int i = 3; i < 37; ++i) CHECK(bytes[i] == (i % 3 != 0));
    const float values[] = {kNan, kInf, -kInf, 1e19f, -2.7f, 300.5f};
    int64_t wide[6];
    tile_store(DType::i64, values, wide, 1, 6);
    CHECK(wide[0] == 0);
    CHECK(wide[1] == INT64_MAX);
    CHECK(wide[2] == INT64_MIN);
    CHECK(wide[3] == INT64_MAX);
    CHECK(wide[4] == -2);
    uint8_t narrow[6];
    tile_store(DType::u8, values, narrow, 1, 6);
    CHECK(narrow[4] == 254);
    CHECK(narrow[5] == 44);
  });
}
