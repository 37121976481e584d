// SPDX-License-Identifier: Apache-2.0
// Chooses among kernels that can do the same: by what was measured on this machine
// (ds/runtime/kernel_choices.h), else as a rule says.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// A kernel of two operands and a result, given by where they begin. All kernels for a problem take
/// the same operands.
struct Kernel {
  std::string name;  // as profiles show it
  size_t scratchpad_bytes = 0;
  std::function<void(const void* lhs, const void* rhs, void* dst, void* space)> run;
};

/// What a problem is called: everything that says which kernels there are and how fast they run.
std::string problem_name(const char* op, const View& lhs, const View& rhs, const Shape& dims,
                         const std::string& rule);

/// What a kernel reads and writes: bytes from the first to the last element.
struct Extents {
  DType dtype;
  size_t lhs, rhs, dst;
};
/// Bytes from where the view begins to its end. 0 when a stride is negative.
size_t extent(const View& view);

/// The kernel to take for a problem: `rule`, or one of all(), of which that is the first. Where
/// tuning measures, they are timed in turn, on operands that are in the caches only where a model's
/// would be; another than the rule's is taken when it is faster by a twentieth.
Kernel choose(const std::string& problem, Kernel rule, const Extents& extents,
              const std::function<std::vector<Kernel>()>& all);

}  // namespace ds::cpu
