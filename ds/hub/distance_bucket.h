// SPDX-License-Identifier: Apache-2.0
// Distances between tokens as T5 and MPNet tell them apart.
#pragma once

#include <cstdint>

namespace ds::hub {

/// The bucket of a distance: one each for near ones, wider and wider ones up to max_distance. An
/// encoder's looks both ways with half of the buckets each.
int64_t distance_bucket(int64_t distance, bool both_ways, int64_t buckets, int64_t max_distance);

}  // namespace ds::hub
