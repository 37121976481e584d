// SPDX-License-Identifier: Apache-2.0
// What recording costs in C++: prints seconds per node, and per step of a cached plan, as JSON.
// Built on request: cmake --build build --target bench_record
#include <ds/ds.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

namespace {

constexpr int kNodes = 10'000;  // far below where a loop that asks for nothing is computed
constexpr int kRounds = 15;
constexpr int kSteps = 2'000;

/// Median seconds of `kRounds` calls.
template <class Function>
double median_seconds(Function&& function) {
  std::vector<double> seconds;
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRounds / 2, seconds.end());
  return seconds[kRounds / 2];
}

/// A chain of elementwise nodes that is dropped without being computed; the time to free it counts.
double record_chain(const ds::Tensor& x) {
  return median_seconds([&] {
           ds::Tensor y = x;
           for (int i = 0; i < kNodes; ++i) y = y + x;
         }) /
         kNodes;
}

/// Products carry attributes and a type rule of their own.
double record_products(const ds::Tensor& x) {
  return median_seconds([&] {
           ds::Tensor y = x;
           for (int i = 0; i < kNodes; ++i) y = ds::matmul(y, x);
         }) /
         kNodes;
}

/// A step of one cheap node whose value is asked for: look-up, hand-over to the engine and back.
double cached_step(const ds::Tensor& x) {
  return median_seconds([&] {
           for (int i = 0; i < kSteps; ++i) (x + x).evaluate().item();
         }) /
         kSteps;
}

}  // namespace

int main() {
  const ds::Tensor x = ds::ones({1, 1}).evaluate();
  ds::Tensor w = ds::ones({1, 1}).evaluate();
  w.requires_grad_();
  x.item();
  cached_step(x);  // plans
  std::printf(
      "{\"add_seconds\": %.4g, \"add_with_gradient_seconds\": %.4g, \"matmul_seconds\": %.4g, "
      "\"cached_step_seconds\": %.4g}\n",
      record_chain(x), record_chain(w), record_products(x), cached_step(x));
  return 0;
}
