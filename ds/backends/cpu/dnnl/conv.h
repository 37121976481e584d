// SPDX-License-Identifier: Apache-2.0
// Convolution by oneDNN: forward and both gradients, planned once and run often.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/backends/cpu/dnnl/memory.h"

namespace ds::cpu {

enum class ConvKind { forward, backward_data, backward_weights };

/// One convolution of 1 to 3 spatial dimensions. `src` and `dst` are [N, C, spatial...] with any
/// dense order, best channels-last; in the gradients they describe diff_src and diff_dst where
/// those are meant. A transposed convolution's forward is backward_data.
struct ConvSpec {
  ConvKind kind = ConvKind::forward;
  TensorDesc src;
  TensorDesc dst;
  DType weights_dtype = DType::f32;
  Shape weights;  // [OC, IC/groups, kernel...]
  Shape stride, padding, padding_hi, dilation;
  int64_t groups = 1;
  /// forward: a bias [OC] is added; backward_weights: its gradient is computed too.
  bool bias = false;
  DType bias_dtype = DType::f32;
  std::vector<PostOp> post_ops;  // forward only
  /// oneDNN chooses the layout of the weights (weights_layout()); else they are row-major.
  bool pack_weights = true;
};

class ConvPlan {
 public:
  /// Null with the reason in `why` (when given) when there is no fast kernel for the dtypes or
  /// layouts on this processor. Expensive: done when a program is compiled.
  static std::unique_ptr<ConvPlan> make(const ConvSpec& spec, std::string* why = nullptr);
  ~ConvPlan();

  size_t scratchpad_bytes() const;
  /// Null when the weights are row-major.
  const PackedLayoutPtr& weights_layout() const;
  /// What oneDNN calls the kernel.
  const std::string& implementation() const;
  /// How many it runs on.
  int threads() const;

  /// The operands not computed are read: src, weights, bias -> dst; diff_dst, weights -> diff_src;
  /// src, diff_dst -> diff_weights, diff_bias. `operands` are those of the post-ops add and mul, in
  /// order. Thread-safe for distinct scratchpads.
  struct Pointers {
    const void* src = nullptr;
    const void* weights = nullptr;
    const void* bias = nullptr;
    const void* dst = nullptr;
    std::vector<const void*> operands;
  };
  void execute(const Pointers& pointers, void* scratchpad) const;

 private:
  struct State;
  explicit ConvPlan(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ds::cpu
