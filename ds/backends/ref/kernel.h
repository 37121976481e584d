// SPDX-License-Identifier: Apache-2.0
// The reference kernels: one plain implementation of every op for every dtype its rule admits. They
// are the oracle of the tests and what other backends fall back on for cold ops.
//
// Contract: floating point results are computed in double and rounded once; integers are exact and
// wrap around; bool follows PyTorch.
#pragma once

#include <span>

#include "ds/ir/node.h"

namespace ds::ref {

/// One call. All memory is row-major and contiguous, of the node's types; no output overlaps an
/// input.
struct KernelArgs {
  const Node& node;
  std::span<const void* const> inputs;
  std::span<void* const> outputs;

  const Type& in_type(int i) const { return node.input(i).type(); }
  const Shape& in_shape(int i) const { return in_type(i).shape; }
  DType in_dtype(int i) const { return in_type(i).dtype; }
  const void* in(int i) const { return inputs[static_cast<size_t>(i)]; }
  const Type& out_type(int i = 0) const { return node.type(i); }
  const Shape& out_shape(int i = 0) const { return out_type(i).shape; }
  DType out_dtype(int i = 0) const { return out_type(i).dtype; }
  void* out(int i = 0) const { return outputs[static_cast<size_t>(i)]; }
};

/// Computes one node. Raises IndexError for an index out of range and ValueError for values an op
/// does not take (division of integers by zero, a singular matrix), naming the op.
using Kernel = void (*)(const KernelArgs&);

/// The kernel of an op; null for input and the markers, which compute nothing.
Kernel kernel_for(Op op);

}  // namespace ds::ref
