// SPDX-License-Identifier: Apache-2.0
// Small elementwise steps are joined into one sweep and give the results of one after the other.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "ds/base/parallel.h"
#include "ds/ir/build.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using ds::test::Program;

namespace {

std::vector<float> numbers(size_t n, int seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i)
    values[i] = static_cast<float>((i + 3) * static_cast<size_t>(seed + 7) % 53) / 8;
  return values;
}

}  // namespace

TEST_CASE("updates of many small parameters are one step, in place") {
  constexpr size_t kCount = 40;
  const int threads = num_threads();
  set_num_threads(3);
  Program p;
  const Value rate = p.input({});
  Values updated;
  CompileOptions options;
  std::vector<std::vector<float>> params, grads, want;
  for (size_t k = 0; k < kCount; ++k) {
    const auto n = static_cast<int64_t>(1 + k * 37 % 900);
    const Value param = p.input({n}), grad = p.input({n});
    updated.push_back(p.make(Op::sub_, {param, p.make(Op::mul_, {grad, rate}, {})}, {}));
    options.donations.emplace_back(static_cast<int>(k), static_cast<int>(1 + 2 * k));
    params.push_back(numbers(static_cast<size_t>(n), static_cast<int>(k)));
    grads.push_back(numbers(static_cast<size_t>(n), static_cast<int>(k) + 50));
    want.push_back(params.back());
    for (size_t i = 0; i < want.back().size(); ++i) want.back()[i] -= grads.back()[i] * 0.5f;
  }
  p.compile(updated, options);
  // The products, then the differences.
  CHECK(p.kernels() == std::vector<std::string>{"cpu:batch of 40, first cpu:tiles mul",
                                                "cpu:batch of 40, first cpu:tiles sub"});
  const float half = 0.5f;
  std::vector<const void*> inputs = {&half};
  std::vector<void*> outputs;
  for (size_t k = 0; k < kCount; ++k) {
    inputs.push_back(params[k].data());
    inputs.push_back(grads[k].data());
    outputs.push_back(params[k].data());
  }
  p.run(inputs, outputs);
  CHECK(params == want);
  set_num_threads(threads);
}

TEST_CASE("a step is not joined with one whose result it needs") {
  Program p;
  const Value x = p.input({100}), y = p.input({100}), big = p.input({300, 300});
  const Value a = p.make(Op::exp_, {x}, {}), b = p.make(Op::neg_, {y}, {});
  const Value sum = p.make(Op::add_, {a, b}, {});
  p.compile({sum, p.make(Op::neg_, {big}, {}), p.make(Op::sum_, {sum}, {Shape{0}, false})});
  // The large one depends on none that wait, so it goes first.
  const std::vector<std::string> kernels = {"cpu:tiles neg", "cpu:batch of 2, first cpu:tiles exp",
                                            "cpu:tiles add", "cpu:sum"};
  CHECK(p.kernels() == kernels);
  const auto u = numbers(100, 1), v = numbers(100, 2), large = numbers(90000, 3);
  std::vector<float> got(100), negated(90000);
  float total = 0;
  p.run({u.data(), v.data(), large.data()}, {got.data(), negated.data(), &total});
  double all = 0;
  for (size_t i = 0; i < 100; ++i) {
    CHECK(got[i] == doctest::Approx(std::exp(u[i]) - v[i]));
    all += got[i];
  }
  CHECK(total == doctest::Approx(all));
  for (size_t i = 0; i < 90000; i += 999) CHECK(negated[i] == -large[i]);
}

TEST_CASE("what small steps make of inputs alone is made in one step before the others") {
  Program p;
  const Value x = p.input({300, 300});
  std::vector<Value> w;
  Value y = x;
  for (int k = 0; k < 3; ++k) {
    w.push_back(p.input({300}));
    y = p.make(Op::mul_,
               {y, p.make(Op::expand_, {p.make(Op::exp_, {w.back()}, {})}, {Shape{300, 300}})}, {});
  }
  p.compile({y});
  const std::vector<std::string> kernels = {"cpu:batch of 3, first cpu:tiles exp", "cpu:tiles mul",
                                            "cpu:tiles mul", "cpu:tiles mul"};
  CHECK(p.kernels() == kernels);
  const auto u = numbers(90000, 1), a = numbers(300, 2), b = numbers(300, 3), c = numbers(300, 4);
  std::vector<float> got(90000);
  p.run({u.data(), a.data(), b.data(), c.data()}, {got.data()});
  for (size_t i = 0; i < got.size(); i += 331)
    CHECK(got[i] == doctest::Approx(u[i] * std::exp(a[i % 300]) * std::exp(b[i % 300]) *
                                    std::exp(c[i % 300])));
}

TEST_CASE("an input that another step overwrites is read before") {
  Program p;
  const Value x = p.input({64}), y = p.input({64});
  // Both read x; the first output takes x's memory.
  const Value a = p.make(Op::add_, {x, y}, {}), b = p.make(Op::mul_, {x, y}, {});
  CompileOptions options;
  options.donations = {{0, 0}};
  p.compile({a, b}, options);
  auto u = numbers(64, 1);
  const auto before = u, v = numbers(64, 2);
  std::vector<float> product(64);
  p.run({u.data(), v.data()}, {u.data(), product.data()});
  for (size_t i = 0; i < 64; ++i) {
    CHECK(u[i] == before[i] + v[i]);
    CHECK(product[i] == before[i] * v[i]);
  }
}

TEST_CASE("after an error the other parts of a batch run") {
  Program p;
  const Value x = p.input({64});
  const Value a = p.make(Op::exp_, {x}, {}), b = p.make(Op::neg_, {x}, {});
  p.compile({a, b});
  REQUIRE(p.kernels().size() == 1);
  const auto u = numbers(64, 1);
  std::vector<float> lost(64, -1), negated(64);
  p.run({u.data()}, {lost.data(), negated.data()}, {a.node.get()});
  for (size_t i = 0; i < 64; ++i) {
    CHECK(lost[i] == -1);
    CHECK(negated[i] == -u[i]);
  }
}
