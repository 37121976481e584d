// SPDX-License-Identifier: Apache-2.0
// Copies between strided views of one element size, and fills.
#pragma once

#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// dst and src of one shape and element size, planned once.
class CopyPlan {
 public:
  CopyPlan(const View& dst, const View& src);
  void run(void* dst, const void* src) const;

 private:
  size_t element_;
  bool contiguous_ = false;
  LoopNest nest_;   // operands dst, src
  int other_ = -1;  // a dimension along which src is contiguous where the innermost is not
};

/// Every element of the view becomes `value` (bytes of one element).
class FillPlan {
 public:
  explicit FillPlan(const View& dst, std::vector<char> value);
  void run(void* dst) const;

 private:
  size_t element_;
  LoopNest nest_;
  std::vector<char> value_;
};

}  // namespace ds::cpu
