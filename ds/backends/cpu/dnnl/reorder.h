// SPDX-License-Identifier: Apache-2.0
// Weights between row-major and a kernel's packed layout.
#pragma once

#include <memory>

#include "ds/backends/cpu/dnnl/memory.h"

namespace ds::cpu {

/// Packs row-major memory into `layout`, or back. The layout's own dtype is the packed side's.
class ReorderPlan {
 public:
  enum class Direction { pack, unpack };
  /// `plain` is the dtype of the row-major side. NotImplementedError when oneDNN cannot convert.
  ReorderPlan(Direction direction, DType plain, PackedLayoutPtr layout);
  ~ReorderPlan();

  size_t scratchpad_bytes() const;
  const std::string& implementation() const;
  /// Thread-safe for distinct scratchpads.
  void execute(const void* src, void* dst, void* scratchpad) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ds::cpu
