// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/arena.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "ds/base/str.h"

namespace ds {
namespace {

/// No two blocks that are in use at one step share a byte; all are aligned and inside the arena.
void check_plan(const std::vector<Lifetime>& lifetimes, const ArenaPlan& plan) {
  REQUIRE(plan.offsets.size() == lifetimes.size());
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    CHECK(plan.offsets[i] % kAlignment == 0);
    CHECK(plan.offsets[i] + lifetimes[i].bytes <= plan.bytes);
    for (size_t k = 0; k < i; ++k) {
      const bool together =
          lifetimes[i].first <= lifetimes[k].last && lifetimes[k].first <= lifetimes[i].last;
      const bool apart = plan.offsets[i] + lifetimes[i].bytes <= plan.offsets[k] ||
                         plan.offsets[k] + lifetimes[k].bytes <= plan.offsets[i];
      if (together && lifetimes[i].bytes > 0 && lifetimes[k].bytes > 0) CHECK(apart);
    }
  }
}

TEST_CASE("blocks one after the other share their place") {
  const std::vector<Lifetime> lifetimes = {{100, 0, 1}, {100, 2, 3}, {50, 1, 2}};
  const ArenaPlan plan = plan_arena(lifetimes);
  check_plan(lifetimes, plan);
  CHECK(plan.offsets[0] == plan.offsets[1]);
  CHECK(plan.bytes <= 2 * align_up(100));
}

TEST_CASE("a block that takes over another lies there") {
  // 3 is written over 1, which is written over 0; 2 is in use meanwhile.
  const std::vector<Lifetime> lifetimes = {{128, 0, 2}, {128, 2, 4}, {64, 1, 5}, {128, 4, 6}};
  const ArenaUse use = plan_arena(lifetimes, {-1, 0, -1, 1});
  check_plan(use.lifetimes, use.plan);
  CHECK(use.plan.offsets[0] == use.plan.offsets[1]);
  CHECK(use.plan.offsets[1] == use.plan.offsets[3]);
  CHECK(use.lifetimes[0].last == 1);
  CHECK(use.lifetimes[1].last == 3);
  CHECK(use.plan.bytes == 192);
  CHECK(use.plan.lower_bound == 192);
}

TEST_CASE("no blocks, empty blocks") {
  CHECK(plan_arena({}).bytes == 0);
  const std::vector<Lifetime> lifetimes = {{0, 0, 5}, {64, 0, 5}, {0, 2, 2}};
  check_plan(lifetimes, plan_arena(lifetimes));
}

TEST_CASE("random lifetimes never overlap and stay near the lower bound") {
  std::mt19937 draw(1);
  const auto up_to = [&](int limit) {
    return static_cast<int>(draw() % static_cast<unsigned>(limit));
  };
  size_t planned = 0, least = 0;
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<Lifetime> lifetimes;
    for (int i = 1 + up_to(60); i > 0; --i) {
      const int first = up_to(80);
      lifetimes.push_back({static_cast<size_t>(up_to(5000)), first, first + up_to(20)});
    }
    const ArenaPlan plan = plan_arena(lifetimes);
    check_plan(lifetimes, plan);
    CHECK(plan.bytes >= plan.lower_bound);
    planned += plan.bytes;
    least += plan.lower_bound;
  }
  CHECK(static_cast<double>(planned) < 1.25 * static_cast<double>(least));
}

/// The temporaries of a training step on the cpu backend: bytes, first and last step of each.
std::vector<Lifetime> recorded(const char* model) {
  std::ifstream file(str("tests/fixtures/lifetimes/", model, ".txt"));
  std::vector<Lifetime> lifetimes;
  for (Lifetime life{}; file >> life.bytes >> life.first >> life.last;) lifetimes.push_back(life);
  return lifetimes;
}

TEST_CASE("arenas of training steps are within 3 % of the lower bound") {
  // AdamW steps of ResNet-50 (batch 16), a GPT of 6 layers and an LSTM over 32 places.
  for (const char* model : {"resnet50", "gpt", "lstm"}) {
    CAPTURE(model);
    const std::vector<Lifetime> lifetimes = recorded(model);
    REQUIRE(lifetimes.size() > 300);
    const ArenaPlan plan = plan_arena(lifetimes);
    check_plan(lifetimes, plan);
    CHECK(plan.bytes >= plan.lower_bound);
    CHECK(static_cast<double>(plan.bytes) <= 1.03 * static_cast<double>(plan.lower_bound));
  }
}

}  // namespace
}  // namespace ds
