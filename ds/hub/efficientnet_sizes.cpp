// SPDX-License-Identifier: Apache-2.0
// The published sizes of the networks of depthwise convolutions.
#include "ds/hub/efficientnet.h"

namespace ds::hub {
namespace {

using Config = EfficientNetConfig;

Config size(const char* variant, double channels, double depth = 1.0) {
  return {.variant = variant, .channel_multiplier = channels, .depth_multiplier = depth};
}

Config fixed_ends(Config c) {
  c.fix_stem_head = true;
  return c;
}

/// As trained in TensorFlow.
Config tf(Config c) {
  c.same_padding = true;
  c.bn_eps = 1e-3;
  return c;
}

struct Scale {
  const char* suffix;
  double channels, depth;
};

constexpr Scale kEfficientNets[] = {{"0", 1.0, 1.0}, {"1", 1.0, 1.1}, {"2", 1.1, 1.2},
                                    {"3", 1.2, 1.4}, {"4", 1.4, 1.8}, {"5", 1.6, 2.2},
                                    {"6", 1.8, 2.6}, {"7", 2.0, 3.1}};

NamedSizes<Config> all_sizes() {
  NamedSizes<Config> sizes = {
      {"mobilenetv2_035", size("mobilenet_v2", 0.35)},
      {"mobilenetv2_050", size("mobilenet_v2", 0.5)},
      {"mobilenetv2_075", size("mobilenet_v2", 0.75)},
      {"mobilenetv2_100", size("mobilenet_v2", 1.0)},
      {"mobilenetv2_140", size("mobilenet_v2", 1.4)},
      {"mobilenetv2_110d", fixed_ends(size("mobilenet_v2", 1.1, 1.2))},
      {"mobilenetv2_120d", fixed_ends(size("mobilenet_v2", 1.2, 1.4))},
      {"mobilenetv3_large_075", size("mobilenet_v3_large", 0.75)},
      {"mobilenetv3_large_100", size("mobilenet_v3_large", 1.0)},
      {"mobilenetv3_small_050", size("mobilenet_v3_small", 0.5)},
      {"mobilenetv3_small_075", size("mobilenet_v3_small", 0.75)},
      {"mobilenetv3_small_100", size("mobilenet_v3_small", 1.0)},
      {"tf_mobilenetv3_large_075", tf(size("mobilenet_v3_large", 0.75))},
      {"tf_mobilenetv3_large_100", tf(size("mobilenet_v3_large", 1.0))},
      {"tf_mobilenetv3_large_minimal_100", tf(size("mobilenet_v3_large_minimal", 1.0))},
      {"tf_mobilenetv3_small_075", tf(size("mobilenet_v3_small", 0.75))},
      {"tf_mobilenetv3_small_100", tf(size("mobilenet_v3_small", 1.0))},
      {"tf_mobilenetv3_small_minimal_100", tf(size("mobilenet_v3_small_minimal", 1.0))},
      {"tf_efficientnetv2_s", tf(size("efficientnetv2_s", 1.0))},
      {"tf_efficientnetv2_m", tf(size("efficientnetv2_m", 1.0))},
      {"tf_efficientnetv2_l", tf(size("efficientnetv2_l", 1.0))},
  };
  for (const Scale& s : kEfficientNets) {
    const std::string number = s.suffix;
    const Config plain = size("efficientnet", s.channels, s.depth);
    sizes.emplace_back("efficientnet_b" + number, plain);
    sizes.emplace_back("tf_efficientnet_b" + number, tf(plain));
    if (number <= "3")
      sizes.emplace_back("tf_efficientnetv2_b" + number,
                         tf(size("efficientnetv2_base", s.channels, s.depth)));
    if (number > "4") continue;
    const Config lite = size("efficientnet_lite", s.channels, s.depth);
    sizes.emplace_back("efficientnet_lite" + number, lite);
    sizes.emplace_back("tf_efficientnet_lite" + number, tf(lite));
  }
  return sizes;
}

}  // namespace

const NamedSizes<Config>& efficientnets() {
  static const NamedSizes<Config> sizes = all_sizes();
  return sizes;
}

}  // namespace ds::hub
