// SPDX-License-Identifier: Apache-2.0
// What models share that tell the class of every pixel.
#pragma once

#include <cstdint>

#include "ds/tensor/tensor.h"

namespace ds::hub {

/// [N, C, h, w] -> [N, C, H, W] by bilinear interpolation.
Tensor resized_pictures(const Tensor& pictures, int64_t height, int64_t width);

/// The mean loss of logits [N, classes, h, w], resized to labels i64 [N, H, W]; those that are
/// `ignored` do not count. One class is told from none.
Tensor semantic_loss(const Tensor& logits, const Tensor& labels, int64_t ignored);

}  // namespace ds::hub
