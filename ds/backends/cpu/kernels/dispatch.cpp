// SPDX-License-Identifier: Apache-2.0
// The choice of the SIMD target, on Highway's table.
#include "ds/backends/cpu/kernels/dispatch.h"

#include <atomic>

#include "ds/backends/cpu/kernels/targets.h"
//
#include <hwy/highway.h>

#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// Bits of the usable targets; a lower bit is a better target. Without foreach_target HWY_TARGETS
/// is what the other files are compiled for, as targets.h is the same.
/// Asked once: Highway asks the processor each time, for which a virtual machine stops.
int64_t all_usable() {
  static const int64_t bits = (hwy::SupportedTargets() & HWY_TARGETS) | HWY_STATIC_TARGET;
  return bits;
}

/// Without those that set_simd_target() left out.
std::atomic<int64_t>& usable() {
  static std::atomic<int64_t> bits{all_usable()};
  return bits;
}

}  // namespace

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (int64_t rest = usable(); rest != 0; rest &= rest - 1) {
    names.emplace_back(hwy::TargetName(rest & -rest));
  }
  return names;
}

std::string simd_target() {
  auto& chosen = hwy::GetChosenTarget();
  if (!chosen.IsInitialized()) chosen.Update(hwy::SupportedTargets());
  const int64_t bits = usable();
  return hwy::TargetName(bits & -bits);
}

void set_simd_target(const std::string& name) {
  const int64_t all = all_usable();
  int64_t bits = all;
  while (!name.empty() && bits != 0 && name != hwy::TargetName(bits & -bits)) bits &= bits - 1;
  DS_CHECK(bits != 0, ValueError, "set_simd_target: no instruction set '", name,
           "' on this processor");
  hwy::SetSupportedTargetsForTest(bits == all ? 0 : bits);
  usable() = bits;
  hwy::GetChosenTarget().Update(bits);
}

bool has_bf16_products() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

}  // namespace ds::cpu
