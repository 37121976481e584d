// SPDX-License-Identifier: Apache-2.0
// The published sizes of residual networks.
#include "ds/hub/resnet.h"

namespace ds::hub {
namespace {

using Config = ResNetConfig;
using Layers = std::vector<int64_t>;

/// For images of some 32 pixels and less.
Config small(Layers layers, int64_t in_channels, int64_t width) {
  return {.layers = std::move(layers),
          .num_classes = 10,
          .in_channels = in_channels,
          .width = width,
          .small_input = true};
}

Config basic(Layers layers) { return {.layers = std::move(layers)}; }

Config deep(Layers layers, int64_t cardinality = 1, int64_t base_width = 64) {
  return {.layers = std::move(layers),
          .bottleneck = true,
          .cardinality = cardinality,
          .base_width = base_width};
}

/// The D of "Bag of Tricks" (He et al., 2019).
Config d(Config c) {
  c.deep_stem = c.avg_down = true;
  return c;
}

Config se(Config c) {
  c.squeeze = true;
  return c;
}

}  // namespace

const NamedSizes<Config>& resnets() {
  static const NamedSizes<Config> sizes = {
      {"resnet8", small({1, 1, 1}, 1, 32)},
      {"resnet20", small({3, 3, 3}, 3, 16)},
      {"resnet18", basic({2, 2, 2, 2})},
      {"resnet34", basic({3, 4, 6, 3})},
      {"resnet26", deep({2, 2, 2, 2})},
      {"resnet50", deep({3, 4, 6, 3})},
      {"resnet101", deep({3, 4, 23, 3})},
      {"resnet152", deep({3, 8, 36, 3})},
      {"resnext50_32x4d", deep({3, 4, 6, 3}, 32, 4)},
      {"resnext101_32x4d", deep({3, 4, 23, 3}, 32, 4)},
      {"resnext101_32x8d", deep({3, 4, 23, 3}, 32, 8)},
      {"resnext101_64x4d", deep({3, 4, 23, 3}, 64, 4)},
      {"wide_resnet50_2", deep({3, 4, 6, 3}, 1, 128)},
      {"wide_resnet101_2", deep({3, 4, 23, 3}, 1, 128)},
      {"resnet18d", d(basic({2, 2, 2, 2}))},
      {"resnet34d", d(basic({3, 4, 6, 3}))},
      {"resnet26d", d(deep({2, 2, 2, 2}))},
      {"resnet50d", d(deep({3, 4, 6, 3}))},
      {"resnet101d", d(deep({3, 4, 23, 3}))},
      {"resnet152d", d(deep({3, 8, 36, 3}))},
      {"resnet200d", d(deep({3, 24, 36, 3}))},
      {"seresnet50", se(deep({3, 4, 6, 3}))},
      {"seresnet152d", se(d(deep({3, 8, 36, 3})))},
      {"seresnext26d_32x4d", se(d(deep({2, 2, 2, 2}, 32, 4)))},
      {"seresnext50_32x4d", se(deep({3, 4, 6, 3}, 32, 4))},
      {"seresnext101_32x4d", se(deep({3, 4, 23, 3}, 32, 4))},
      {"seresnext101_32x8d", se(deep({3, 4, 23, 3}, 32, 8))},
      {"seresnext101_64x4d", se(deep({3, 4, 23, 3}, 64, 4))},
  };
  return sizes;
}

}  // namespace ds::hub
