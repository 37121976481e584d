// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/distance_bucket.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace ds::hub {

int64_t distance_bucket(int64_t distance, bool both_ways, int64_t buckets, int64_t max_distance) {
  int64_t first = 0;
  if (both_ways) {
    buckets /= 2;
    if (distance > 0) first = buckets;
    distance = std::abs(distance);
  } else {
    distance = std::max<int64_t>(-distance, 0);
  }
  const int64_t exact = buckets / 2;
  if (distance < exact) return first + distance;
  // In f32 as upstream: some distances lie on a border.
  const float ratio = std::log(static_cast<float>(distance) / static_cast<float>(exact));
  const auto span =
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto more = static_cast<int64_t>(ratio / span * static_cast<float>(buckets - exact));
  return first + std::min(exact + more, buckets - 1);
}

}  // namespace ds::hub
