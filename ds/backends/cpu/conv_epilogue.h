// SPDX-License-Identifier: Apache-2.0
// What follows a convolution in one sweep (a batch norm's scale and shift, a bias, a residual sum,
// ReLU, ReLU6) is done by the convolution before it stores
// (docs/design/2026-11-26-conv-epilogue.md).
#pragma once

#include <string>

#include "ds/backends/cpu/dnnl/conv.h"
#include "ds/backends/cpu/lowering.h"

namespace ds::cpu {

/// The fused node applies to its input `input`, one after the other, operations that a convolution
/// can do before it stores. `exact`: with the same bits as a sweep behind it.
bool is_epilogue(const Node& fused, size_t input, bool exact);

/// Lowers a convolution together with the fused node that alone reads it. False with the reason in
/// `why` when oneDNN has no such kernel.
bool lower_with_epilogue(Lowering& l, const Node& conv, const Node& fused, std::string& why);

/// What oneDNN is to compute for a convolution node, in its own dtype.
ConvSpec forward_spec(const Node& conv);
double forward_flops(const Node& conv);

}  // namespace ds::cpu
