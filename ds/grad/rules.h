// SPDX-License-Identifier: Apache-2.0
// The gradient table: for every op one rule that turns the gradients of its outputs into gradients
// of its inputs, as more graph. Rules are written with primitives, so they differentiate again.
#pragma once

#include <functional>

#include "ds/ir/node.h"

namespace ds {

/// What a rule sees: the forward node and the gradient of each of its outputs, null where none
/// flows. At least one gradient is there.
struct GradContext {
  const NodePtr& node;
  const Values& grads;

  /// Whether a gradient for input i is wanted; a rule may leave the others null.
  bool needs(int i) const { return node->input(i).requires_grad(); }
  const Value& in(int i) const { return node->input(i); }
  Value out(int i = 0) const { return {node, i}; }
  const Value& grad(int i = 0) const { return grads[static_cast<size_t>(i)]; }
};

/// One value per input of dtype and shape of that input, null where no gradient flows.
using GradRule = Values (*)(const GradContext&);

/// The masks name the inputs and outputs whose contents the rule reads (bit i: input or output i),
/// so a forward pass that is computed before its backward pass knows what to keep.
struct GradEntry {
  GradRule rule = nullptr;
  uint32_t saved_inputs = 0;
  uint32_t saved_outputs = 0;
};

/// The row of an op; null for ops with kNoGrad and for markers, which differentiate() handles.
const GradEntry* grad_entry(Op op);

/// A rule for ops whose gradient is long: `compose` writes the op's outputs (null where their
/// gradient is null) with simpler ops on the node's own inputs, and that small graph is
/// differentiated.
Values differentiate_by_decomposition(const GradContext& c,
                                      const std::function<Values(const GradContext& c)>& compose);

}  // namespace ds
