// SPDX-License-Identifier: Apache-2.0
// Extending autograd: an operation with a gradient of the user's own.
#pragma once

#include <functional>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds {

/// Gets the gradient of the output, returns one gradient per input; undefined where none flows.
using BackwardFunction = std::function<std::vector<Tensor>(const Tensor& grad)>;

/// `output` (computed in any way) as a differentiable function of `inputs`, whose gradient
/// `backward` computes instead of the recorded operations. Returns a new tensor.
Tensor custom_gradient(const Tensor& output, const std::vector<Tensor>& inputs,
                       BackwardFunction backward);

}  // namespace ds
