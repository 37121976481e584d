// SPDX-License-Identifier: Apache-2.0
// Sizes of one to three spatial dimensions as three, the missing first ones filled.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "ds/ir/shape.h"

namespace ds::ref {

using Sizes = std::array<int64_t, 3>;

inline Sizes three(const int64_t* list, int count, int64_t fill) {
  Sizes sizes{fill, fill, fill};
  std::copy(list, list + count, sizes.end() - count);
  return sizes;
}
inline Sizes three(const Shape& list, int64_t fill) {
  return three(list.data(), list.rank(), fill);
}
/// The dimensions of [N, C, ...] after the first two.
inline Sizes spatial_sizes(const Shape& shape) {
  return three(shape.data() + 2, shape.rank() - 2, 1);
}
inline int64_t area(const Sizes& s) { return s[0] * s[1] * s[2]; }

}  // namespace ds::ref
