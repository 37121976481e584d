// SPDX-License-Identifier: Apache-2.0
// Threads that record and evaluate at once, and fork() in the middle of work.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds {
namespace {

using Floats = std::vector<float>;

Tensor filled(int64_t n, float value) {
  const Floats values(static_cast<size_t>(n), value);
  return Tensor::from_host(values.data(), {DType::f32, {n}});
}

/// Runs body(i) on `count` threads at once.
template <class Body>
void at_once(int count, Body body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      ++ready;
      while (ready < count) std::this_thread::yield();
      body(i);
    });
  for (std::thread& thread : threads) thread.join();
}

/// Steps of gradient descent on sum((w - target)^2), which halves the distance each time.
bool descends(int64_t n, float target, int steps) {
  Tensor w = filled(n, 0);
  w.requires_grad_();
  const Tensor goal = filled(n, target);
  for (int i = 0; i < steps; ++i) {
    w.set_grad({});
    sum(square(w - goal)).backward();
    const GradMode no_grad(false);
    assign(w, w - w.grad() * 0.25);
    w.evaluate();
  }
  float distance = target;
  for (int i = 0; i < steps; ++i) distance /= 2;
  for (float v : w.detach().to_vector<float>())
    if (std::abs(target - v - distance) > 1e-4f) return false;
  return true;
}

}  // namespace

TEST_CASE("threads train their own models at once") {
  std::atomic<int> good{0};
  at_once(3, [&](int i) { good += descends(7 + i, 8.0f, 25); });
  CHECK(good == 3);
}

TEST_CASE("threads make and drop tensors, views and in-place writes at once") {
  std::atomic<int> wrong{0};
  at_once(3, [&](int i) {
    for (int k = 0; k < 60; ++k) {
      Tensor x = filled(12, static_cast<float>(i));
      Tensor half = reshape(x, {3, 4});
      assign(half, half + static_cast<double>(k));
      wrong += sum(x * 2.0).item() != 24.0 * (i + k);
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("threads read one pending tensor at once") {
  for (int round = 0; round < 20; ++round) {
    const Tensor shared = exp(filled(50, 0)) * 3.0;
    const Tensor parts = topk(shared + 0.0, 2).first;
    std::atomic<int> wrong{0};
    at_once(3, [&](int i) {
      wrong += sum(shared + static_cast<double>(i)).item() != 50 * (3 + i);
      wrong += shared.to_vector<float>() != Floats(50, 3);
      wrong += parts.to_vector<float>() != Floats(2, 3);
    });
    CHECK(wrong == 0);
  }
}

TEST_CASE("short programs keep their place behind long ones that are queued") {
  Tensor x = filled(1 << 18, 0), count = filled(1, 0);
  bool right = true;
  for (int k = 1; k <= 200; ++k) {
    assign(x, x + 1.0);
    x.evaluate();  // queued
    assign(count, count + narrow(x, 0, 0, 1));
    count.evaluate();  // reads what is queued
    if (k % 3 == 0) right = right && count.item() == k * (k + 1) / 2;
  }
  CHECK(right);
  CHECK(x.to_vector<float>() == Floats(1 << 18, 200));
}

TEST_CASE("an error of one thread does not reach another") {
  std::atomic<int> raised{0}, wrong{0};
  at_once(2, [&](int i) {
    for (int k = 0; k < 30; ++k) {
      const int64_t at = i == 0 ? 99 : 1;
      const Tensor picked =
          index_select(filled(3, 2) * 2.0, 0, Tensor::from_host(&at, {DType::i64, {1}}));
      try {
        wrong += picked.item() != 4;
      } catch (const IndexError&) {
        raised += i == 0 ? 1 : 1000;
      }
    }
  });
  CHECK(raised == 30);
  CHECK(wrong == 0);
}

TEST_CASE("a child of fork() computes on, also while the parent had work queued") {
  Tensor x = filled(20000, 1);
  x.to_vector<float>();
  for (int i = 0; i < 6; ++i) {
    assign(x, x + 1.0);
    x.evaluate();  // queued, not awaited
  }
  const Tensor pending = x * 2.0;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(60);  // a lock held by a thread that is not here would wait for ever
    const bool values = x.to_vector<float>()[0] == 7 && pending.to_vector<float>()[9] == 14;
    const bool fresh = sum(filled(20000, 1) * 3.0).item() == 60000;
    _exit(values && fresh && descends(5, 4.0f, 10) ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  // The parent goes on.
  CHECK(pending.to_vector<float>()[0] == 14);
  CHECK(descends(5, 4.0f, 10));
}

}  // namespace ds
