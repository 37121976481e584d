// SPDX-License-Identifier: Apache-2.0
// Handwritten digits that come with the library.
#pragma once

#include <utility>

#include "ds/data/array.h"

namespace ds::data {

/// Images u8 [1797, 1, 8, 8] with values 0 to 16, and labels i64 [1797].
std::pair<HostArray, HostArray> load_digits();

extern const char kDigitsData[];

}  // namespace ds::data
