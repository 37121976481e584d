// SPDX-License-Identifier: Apache-2.0
// Resizing that smooths before it shrinks, with the pixels of Pillow: what pretrained models saw.
#pragma once

#include "ds/data/array.h"

namespace ds::data {

enum class Filter {
  bilinear,  // a triangle of one pixel to each side
  bicubic    // Keys' cubic with a = -0.5, two pixels to each side
};

/// "bilinear" or "bicubic"; ValueError for another name.
Filter filter_of(const std::string& name);

/// An image u8 or f32 [channels, h, w] resized; where it shrinks, the filter widens with the scale.
/// u8 is rounded after the rows and then after the columns, as Pillow does (its version 13 takes
/// the columns first where the height shrinks much more). ValueError for an empty image.
HostArray resampled(const HostArray& image, int64_t height, int64_t width, Filter filter);

}  // namespace ds::data
