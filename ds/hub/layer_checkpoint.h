// SPDX-License-Identifier: Apache-2.0
// Layers of text models as checkpoints: what training needs when each layer keeps its input alone.
#pragma once

#include <functional>

#include "ds/tensor/tensor.h"

namespace ds::hub {

/// From now on, on this thread, text models keep only the input of each layer for the backward
/// pass, which computes the rest again (ds/tensor/checkpoint.h); off at the start.
void set_layer_checkpoints(bool on);

/// layer(x), as a checkpoint where that is on.
Tensor through_layer(const Tensor& x, const std::function<Tensor(const Tensor&)>& layer);

}  // namespace ds::hub
