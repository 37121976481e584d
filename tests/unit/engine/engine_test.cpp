// SPDX-License-Identifier: Apache-2.0
// The engine through tensors: queueing, plans, errors, donation.
#include "ds/engine/engine.h"

#include <doctest/doctest.h>

#include <numeric>

#include "ds/base/error.h"
#include "ds/runtime/backend.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds {
namespace {

Tensor numbers(std::vector<float> values) {
  return Tensor::from_host(values.data(), {DType::f32, {static_cast<int64_t>(values.size())}});
}
Tensor index_of(int64_t value) { return Tensor::from_host(&value, {DType::i64, {1}}); }
using Floats = std::vector<float>;

/// Fails when it runs: the type rule cannot know the index.
Tensor bad(const Tensor& x) { return index_select(x, 0, index_of(99)); }

}  // namespace

TEST_CASE("steps queue up in order and a loop that never waits stays exact") {
  Tensor x = numbers({1, 2, 3});
  x.to_vector<float>();
  const uint64_t plans = engine_stats().plans;
  for (int i = 0; i < 200; ++i) {
    assign(x, x * 0.5 + 1.0);
    x.evaluate();
  }
  Floats want = {1, 2, 3};
  for (int i = 0; i < 200; ++i)
    for (float& v : want) v = v * 0.5f + 1;
  CHECK(x.to_vector<float>() == want);
  CHECK(engine_stats().plans - plans <= 2);
  synchronize();
}

TEST_CASE("a number that changes costs one more plan, not one for each value") {
  const Tensor x = numbers({1, 2});
  const uint64_t plans = engine_stats().plans;
  for (int i = 0; i < 30; ++i)
    CHECK((x * (i + 0.5)).to_vector<float>() == Floats{i + 0.5f, 2 * i + 1.0f});
  CHECK(engine_stats().plans - plans <= 2);
}

TEST_CASE("more shapes than the cache holds are planned again and stay right") {
  for (int round = 0; round < 2; ++round)
    for (int64_t n = 1; n <= 150; ++n) {
      Floats values(static_cast<size_t>(n));
      std::iota(values.begin(), values.end(), 0.0f);
      CHECK(sum(numbers(values) + 1.0).item() == n * (n - 1) / 2 + n);
    }
  clear_plans();
  CHECK((numbers({1}) + 1.0).item() == 2);
}

TEST_CASE("one output of a node with several can be read alone") {
  const Tensor x = numbers({3, 1, 2});
  CHECK(topk(x * 2.0, 2).first.to_vector<float>() == Floats{6, 4});
  CHECK(topk(x * 3.0, 2).second.to_vector<int64_t>() == std::vector<int64_t>{0, 2});
}

TEST_CASE("an error while running reaches what depends on it and nothing else") {
  const Tensor x = numbers({1, 2, 3});
  const Tensor broken = bad(x) + 1.0, fine = x + 1.0;
  evaluate({broken, fine});
  CHECK(fine.to_vector<float>() == Floats{2, 3, 4});
  CHECK_THROWS_WITH_AS(broken.to_vector<float>(), doctest::Contains("99"), IndexError);
  // Also what is recorded on it later.
  CHECK_THROWS_AS((broken * 2.0).to_vector<float>(), IndexError);
  CHECK((x * 2.0).to_vector<float>() == Floats{2, 4, 6});
}

TEST_CASE("a step that fails leaves a parameter as it was, and says so at the next step") {
  const Tensor w = numbers({5, 6}), other = numbers({1, 1});
  w.to_vector<float>();
  assign(w, w + sum(bad(numbers({1, 2}))));
  evaluate({w});
  synchronize();
  CHECK_THROWS_WITH_AS((other + 1.0).to_vector<float>(), doctest::Contains("99"), IndexError);
  CHECK(w.to_vector<float>() == Floats{5, 6});
  CHECK((other + 1.0).to_vector<float>() == Floats{2, 2});
}

TEST_CASE("a value that is assigned over gives its memory away, unless someone holds it") {
  const Tensor w = numbers(Floats(1000, 1));
  w.to_vector<float>();
  assign(w, w + 1.0);
  w.evaluate();
  synchronize();
  const void* memory = w.host_view()->data;
  const Tensor v = numbers(Floats(1000, 1));
  assign(v, v + 1.0);
  v.evaluate();
  const auto held = v.host_view();
  assign(v, v + 1.0);
  CHECK(v.to_vector<float>()[0] == 3);
  CHECK(static_cast<const float*>(held->data)[0] == 2);
  CHECK(static_cast<const float*>(memory)[0] == 2);
}

TEST_CASE("why a plan was made is explained") {
  (numbers({1, 2}) + numbers({3, 4})).to_vector<float>();
  (numbers({1, 2, 3}) + numbers({3, 4, 5})).to_vector<float>();
  const std::string why = explain_recompile();
  CHECK(why.find("planned again") == 0);
  CHECK(why.find("f32[3]") != std::string::npos);
}

TEST_CASE("profiles name kernels and count runs") {
  const Tensor x = numbers(Floats(100, 2));
  set_profiling(true);
  for (int i = 0; i < 3; ++i) exp(x).to_vector<float>();
  const std::vector<StepReport> report = profile_report();
  set_profiling(false);
  REQUIRE(!report.empty());
  CHECK(report[0].op.find("exp") != std::string::npos);
  CHECK(report[0].runs == 3);
}

TEST_CASE("a device mistake is raised where it is recorded") {
  const Tensor a = numbers({1}), b = to_device(numbers({1}), parse_device("ref"));
  if (a.device() == b.device()) return;
  CHECK_THROWS_WITH_AS(a + b, doctest::Contains("inputs are on"), DeviceError);
}

}  // namespace ds
