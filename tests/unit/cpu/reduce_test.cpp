// SPDX-License-Identifier: Apache-2.0
// Reductions against long double loops.
#include "ds/backends/cpu/kernels/reduce.h"

#include <cstring>

#include "ds/base/parallel.h"
#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

struct Dims {
  int64_t outer, n, inner;
};

long double oracle(ReduceOp op, const std::vector<float>& x, Dims d, int64_t o, int64_t c) {
  long double sum = 0, squares = 0, product = 1, max = -HUGE_VALL, min = HUGE_VALL;
  bool any = false, all = true, nan = false;
  for (int64_t i = 0; i < d.n; ++i) {
    const long double v = x[(o * d.n + i) * d.inner + c];
    sum += v, squares += v * v, product *= v;
    max = std::max(max, v), min = std::min(min, v);
    any |= v != 0, all &= v != 0, nan |= v != v;
  }
  switch (op) {
    case ReduceOp::sum: return sum;
    case ReduceOp::mean: return sum / d.n;
    case ReduceOp::prod: return product;
    case ReduceOp::max: return nan ? NAN : max;
    case ReduceOp::min: return nan ? NAN : min;
    case ReduceOp::any: return any;
    case ReduceOp::all: return all;
    case ReduceOp::sum_squares: return squares;
    case ReduceOp::logsumexp: break;
  }
  if (nan) return NAN;
  if (std::isinf(max)) return max;
  long double total = 0;
  for (int64_t i = 0; i < d.n; ++i) total += std::exp(x[(o * d.n + i) * d.inner + c] - max);
  return max + std::log(total);
}

const ReduceOp kAll[] = {ReduceOp::sum, ReduceOp::mean,        ReduceOp::prod,
                         ReduceOp::max, ReduceOp::min,         ReduceOp::any,
                         ReduceOp::all, ReduceOp::sum_squares, ReduceOp::logsumexp};

void check(const std::vector<float>& x, Dims d, double tolerance) {
  CAPTURE(d.outer);
  CAPTURE(d.n);
  CAPTURE(d.inner);
  for (ReduceOp op : kAll) {
    std::vector<float> got(d.outer * d.inner, 42);
    reduce(op, DType::f32, x.data(), d.outer, d.n, d.inner, DType::f32, got.data());
    std::vector<long double> want;
    for (int64_t o = 0; o < d.outer; ++o) {
      for (int64_t c = 0; c < d.inner; ++c) want.push_back(oracle(op, x, d, o, c));
    }
    CHECK_MESSAGE(max_error(got, want) <= tolerance, "op ", static_cast<int>(op));
  }
}

}  // namespace

TEST_CASE("every reduction, rows and columns of odd sizes") {
  const Dims shapes[] = {{1, 1, 1},     {3, 0, 1},     {3, 0, 5},    {5, 7, 1},    {2, 17, 1},
                         {1, 5000, 1},  {40, 1025, 1}, {3, 7, 5},    {2, 100, 3},  {1, 333, 64},
                         {2, 65, 1500}, {1, 3000, 17}, {4, 2, 1024}, {1, 70000, 2}};
  for_each_target([&] {
    for (Dims d : shapes) {
      check(random_floats(d.outer * d.n * d.inner, 1, -1.2f, 1.2f), d, 3e-7 * 40);
    }
  });
}

TEST_CASE("special values") {
  for_each_target([&] {
    for (float special : {kNan, kInf, -kInf, 0.0f}) {
      for (Dims d : {Dims{3, 37, 1}, Dims{2, 37, 11}, Dims{1, 3000, 1}, Dims{1, 700, 3},
                     Dims{1, 260, 520}}) {
        std::vector<float> x = random_floats(d.outer * d.n * d.inner, 1, 0.5f, 1);
        for (size_t i = 5; i < x.size(); i += 29) x[i] = special;
        if (special == kInf) x[7] = kNan;
        check(x, d, 1e-5);
      }
    }
    const std::vector<float> lowest(10, -kInf);
    check(lowest, {1, 10, 1}, 0);
    check(lowest, {1, 5, 2}, 0);
    const std::vector<float> large = {1000, 1000, -1000, 1000.5f};
    check(large, {1, 4, 1}, 1e-6);
    check(large, {1, 2, 2}, 1e-6);
  });
}

TEST_CASE("sums of a million keep f64 quality and do not depend on the thread count") {
  const int64_t n = 1000003;
  std::vector<float> x = random_floats(n, 7, 0, 1);
  for (Dims d : {Dims{1, n, 1}, Dims{1, n / 7, 7}, Dims{1, n / 100, 100}}) {
    for (ReduceOp op : {ReduceOp::sum, ReduceOp::sum_squares, ReduceOp::logsumexp}) {
      std::vector<float> got(d.inner), again(d.inner);
      reduce(op, DType::f32, x.data(), d.outer, d.n, d.inner, DType::f32, got.data());
      for (int64_t c = 0; c < d.inner; ++c) {
        const double want = static_cast<double>(oracle(op, x, d, 0, c));
        CHECK(std::fabs(got[c] - want) <= 4e-7 * std::fabs(want));
      }
      const int threads = num_threads();
      set_num_threads(1);
      reduce(op, DType::f32, x.data(), d.outer, d.n, d.inner, DType::f32, again.data());
      set_num_threads(threads);
      CHECK(std::memcmp(got.data(), again.data(), got.size() * 4) == 0);
    }
  }
}

TEST_CASE("16-bit and bool sources and results") {
  for_each_target([&] {
    const Dims d = {3, 1100, 5};
    const std::vector<float> x = random_floats(d.outer * d.n * d.inner, 3);
    const std::vector<bf16> b = as<bf16>(x);
    const std::vector<f16> h = as<f16>(x);
    const std::vector<float> rounded_b = floats(b), rounded_h = floats(h);
    std::vector<f16> sums(15);
    std::vector<bf16> means(15);
    reduce(ReduceOp::sum, DType::f16, h.data(), 3, 1100, 5, DType::f16, sums.data());
    reduce(ReduceOp::mean, DType::bf16, b.data(), 3, 1100, 5, DType::bf16, means.data());
    for (int64_t i = 0; i < 15; ++i) {
      const float sum = oracle(ReduceOp::sum, rounded_h, d, i / 5, i % 5);
      const float mean = oracle(ReduceOp::mean, rounded_b, d, i / 5, i % 5);
      CHECK(static_cast<float>(sums[i]) == doctest::Approx(sum).epsilon(1e-3));
      CHECK(static_cast<float>(means[i]) == doctest::Approx(mean).epsilon(1e-2));
    }
    std::vector<uint8_t> flags(40, 0), out(4);
    flags[13] = 1;
    for (int i = 20; i < 30; ++i) flags[i] = 1;
    reduce(ReduceOp::any, DType::bool_, flags.data(), 4, 10, 1, DType::bool_, out.data());
    CHECK(out == std::vector<uint8_t>{0, 1, 1, 0});
    reduce(ReduceOp::all, DType::bool_, flags.data(), 4, 10, 1, DType::bool_, out.data());
    CHECK(out == std::vector<uint8_t>{0, 0, 1, 0});
  });
}

TEST_CASE("mean and variance, also far from zero") {
  for_each_target([&] {
    for (Dims d : {Dims{4, 1, 1}, Dims{3, 17, 1}, Dims{2, 5003, 1}, Dims{2, 40, 6},
                   Dims{1, 3000, 70}, Dims{1, 200000, 1}}) {
      for (float centre : {0.0f, 10000.0f}) {
        std::vector<float> x = random_floats(d.outer * d.n * d.inner, 1);
        for (float& v : x) v += centre;
        const int64_t count = d.outer * d.inner;
        std::vector<float> mean(count), var(count);
        reduce_mean_var(DType::f32, x.data(), d.outer, d.n, d.inner, 0, mean.data(), var.data());
        for (int64_t i = 0; i < count; ++i) {
          long double sum = 0, squares = 0;
          const auto at = [&](int64_t r) {
            return static_cast<long double>(x[(i / d.inner * d.n + r) * d.inner + i % d.inner]);
          };
          for (int64_t r = 0; r < d.n; ++r) sum += at(r);
          for (int64_t r = 0; r < d.n; ++r) squares += (at(r) - sum / d.n) * (at(r) - sum / d.n);
          CHECK(mean[i] == doctest::Approx(double(sum / d.n)).epsilon(1e-6));
          CHECK(var[i] == doctest::Approx(double(squares / d.n)).epsilon(1e-5));
        }
      }
    }
  });
  const float x[] = {1, 2, 3, 4, 5};
  float mean, var;
  reduce_mean_var(DType::f32, x, 1, 5, 1, 1, &mean, &var);
  CHECK(var == 2.5f);
  reduce_mean_var(DType::f32, x, 1, 1, 1, 1, &mean, &var);
  CHECK(std::isnan(var));
}

TEST_CASE("argmax and argmin take the first, NaN before all") {
  for_each_target([&] {
    for (Dims d :
         {Dims{1, 1, 1}, Dims{5, 7, 1}, Dims{3, 5000, 1}, Dims{2, 9, 5}, Dims{2, 33, 1030}}) {
      for (bool nan : {false, true}) {
        std::vector<float> x = random_floats(d.outer * d.n * d.inner, 1);
        for (float& v : x) v = std::round(v * 3);  // many ties
        if (nan) {
          for (size_t i = 3; i < x.size(); i += 61) x[i] = kNan;
        }
        for (bool min : {false, true}) {
          std::vector<int64_t> got(d.outer * d.inner, -1);
          arg_reduce(min, DType::f32, x.data(), d.outer, d.n, d.inner, got.data());
          for (int64_t i = 0; i < d.outer * d.inner; ++i) {
            int64_t best = 0;
            const auto at = [&](int64_t r) {
              return x[(i / d.inner * d.n + r) * d.inner + i % d.inner];
            };
            for (int64_t r = 1; r < d.n; ++r) {
              if (std::isnan(at(best))) break;
              if (std::isnan(at(r)) || (min ? at(r) < at(best) : at(r) > at(best))) best = r;
            }
            CHECK(got[i] == best);
          }
        }
      }
    }
  });
}
