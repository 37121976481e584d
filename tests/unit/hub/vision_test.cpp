// SPDX-License-Identifier: Apache-2.0
// Image models in C++: small ones of every family run and learn; the Python tests compare values.
#include <doctest/doctest.h>

#include "ds/base/error.h"
#include "ds/hub/convnext.h"
#include "ds/hub/efficientnet.h"
#include "ds/hub/resnet.h"
#include "ds/hub/swin.h"
#include "ds/hub/vision_transformer.h"
#include "ds/tensor/ops.h"

using namespace ds;
using namespace ds::hub;

namespace {

void expect_learns(const nn::ModulePtr& model, int64_t side) {
  const Tensor logits = (*model)(randn({2, 3, side, side}));
  REQUIRE(logits.shape() == Shape{2, 5});
  sum(logits).backward();
  for (const auto& [name, parameter] : model->named_parameters()) {
    CAPTURE(name);
    CHECK(parameter.grad().defined());
  }
}

TEST_CASE("every family of image models learns") {
  expect_learns(std::make_shared<ResNet>(ResNetConfig{
                    .layers = {1, 1}, .bottleneck = true, .num_classes = 5, .cardinality = 4}),
                32);
  expect_learns(std::make_shared<EfficientNet>(EfficientNetConfig{
                    .channel_multiplier = 0.25, .num_classes = 5, .same_padding = true}),
                33);
  expect_learns(std::make_shared<ConvNeXt>(ConvNeXtConfig{
                    .num_classes = 5, .depths = {1, 1, 1, 1}, .dims = {4, 8, 8, 12}}),
                64);
  expect_learns(std::make_shared<VisionTransformer>(VisionTransformerConfig{.img_size = 16,
                                                                            .patch_size = 8,
                                                                            .num_classes = 5,
                                                                            .embed_dim = 12,
                                                                            .depth = 1,
                                                                            .num_heads = 2,
                                                                            .distilled = true}),
                16);
  expect_learns(std::make_shared<SwinTransformer>(SwinConfig{.img_size = 20,
                                                             .patch_size = 2,
                                                             .num_classes = 5,
                                                             .embed_dim = 8,
                                                             .depths = {2},
                                                             .num_heads = {2},
                                                             .window_size = 4}),
                20);
}

TEST_CASE("an image model says so when its config is wrong") {
  CHECK_THROWS_AS(SwinTransformer({.depths = {1}, .num_heads = {5}}), ValueError);
  CHECK_THROWS_AS(ConvNeXt({.depths = {1}}), ValueError);
  CHECK_THROWS_AS(VisionTransformer({.img_size = 8, .patch_size = 16}), ValueError);
  CHECK_THROWS_AS(EfficientNet({.variant = "b0"}), ValueError);
  CHECK_THROWS_AS(ResNet({.layers = {}}), ValueError);
}

}  // namespace
