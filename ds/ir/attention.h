// SPDX-License-Identifier: Apache-2.0
// Which of the optional inputs of attention and attention_backward a node has.
#pragma once

namespace ds {

/// Places among the inputs, -1 for none. The mask comes before the state of the generator, which is
/// there when weights are dropped.
struct AttentionExtras {
  int mask, rng;

  /// Of `inputs` inputs the first `fixed` are always there.
  AttentionExtras(int inputs, int fixed, double dropout)
      : mask(inputs - (dropout > 0) > fixed ? fixed : -1), rng(dropout > 0 ? inputs - 1 : -1) {}
};

}  // namespace ds
