// SPDX-License-Identifier: Apache-2.0
// What a step would need in memory, found without running it.
#pragma once

#include <functional>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds {

/// Bytes that a step needs at its peak: `record` records it and returns what it computes, which is
/// planned for `device` and then dropped; the null backend plans much faster than others, without
/// the scratch memory and the copies of parameters that their kernels want. Afterwards the tensors
/// of `state` (parameters, running statistics) have the values and gradients they had before, and
/// random numbers go on as if nothing was drawn. A value that `record` asks for is computed for
/// real.
size_t rehearse(const std::vector<Tensor>& state,
                const std::function<std::vector<Tensor>()>& record, Device device);

}  // namespace ds
