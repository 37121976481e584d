// SPDX-License-Identifier: Apache-2.0
// Facts about the target that passes may use, as plain data: passes never see a backend.
#pragma once

#include <array>

#include "ds/ir/dtype.h"

namespace ds {

struct TargetInfo {
  /// The target runs `fused` nodes.
  bool fuses = false;
  /// Dtypes a fused chain computes in, and those it may also load and store.
  std::array<bool, kDTypeCount> fusable_compute{};
  std::array<bool, kDTypeCount> fusable_storage{};
};

}  // namespace ds
