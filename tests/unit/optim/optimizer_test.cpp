// SPDX-License-Identifier: Apache-2.0
// Optimizers: closed forms of a first step, groups, state, guards, and that steps share a plan.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/optim/optimizers.h"
#include "ds/tensor/ops.h"
#include "ds/train/grad_scaler.h"

using namespace ds;
using namespace ds::optim;

namespace {

Tensor parameter(std::vector<float> values) {
  const auto size = static_cast<int64_t>(values.size());
  Tensor x = Tensor::from_host(values.data(), {DType::f32, {size}});
  return x.requires_grad_();
}

void set_grad(Tensor x, double value) { x.set_grad(full(x.shape(), value, DType::f32)); }

void check_near(const Tensor& x, const std::vector<double>& wanted) {
  const auto got = x.to_vector<double>();
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("SGD with momentum sums the gradients it has seen") {
  const Tensor x = parameter({1, 2});
  SGD sgd({x}, 0.1, 0.5);
  set_grad(x, 1);
  sgd.step();
  check_near(x, {0.9, 1.9});
  sgd.step();  // buffer 1.5
  check_near(x, {0.75, 1.75});
  sgd.zero_grad();
  CHECK_FALSE(x.grad().defined());
  sgd.step();
  check_near(x, {0.75, 1.75});
}

TEST_CASE("the first step of Adam is the learning rate along the sign") {
  const Tensor x = parameter({1, -1});
  Adam adam({x}, 0.1);
  set_grad(x, 123);
  adam.step();
  check_near(x, {0.9, -1.1});
  CHECK(adam.state(x).numbers.at("step") == 1);
}

TEST_CASE("AdamW shrinks weights beside the step") {
  const Tensor x = parameter({2});
  AdamW adam({x}, 0.1, 0.9, 0.999, 1e-8, 0.5);
  set_grad(x, 1);
  adam.step();
  check_near(x, {2 * (1 - 0.1 * 0.5) - 0.1});
}

TEST_CASE("groups have numbers of their own") {
  const Tensor x = parameter({1}), y = parameter({1});
  SGD sgd({x}, 0.1);
  sgd.add_group({y}, {{"lr", 1.0}});
  set_grad(x, 1), set_grad(y, 1);
  sgd.step();
  check_near(x, {0.9});
  check_near(y, {0.0});
  sgd.set_lr(0);
  sgd.step();
  check_near(y, {0.0});
  CHECK_THROWS_AS(sgd.add_group({x}), ValueError);
  CHECK_THROWS_AS(sgd.add_group({parameter({1})}, {{"beta1", 1.0}}), ValueError);
  CHECK_THROWS_AS(sgd.add_group({}), ValueError);
  CHECK_THROWS_AS(sgd.add_group({mul(x, 2.0)}), ValueError);
}

TEST_CASE("saved state continues as if nothing happened") {
  const Tensor x = parameter({1, 2}), y = parameter({1, 2});
  Adam a({x}, 0.1), b({y}, 0.7);
  set_grad(x, 1), set_grad(y, 1);
  a.step();
  y.set_data(x);
  b.load_state_dict(a.state_dict());
  set_grad(x, -2), set_grad(y, -2);
  a.step();
  b.step();
  CHECK(x.to_vector<float>() == y.to_vector<float>());
  OptimizerState state = a.state_dict();
  state.params.clear();
  CHECK_THROWS_AS(b.load_state_dict(state), ValueError);
}

TEST_CASE("a step that overflows changes neither parameters nor state") {
  const Tensor x = parameter({1, 2});
  Adam adam({x}, 0.1);
  train::GradScaler scaler({8.0});
  set_grad(x, INFINITY);
  scaler.step(adam);
  scaler.update();
  check_near(x, {1, 2});
  CHECK(scaler.get_scale() == 4.0);
  check_near(adam.state(x).tensors.at("exp_avg"), {0, 0});
  set_grad(x, 4);
  scaler.step(adam);
  scaler.update();
  CHECK(x.to_vector<float>()[0] < 1.0f);
  CHECK(scaler.skipped_steps() == 1);
}

TEST_CASE("changing numbers does not plan again") {
  const Tensor x = parameter({1, 2, 3});
  SGD sgd({x}, 0.5, 0.9);
  uint64_t plans = 0;
  for (int i = 0; i < 6; ++i) {
    sgd.zero_grad();
    sum(mul(x, x)).backward();
    sgd.set_lr(0.1 / (1 + i));
    sgd.groups()[0].hyper["momentum"] = 0.9 - 0.1 * i;
    sgd.step();
    if (i == 1) plans = engine_stats().plans;
  }
  CHECK(engine_stats().plans == plans);
}

TEST_CASE("parameters that are alike share a recorded update, whatever their history") {
  // Bodies are inlined: several parameters in one optimizer end where each alone would.
  const auto run = [](const std::vector<std::vector<size_t>>& optimizers, bool late) {
    std::vector<Tensor> all = {parameter({1, 2}), parameter({3, -4}), parameter({5, 6, 7})};
    std::vector<std::unique_ptr<AdamW>> adams;
    for (const std::vector<size_t>& members : optimizers) {
      std::vector<Tensor> params;
      for (size_t i : members) params.push_back(all[i]);
      adams.push_back(std::make_unique<AdamW>(params, 0.1));
    }
    for (int step = 0; step < 4; ++step) {
      for (size_t i = 0; i < all.size(); ++i) {
        all[i].set_grad({});
        // One parameter has no gradient at first, so its step count lags behind.
        if (i != 1 || !late || step > 1) set_grad(all[i], 0.5 + static_cast<double>(i) - step);
      }
      for (const auto& adam : adams) {
        adam->groups()[0].hyper["weight_decay"] = 0.1 * step;
        adam->step();
      }
    }
    std::vector<std::vector<float>> values;
    for (const Tensor& x : all) values.push_back(x.to_vector<float>());
    return values;
  };
  for (bool late : {false, true}) {
    const auto together = run({{0, 1, 2}}, late), apart = run({{0}, {1}, {2}}, late);
    CHECK(together == apart);
    CHECK(together[1] != run({{0, 1, 2}}, !late)[1]);
  }
}

TEST_CASE("a changing constant of a recorded update becomes an input") {
  const Tensor x = parameter({1, 2}), y = parameter({3, 4});
  AdamW adam({x, y}, 0.1);
  uint64_t plans = 0;
  for (int i = 0; i < 6; ++i) {
    set_grad(x, 1), set_grad(y, 2);
    adam.groups()[0].hyper["eps"] = 1e-8 * (i + 1);
    adam.step();
    if (i == 2) plans = engine_stats().plans;
  }
  CHECK(engine_stats().plans == plans);
}

TEST_CASE("clipping scales all gradients by one factor") {
  const Tensor x = parameter({0}), y = parameter({0});
  set_grad(x, 3), set_grad(y, 4);
  CHECK(clip_grad_norm_({x, y}, 1.0).item() == doctest::Approx(5));
  check_near(x.grad(), {0.6});
  check_near(y.grad(), {0.8});
  clip_grad_value_({x, y}, 0.7);
  check_near(y.grad(), {0.7});
  set_grad(x, NAN);
  CHECK_THROWS_AS(clip_grad_norm_({x}, 1.0, 2.0, true), ValueError);
}
