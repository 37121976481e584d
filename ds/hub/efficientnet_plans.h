// SPDX-License-Identifier: Apache-2.0
// The plans of blocks that EfficientNetConfig::variant names.
#pragma once

#include <span>

#include "ds/hub/efficientnet.h"

namespace ds::hub {

enum class HeadWidth {
  scaled,    // multiplied as all channels
  at_least,  // multiplied where that widens it
  fixed
};

struct MobilePlan {
  const char* name;
  std::span<const MobileRow> rows;
  int64_t stem, head;  // channels
  HeadWidth head_width;
  const char* activation;
  bool head_after_pooling = false;  // MobileNetV3: a 1x1 convolution of the pooled features
  bool fixed_ends = false;          // stem, first and last stage are not multiplied
  double kept = 0.9;                // rounding to 8 leaves at least this share of the channels
};

/// ValueError lists the names for another one.
const MobilePlan& mobile_plan(const std::string& name);

}  // namespace ds::hub
