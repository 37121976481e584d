// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/tuner.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <memory>

#include "ds/backends/cpu/kernels/dispatch.h"
#include "ds/base/error.h"
#include "ds/base/half.h"
#include "ds/base/options.h"
#include "ds/base/parallel.h"
#include "ds/runtime/arena.h"
#include "ds/runtime/kernel_choices.h"

namespace ds::cpu {
namespace {

// A model's weights come from memory, activations often from a cache. Operands that take turns in
// this much memory do the same: small ones stay near, large ones do not.
constexpr size_t kSpread = size_t{64} << 20, kMostSets = 16;
// A turn is far above the clock's resolution; the least of the rounds is what nothing disturbed.
constexpr double kTurnSeconds = 200e-6, kSeconds = 0.25;
constexpr int kLeastRounds = 3, kMostRounds = 15;
constexpr double kMargin = 0.95;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

/// Not of the allocator of values: what is measured is no part of a program's peak.
Memory memory(size_t bytes) {
  Memory made(std::aligned_alloc(kAlignment, align_up(std::max<size_t>(bytes, 1))));
  DS_CHECK(made, OutOfMemoryError, "tuner: no ", bytes, " bytes to try kernels on");
  return made;
}

/// Plain numbers, neither denormal nor growing without bound in a sum.
template <class T>
void fill(void* data, size_t bytes) {
  T* to = static_cast<T*>(data);
  for (size_t i = 0; i < bytes / sizeof(T); ++i)
    to[i] = static_cast<T>(static_cast<float>(i % 7) * 0.25f - 0.75f);
}

class Operands {
 public:
  explicit Operands(const Extents& extents) {
    const size_t bytes = extents.lhs + extents.rhs + extents.dst;
    const size_t sets = std::clamp(kSpread / std::max<size_t>(bytes, 1), size_t{1}, kMostSets);
    for (size_t i = 0; i < sets; ++i)
      sets_.push_back({memory(extents.lhs), memory(extents.rhs), memory(extents.dst)});
    for (const Set& set : sets_)
      for (const auto& [data, size] : {std::pair(set.lhs.get(), extents.lhs),
                                       {set.rhs.get(), extents.rhs},
                                       {set.dst.get(), extents.dst}}) {
        if (extents.dtype == DType::bf16)
          fill<bf16>(data, size);
        else if (extents.dtype == DType::f16)
          fill<f16>(data, size);
        else
          fill<float>(data, size);
      }
  }

  /// Seconds of one run, the mean of some.
  double time(const Kernel& kernel, int runs) {
    if (space_bytes_ < kernel.scratchpad_bytes) {
      space_bytes_ = kernel.scratchpad_bytes;
      space_ = memory(space_bytes_);
    }
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < runs; ++i) {
      const Set& set = sets_[next_++ % sets_.size()];
      kernel.run(set.lhs.get(), set.rhs.get(), set.dst.get(), space_.get());
    }
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    return passed.count() / runs;
  }

 private:
  struct Set {
    Memory lhs, rhs, dst;
  };
  std::vector<Set> sets_;
  Memory space_;
  size_t space_bytes_ = 0, next_ = 0;
};

/// The least seconds of every kernel.
std::vector<double> measure(const std::vector<Kernel>& kernels, const Extents& extents) {
  Operands operands(extents);
  std::vector<double> least(kernels.size(), std::numeric_limits<double>::infinity());
  std::vector<int> runs;
  double round = 0;
  for (const Kernel& kernel : kernels) {
    operands.time(kernel, 1);
    const double once = operands.time(kernel, 1);
    runs.push_back(static_cast<int>(std::clamp(kTurnSeconds / std::max(once, 1e-8), 1.0, 1e4)));
    round += std::max(once, kTurnSeconds);
  }
  const int rounds = std::clamp(static_cast<int>(kSeconds / round), kLeastRounds, kMostRounds);
  for (int r = 0; r < rounds; ++r)
    for (size_t i = 0; i < kernels.size(); ++i)
      least[i] = std::min(least[i], operands.time(kernels[i], runs[i]));
  return least;
}

/// The kernel of that name, else the rule's.
Kernel named(const std::string& name, std::vector<Kernel>& kernels, Kernel& rule) {
  for (Kernel& kernel : kernels)
    if (kernel.name == name) return std::move(kernel);
  return std::move(rule);
}

}  // namespace

std::string problem_name(const char* op, const View& lhs, const View& rhs, const Shape& dims,
                         const std::string& rule) {
  return str(op, " ", lhs.dtype, lhs.dims, " strides ", lhs.strides, " x ", rhs.dims, " strides ",
             rhs.strides, " to ", dims, ", ", num_threads(), " threads, ", simd_target(), ", not ",
             rule);
}

size_t extent(const View& view) {
  int64_t last = 0;
  for (int i = 0; i < view.dims.rank(); ++i) {
    if (view.strides[i] < 0) return 0;
    last += (view.dims[i] - 1) * view.strides[i];
  }
  return static_cast<size_t>(last + 1) * dtype_size(view.dtype);
}

Kernel choose(const std::string& problem, Kernel rule, const Extents& extents,
              const std::function<std::vector<Kernel>()>& all) {
  const Tuning how = tuning();
  const std::string chosen = how == Tuning::off ? "" : chosen_kernel(problem);
  if (chosen == rule.name || (chosen.empty() && how != Tuning::measure)) return rule;
  std::vector<Kernel> kernels = all();
  if (!chosen.empty()) return named(chosen, kernels, rule);
  if (kernels.size() < 2 || extents.lhs == 0 || extents.rhs == 0) return rule;
  const std::vector<double> seconds = measure(kernels, extents);
  for (size_t i = 0; log_enabled("dispatch") && i < kernels.size(); ++i)
    log_line("dispatch",
             str("cpu: ", problem, ": ", kernels[i].name, " took ", seconds[i] * 1e6, " us"));
  size_t best = 0;
  for (size_t i = 1; i < kernels.size(); ++i)
    if (seconds[i] < kMargin * seconds[0] && (best == 0 || seconds[i] < seconds[best])) best = i;
  // Another process may have been faster to choose.
  return named(keep_choice({problem, kernels[best].name, rule.name, seconds[best], seconds[0]}),
               kernels, rule);
}

}  // namespace ds::cpu
