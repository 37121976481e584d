// SPDX-License-Identifier: Apache-2.0
// A typed elementwise loop over strided views.
#pragma once

#include <vector>

#include "ds/backends/cpu/kernels/typed.h"
#include "ds/backends/cpu/view.h"

namespace ds::cpu {

/// out = fn of one or two inputs, or where() of three when fn is null; all views have out's dims,
/// and out is dense.
class TypedPlan {
 public:
  TypedPlan(TypedFn fn, const View& out, const std::vector<View>& inputs);
  void run(void* out, const std::vector<const void*>& inputs) const;

 private:
  void run_row(char* out, const std::vector<const char*>& inputs, int64_t n) const;

  TypedFn fn_;
  std::vector<int64_t> sizes_;  // of elements: out's, then the inputs'
  LoopNest nest_;               // the same order
};

}  // namespace ds::cpu
