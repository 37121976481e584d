// SPDX-License-Identifier: Apache-2.0
// Matrix product by oneDNN, batched, with any transposes, planned once and run often.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/backends/cpu/dnnl/memory.h"

namespace ds::cpu {

/// lhs [..., M, K] x rhs [..., K, N] -> dst [..., M, N], all of one rank. Batch dimensions of the
/// inputs are 1, have stride 0 or equal dst's. lhs and rhs have one dtype, dst that or f32. No
/// dimension is 0.
struct MatmulSpec {
  TensorDesc lhs;
  TensorDesc rhs;
  TensorDesc dst;
  /// A bias of dst's dtype, [N], is added.
  bool bias = false;
  std::vector<PostOp> post_ops;  // operands have dst's rank
};

class MatmulPlan {
 public:
  /// Null with the reason in `why` (when given) when there is no fast kernel for the dtypes or
  /// strides on this processor. oneDNN may have several kernels, the one it prefers first; so many
  /// of them are passed over.
  static std::unique_ptr<MatmulPlan> make(const MatmulSpec& spec, std::string* why = nullptr,
                                          int passed_over = 0);
  ~MatmulPlan();

  size_t scratchpad_bytes() const;
  const std::string& implementation() const;

  struct Pointers {
    const void* lhs = nullptr;
    const void* rhs = nullptr;
    const void* bias = nullptr;
    void* dst = nullptr;
    std::vector<const void*> operands;  // of the post-ops add and mul, in order
  };
  /// Thread-safe for distinct scratchpads.
  void execute(const Pointers& pointers, void* scratchpad) const;

 private:
  struct State;
  explicit MatmulPlan(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ds::cpu
