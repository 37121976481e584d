// SPDX-License-Identifier: Apache-2.0
// Schedulers against the rates PyTorch gives (make_scheduler_tables.py), their state, and that a
// changing rate makes no new plan.
#include <doctest/doctest.h>

#include <map>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/optim/optimizers.h"
#include "ds/optim/schedulers_compose.h"
#include "ds/optim/schedulers_cyclic.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

using namespace ds;
using namespace ds::optim;

namespace {

const std::map<std::string, std::vector<double>> kTables = {
#include "scheduler_tables.inc"
};

using Make = std::function<LRSchedulerPtr(Optimizer&)>;

template <class S, class... Args>
LRSchedulerPtr make(Optimizer& optimizer, Args... args) {
  return std::make_shared<S>(optimizer, args...);
}

OneCycleOptions one_cycle(int64_t steps) {
  OneCycleOptions options;
  options.max_lr = {0.8};
  options.total_steps = steps;
  return options;
}

CyclicOptions cyclic(CyclicOptions::Mode mode) {
  CyclicOptions options;
  options.base_lr = {0.1};
  options.max_lr = {0.5};
  options.step_size_up = 2;
  options.mode = mode;
  return options;
}

LRSchedulerPtr cyclic_uneven(Optimizer& o) {
  CyclicOptions options = cyclic(CyclicOptions::Mode::triangular);
  options.step_size_up = 3;
  options.step_size_down = 2;
  return make<CyclicLR>(o, options);
}

LRSchedulerPtr three_phases(Optimizer& o) {
  OneCycleOptions options = one_cycle(14);
  options.three_phase = options.linear = true;
  options.div_factor = 10;
  return make<OneCycleLR>(o, options);
}

LRSchedulerPtr sequential(Optimizer& o) {
  return make<SequentialLR>(
      o,
      std::vector<LRSchedulerPtr>{make<LinearLR>(o, 0.1, 1.0, 4), make<ExponentialLR>(o, 0.9),
                                  make<CosineAnnealingLR>(o, 6)},
      std::vector<int64_t>{4, 8});
}

LRSchedulerPtr chained(Optimizer& o) {
  return std::make_shared<ChainedScheduler>(std::vector<LRSchedulerPtr>{
      make<ConstantLR>(o, 0.1, 3), make<ExponentialLR>(o, 0.9), make<StepLR>(o, 5, 0.5)});
}

LRSchedulerPtr inverse(Optimizer& o) {
  return make<LambdaLR>(o, [](int64_t e) { return 1.0 / static_cast<double>(1 + e); });
}

LRSchedulerPtr shrinking(Optimizer& o) {
  return make<MultiplicativeLR>(o, std::vector<LambdaLR::Lambda>{[](int64_t e) {
                                  return 1 - 0.05 * static_cast<double>(e);
                                }});
}

const std::map<std::string, Make> kMakers = {
    {"step", [](Optimizer& o) { return make<StepLR>(o, 3, 0.5); }},
    {"multi_step",
     [](Optimizer& o) {
       return make<MultiStepLR>(o, std::vector<int64_t>{2, 5, 5, 9}, 0.5);
     }},
    {"constant", [](Optimizer& o) { return make<ConstantLR>(o, 0.25, 4); }},
    {"linear", [](Optimizer& o) { return make<LinearLR>(o, 0.1, 0.8, 6); }},
    {"exponential", [](Optimizer& o) { return make<ExponentialLR>(o, 0.9); }},
    {"polynomial", [](Optimizer& o) { return make<PolynomialLR>(o, 8, 2.0); }},
    {"cosine", [](Optimizer& o) { return make<CosineAnnealingLR>(o, 5, 0.01); }},
    {"restarts", [](Optimizer& o) { return make<CosineAnnealingWarmRestarts>(o, 3, 2, 0.01); }},
    {"lambda", inverse},
    {"multiplicative", shrinking},
    {"one_cycle", [](Optimizer& o) { return make<OneCycleLR>(o, one_cycle(12)); }},
    {"one_cycle_three", three_phases},
    {"cyclic", cyclic_uneven},
    {"cyclic_2",
     [](Optimizer& o) { return make<CyclicLR>(o, cyclic(CyclicOptions::Mode::triangular2)); }},
    {"cyclic_exp",
     [](Optimizer& o) {
       CyclicOptions options = cyclic(CyclicOptions::Mode::exp_range);
       options.gamma = 0.9;
       return make<CyclicLR>(o, options);
     }},
    {"sequential", sequential},
    {"chained", chained},
};

Tensor leaf() { return ones({2}).requires_grad_(); }

/// Two groups with rates 0.4 and 0.04.
std::unique_ptr<Optimizer> two_groups() {
  auto optimizer = std::make_unique<SGD>(Params{leaf()}, 0.4, 0.9);
  optimizer->add_group({leaf()}, {{"lr", 0.04}});
  return optimizer;
}

}  // namespace

TEST_CASE("rates equal PyTorch's, also continued from a saved state") {
  REQUIRE(kTables.size() == kMakers.size());
  for (const auto& row : kTables) {
    // CAPTURE makes a lambda, which can not hold a structured binding.
    const std::string& name = row.first;
    const std::vector<double>& table = row.second;
    CAPTURE(name);
    const auto optimizer = two_groups();
    LRSchedulerPtr scheduler = kMakers.at(name)(*optimizer);
    std::unique_ptr<Optimizer> second;
    for (size_t step = 0; step < table.size() / 3; ++step) {
      CAPTURE(step);
      Optimizer& now = second ? *second : *optimizer;
      CHECK(now.groups()[0].at("lr") == doctest::Approx(table[3 * step]).epsilon(1e-12));
      CHECK(now.groups()[1].at("lr") == doctest::Approx(table[3 * step + 1]).epsilon(1e-12));
      CHECK(now.groups()[0].at("momentum") == doctest::Approx(table[3 * step + 2]).epsilon(1e-12));
      CHECK(scheduler->last_lr()[0] == now.groups()[0].at("lr"));
      if (step == 6) {
        second = two_groups();
        const LRSchedulerPtr loaded = kMakers.at(name)(*second);
        loaded->load_state_dict(scheduler->state_dict());
        second->load_state_dict(optimizer->state_dict());
        scheduler = loaded;
      }
      scheduler->step();
    }
  }
}

TEST_CASE("plateau reduces after patience, with cooldown and a floor") {
  SGD optimizer({leaf()}, 1.0);
  PlateauOptions options;
  options.factor = 0.5;
  options.patience = 1;
  options.cooldown = 1;
  options.min_lr = {0.2};
  ReduceLROnPlateau scheduler(optimizer, options);
  // torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=.5, patience=1, cooldown=1, min_lr=.2)
  const std::vector<double> metrics = {1,   0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
                                       0.4, 0.4, 0.4, 0.4, 0.4, 0.4};
  const std::vector<double> rates = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2};
  for (size_t i = 0; i < metrics.size(); ++i) {
    scheduler.step(metrics[i]);
    CAPTURE(i);
    CHECK(optimizer.groups()[0].at("lr") == rates[i]);
  }
  CHECK(scheduler.best() == 0.4);
  CHECK_THROWS_AS(scheduler.step(), StateError);
  ReduceLROnPlateau other(optimizer, options);
  other.load_state_dict(scheduler.state_dict());
  CHECK(other.best() == 0.4);
}

TEST_CASE("warm-up starts at zero and ends where it says") {
  SGD optimizer({leaf()}, 2.0);
  const LRSchedulerPtr scheduler = cosine_with_warmup(optimizer, 4, 12);
  CHECK(optimizer.groups()[0].at("lr") == 0.0);
  for (int i = 0; i < 4; ++i) scheduler->step();
  CHECK(optimizer.groups()[0].at("lr") == doctest::Approx(2.0));
  for (int i = 0; i < 4; ++i) scheduler->step();
  CHECK(optimizer.groups()[0].at("lr") == doctest::Approx(1.0));
  for (int i = 0; i < 4; ++i) scheduler->step();
  CHECK(optimizer.groups()[0].at("lr") == doctest::Approx(0.0));
}

TEST_CASE("wrong arguments and states are typed errors") {
  SGD optimizer({leaf()}, 1.0), other({leaf()}, 1.0);
  Adagrad no_momentum({leaf()});
  CHECK_THROWS_AS(StepLR(optimizer, 0), ValueError);
  CHECK_THROWS_AS(StepLR(other, 1, 0.1, 3), KeyError);
  CHECK_THROWS_AS(LinearLR(optimizer, 0.0), ValueError);
  CHECK_THROWS_AS(OneCycleLR(no_momentum, one_cycle(5)), ValueError);
  CHECK_THROWS_AS(SequentialLR(optimizer, {make<StepLR>(other, 1)}, {}), ValueError);
  CHECK_THROWS_AS(ChainedScheduler({}), ValueError);
  StepLR step(optimizer, 2);
  CHECK_THROWS_AS(step.load_state_dict({}), KeyError);
  OneCycleLR cycle(optimizer, one_cycle(2));
  cycle.step();
  cycle.step();
  CHECK_THROWS_AS(cycle.step(), ValueError);
}

TEST_CASE("a new rate at every step makes no new plan") {
  Tensor w = randn({3, 3});
  w.requires_grad_();
  AdamW optimizer({w});
  const LRSchedulerPtr scheduler = linear_with_warmup(optimizer, 3, 10);
  uint64_t plans = 0;
  for (int i = 0; i < 8; ++i) {
    optimizer.zero_grad();
    sum(w * w).backward();
    optimizer.step();
    scheduler->step();
    if (i == 2) plans = engine_stats().plans;
  }
  CHECK(engine_stats().plans == plans);
}
