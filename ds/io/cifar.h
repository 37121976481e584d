// SPDX-License-Identifier: Apache-2.0
// The binary version of CIFAR (https://www.cs.toronto.edu/~kriz/cifar.html).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::io {

/// Images u8 [N, 3, 32, 32] and labels i64 [N] of several files in order. A record is `label_bytes`
/// labels, of which the last counts, and an image: 1 for CIFAR-10, 2 for CIFAR-100 (fine labels).
std::pair<Tensor, Tensor> load_cifar(const std::vector<std::string>& paths, int label_bytes = 1);

}  // namespace ds::io
