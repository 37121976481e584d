// SPDX-License-Identifier: Apache-2.0
// Budgets, checkpoints and rehearsals: the same bits in less memory, and peaks known beforehand.
#include <doctest/doctest.h>

#include <vector>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/engine/memory.h"
#include "ds/tensor/autograd.h"
#include "ds/tensor/checkpoint.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/random.h"
#include "ds/tensor/rehearse.h"

namespace ds {
namespace {

constexpr int kLayers = 8;

/// Products with dropout and an activation between, as text or networks have them.
struct Network {
  std::vector<Tensor> weights;
  Tensor x;
  bool checkpoints = false;

  explicit Network(bool with_checkpoints = false) : checkpoints(with_checkpoints) {
    manual_seed(0);
    x = randn({64, 32}).evaluate();
    for (int i = 0; i < kLayers; ++i) {
      weights.push_back(randn({32, 32}).evaluate());
      weights.back().requires_grad_();
    }
  }

  Tensor layer(const Tensor& in, size_t i) const {
    return dropout(gelu(matmul(in, weights[i])), 0.25, true) + in;
  }

  Tensor loss() const {
    Tensor out = x;
    for (size_t i = 0; i < weights.size(); ++i) {
      const auto run = [&](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{layer(in[0], i)};
      };
      out = checkpoints ? checkpoint(run, {out})[0] : run({out})[0];
    }
    return mean(out * out);
  }

  /// Loss and gradients of a step with the random numbers of `seed`.
  std::vector<float> step(uint64_t seed) {
    manual_seed(seed);
    std::vector<Tensor> all = record();
    evaluate(all);
    std::vector<float> values;
    for (const Tensor& tensor : all)
      for (const float value : tensor.to_vector<float>()) values.push_back(value);
    return values;
  }

  std::vector<Tensor> record() {
    for (Tensor& weight : weights) weight.set_grad({});
    const Tensor value = loss();
    value.backward();
    std::vector<Tensor> all{value};
    for (const Tensor& weight : weights) all.push_back(weight.grad());
    return all;
  }
};

struct Budget {
  explicit Budget(size_t bytes) { set_memory_budget(bytes); }
  ~Budget() { set_memory_budget(0); }
};

TEST_CASE("amounts of memory") {
  CHECK(parse_bytes("4096") == 4096);
  CHECK(parse_bytes("1.5 KiB") == 1536);
  CHECK(parse_bytes("2GB") == 2000000000);
  for (const char* wrong : {"", "GiB", "2 gib", "-1", "0", "1e40", "inf", "0x", "0x10"})
    CHECK_THROWS_AS(parse_bytes(wrong), ValueError);
}

TEST_CASE("every budget gives the same bits within it") {
  Network network;
  reset_largest_plan();
  const std::vector<float> expected = network.step(1), other = network.step(2);
  CHECK(expected != other);
  const std::vector<FrontierPoint> points = memory_frontier();
  REQUIRE(points.size() >= 3);
  CHECK(points.front().level == 0);
  for (size_t i = 1; i < points.size(); ++i) {
    CHECK(points[i].peak < points[i - 1].peak);
    const Budget budget(points[i].peak);
    CHECK(network.step(1) == expected);
    CHECK(memory_report().peak <= points[i].peak);
    CHECK(network.step(2) == other);
  }
  const Budget budget(points.back().peak - 1);
  const std::string least = std::to_string(points.back().peak);
  try {
    network.step(1);
    FAIL("nothing fits");
  } catch (const OutOfMemoryError& error) {
    CHECK(std::string(error.what()).find(least) != std::string::npos);
  }
}

TEST_CASE("checkpoints give the same bits with fewer activations") {
  Network plain;
  const std::vector<float> expected = plain.step(1);
  const auto kept = [] {
    return memory_report().by_kind[static_cast<size_t>(MemoryKind::activation)];
  };
  const size_t before = kept();
  Network saving(true);
  CHECK(saving.step(1) == expected);
  CHECK(kept() < before);
}

TEST_CASE("a rehearsal foresees a step and leaves everything as it was") {
  Network network;
  const std::vector<float> expected = network.step(1);
  const size_t peak = memory_report().peak;
  const Tensor grad = network.weights[0].grad();
  const std::vector<int64_t> random = rng_state().to_vector<int64_t>();
  const std::vector<float> input = network.x.to_vector<float>();
  std::vector<Tensor> state = network.weights;
  state.push_back(network.x);
  const uint64_t plans = engine_stats().plans;
  const auto record = [&] {
    std::vector<Tensor> all = network.record();
    assign(network.x, network.x + 1.0);  // as running statistics are written
    return all;
  };
  for (const Device device : {parse_device("null"), network.x.device()}) {
    const size_t foreseen = rehearse(state, record, device);
    CHECK(engine_stats().plans == plans);
    CHECK(foreseen == doctest::Approx(static_cast<double>(peak)).epsilon(0.05));
  }
  CHECK(network.weights[0].grad().impl() == grad.impl());
  CHECK(rng_state().to_vector<int64_t>() == random);
  CHECK(network.x.to_vector<float>() == input);
  const auto fail = [&]() -> std::vector<Tensor> {
    network.record();
    throw ValueError("stop");
  };
  CHECK_THROWS_AS(rehearse(state, fail, network.x.device()), ValueError);
  CHECK(network.weights[0].grad().impl() == grad.impl());
  CHECK(network.step(1) == expected);
}

}  // namespace
}  // namespace ds
