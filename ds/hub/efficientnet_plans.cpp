// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/efficientnet_plans.h"

#include "ds/base/error.h"

namespace ds::hub {
namespace {

constexpr MobileKind kSeparable = MobileKind::separable, kInverted = MobileKind::inverted,
                     kFused = MobileKind::fused, kPlain = MobileKind::plain;

// Columns: stage, kind, repeats, kernel, stride, expansion, channels, squeeze, activation.
constexpr MobileRow kMobileNetV2[] = {
    {0, kSeparable, 1, 3, 1, 1, 16}, {1, kInverted, 2, 3, 2, 6, 24},
    {2, kInverted, 3, 3, 2, 6, 32},  {3, kInverted, 4, 3, 2, 6, 64},
    {4, kInverted, 3, 3, 1, 6, 96},  {5, kInverted, 3, 3, 2, 6, 160},
    {6, kInverted, 1, 3, 1, 6, 320},
};
constexpr MobileRow kMobileNetV3Large[] = {
    {0, kSeparable, 1, 3, 1, 1, 16, 0, "relu"},
    {1, kInverted, 1, 3, 2, 4, 24, 0, "relu"},
    {1, kInverted, 1, 3, 1, 3, 24, 0, "relu"},
    {2, kInverted, 3, 5, 2, 3, 40, 0.25, "relu"},
    {3, kInverted, 1, 3, 2, 6, 80},
    {3, kInverted, 1, 3, 1, 2.5, 80},
    {3, kInverted, 2, 3, 1, 2.3, 80},
    {4, kInverted, 2, 3, 1, 6, 112, 0.25},
    {5, kInverted, 3, 5, 2, 6, 160, 0.25},
    {6, kPlain, 1, 1, 1, 1, 960},
};
constexpr MobileRow kMobileNetV3LargeMinimal[] = {
    {0, kSeparable, 1, 3, 1, 1, 16},  {1, kInverted, 1, 3, 2, 4, 24},
    {1, kInverted, 1, 3, 1, 3, 24},   {2, kInverted, 3, 3, 2, 3, 40},
    {3, kInverted, 1, 3, 2, 6, 80},   {3, kInverted, 1, 3, 1, 2.5, 80},
    {3, kInverted, 2, 3, 1, 2.3, 80}, {4, kInverted, 2, 3, 1, 6, 112},
    {5, kInverted, 3, 3, 2, 6, 160},  {6, kPlain, 1, 1, 1, 1, 960},
};
constexpr MobileRow kMobileNetV3Small[] = {
    {0, kSeparable, 1, 3, 2, 1, 16, 0.25, "relu"}, {1, kInverted, 1, 3, 2, 4.5, 24, 0, "relu"},
    {1, kInverted, 1, 3, 1, 3.67, 24, 0, "relu"},  {2, kInverted, 1, 5, 2, 4, 40, 0.25},
    {2, kInverted, 2, 5, 1, 6, 40, 0.25},          {3, kInverted, 2, 5, 1, 3, 48, 0.25},
    {4, kInverted, 3, 5, 2, 6, 96, 0.25},          {5, kPlain, 1, 1, 1, 1, 576},
};
constexpr MobileRow kMobileNetV3SmallMinimal[] = {
    {0, kSeparable, 1, 3, 2, 1, 16},   {1, kInverted, 1, 3, 2, 4.5, 24},
    {1, kInverted, 1, 3, 1, 3.67, 24}, {2, kInverted, 1, 3, 2, 4, 40},
    {2, kInverted, 2, 3, 1, 6, 40},    {3, kInverted, 2, 3, 1, 3, 48},
    {4, kInverted, 3, 3, 2, 6, 96},    {5, kPlain, 1, 1, 1, 1, 576},
};
constexpr MobileRow kEfficientNet[] = {
    {0, kSeparable, 1, 3, 1, 1, 16, 0.25}, {1, kInverted, 2, 3, 2, 6, 24, 0.25},
    {2, kInverted, 2, 5, 2, 6, 40, 0.25},  {3, kInverted, 3, 3, 2, 6, 80, 0.25},
    {4, kInverted, 3, 5, 1, 6, 112, 0.25}, {5, kInverted, 4, 5, 2, 6, 192, 0.25},
    {6, kInverted, 1, 3, 1, 6, 320, 0.25},
};
constexpr MobileRow kEfficientNetLite[] = {
    {0, kSeparable, 1, 3, 1, 1, 16}, {1, kInverted, 2, 3, 2, 6, 24},
    {2, kInverted, 2, 5, 2, 6, 40},  {3, kInverted, 3, 3, 2, 6, 80},
    {4, kInverted, 3, 5, 1, 6, 112}, {5, kInverted, 4, 5, 2, 6, 192},
    {6, kInverted, 1, 3, 1, 6, 320},
};
constexpr MobileRow kEfficientNetV2Base[] = {
    {0, kPlain, 1, 3, 1, 1, 16, 0, "", true},
    {1, kFused, 2, 3, 2, 4, 32},
    {2, kFused, 2, 3, 2, 4, 48},
    {3, kInverted, 3, 3, 2, 4, 96, 0.25},
    {4, kInverted, 5, 3, 1, 6, 112, 0.25},
    {5, kInverted, 8, 3, 2, 6, 192, 0.25},
};
constexpr MobileRow kEfficientNetV2S[] = {
    {0, kPlain, 2, 3, 1, 1, 24, 0, "", true},
    {1, kFused, 4, 3, 2, 4, 48},
    {2, kFused, 4, 3, 2, 4, 64},
    {3, kInverted, 6, 3, 2, 4, 128, 0.25},
    {4, kInverted, 9, 3, 1, 6, 160, 0.25},
    {5, kInverted, 15, 3, 2, 6, 256, 0.25},
};
constexpr MobileRow kEfficientNetV2M[] = {
    {0, kPlain, 3, 3, 1, 1, 24, 0, "", true},
    {1, kFused, 5, 3, 2, 4, 48},
    {2, kFused, 5, 3, 2, 4, 80},
    {3, kInverted, 7, 3, 2, 4, 160, 0.25},
    {4, kInverted, 14, 3, 1, 6, 176, 0.25},
    {5, kInverted, 18, 3, 2, 6, 304, 0.25},
    {6, kInverted, 5, 3, 1, 6, 512, 0.25},
};
constexpr MobileRow kEfficientNetV2L[] = {
    {0, kPlain, 4, 3, 1, 1, 32, 0, "", true},
    {1, kFused, 7, 3, 2, 4, 64},
    {2, kFused, 7, 3, 2, 4, 96},
    {3, kInverted, 10, 3, 2, 4, 192, 0.25},
    {4, kInverted, 19, 3, 1, 6, 224, 0.25},
    {5, kInverted, 25, 3, 2, 6, 384, 0.25},
    {6, kInverted, 7, 3, 1, 6, 640, 0.25},
};

constexpr MobilePlan kPlans[] = {
    {"mobilenet_v2", kMobileNetV2, 32, 1280, HeadWidth::at_least, "relu6"},
    {"mobilenet_v3_large", kMobileNetV3Large, 16, 1280, HeadWidth::fixed, "hardswish", true},
    {"mobilenet_v3_small", kMobileNetV3Small, 16, 1024, HeadWidth::fixed, "hardswish", true},
    {"mobilenet_v3_large_minimal", kMobileNetV3LargeMinimal, 16, 1280, HeadWidth::fixed, "relu",
     true},
    {"mobilenet_v3_small_minimal", kMobileNetV3SmallMinimal, 16, 1024, HeadWidth::fixed, "relu",
     true},
    {"efficientnet", kEfficientNet, 32, 1280, HeadWidth::scaled, "silu"},
    {"efficientnet_lite", kEfficientNetLite, 32, 1280, HeadWidth::fixed, "relu6", false, true},
    {"efficientnetv2_base", kEfficientNetV2Base, 32, 1280, HeadWidth::scaled, "silu", false, false,
     0.0},
    {"efficientnetv2_s", kEfficientNetV2S, 24, 1280, HeadWidth::scaled, "silu"},
    {"efficientnetv2_m", kEfficientNetV2M, 24, 1280, HeadWidth::fixed, "silu"},
    {"efficientnetv2_l", kEfficientNetV2L, 32, 1280, HeadWidth::fixed, "silu"},
};

}  // namespace

const MobilePlan& mobile_plan(const std::string& name) {
  std::string known;
  for (const MobilePlan& plan : kPlans) {
    if (name == plan.name) return plan;
    known += (known.empty() ? "" : ", ") + std::string(plan.name);
  }
  DS_CHECK(false, ValueError, "EfficientNet: the variant '", name, "' is unknown; use ", known);
}

}  // namespace ds::hub
