// SPDX-License-Identifier: Apache-2.0
// The published sizes of vision transformers.
#include "ds/hub/vision_transformer.h"

namespace ds::hub {
namespace {

using Config = VisionTransformerConfig;

Config vit(int64_t patch, int64_t image, int64_t dim, int64_t depth, int64_t heads) {
  return {
      .img_size = image, .patch_size = patch, .embed_dim = dim, .depth = depth, .num_heads = heads};
}

/// The sizes of ViT: tiny to huge.
Config tiny(int64_t patch, int64_t image) { return vit(patch, image, 192, 12, 3); }
Config small(int64_t patch, int64_t image) { return vit(patch, image, 384, 12, 6); }
Config medium(int64_t patch, int64_t image) { return vit(patch, image, 512, 12, 8); }
Config base(int64_t patch, int64_t image) { return vit(patch, image, 768, 12, 12); }
Config large(int64_t patch, int64_t image) { return vit(patch, image, 1024, 24, 16); }
Config huge(int64_t patch, int64_t image) { return vit(patch, image, 1280, 32, 16); }

Config distilled(Config c) {
  c.distilled = true;
  return c;
}

Config deit3(Config c) {
  c.no_embed_class = true;
  c.init_values = 1e-6;
  return c;
}

/// Features of images of 518 pixels, without a classifier (Oquab et al., "DINOv2", 2023).
Config dinov2(Config c, int64_t registers = 0) {
  c.init_values = 1e-5;
  c.num_classes = 0;
  c.reg_tokens = registers;
  c.no_embed_class = registers > 0;
  return c;
}

/// Image encoders of CLIP with a classifier.
Config clip(Config c) {
  c.pre_norm = true;
  c.norm_eps = 1e-5;
  return c;
}

}  // namespace

const NamedSizes<Config>& vision_transformers() {
  static const NamedSizes<Config> sizes = {
      {"vit_tiny_patch16_224", tiny(16, 224)},
      {"vit_tiny_patch16_384", tiny(16, 384)},
      {"vit_small_patch32_224", small(32, 224)},
      {"vit_small_patch32_384", small(32, 384)},
      {"vit_small_patch16_224", small(16, 224)},
      {"vit_small_patch16_384", small(16, 384)},
      {"vit_base_patch32_224", base(32, 224)},
      {"vit_base_patch32_384", base(32, 384)},
      {"vit_base_patch16_224", base(16, 224)},
      {"vit_base_patch16_384", base(16, 384)},
      {"vit_base_patch8_224", base(8, 224)},
      {"vit_large_patch32_384", large(32, 384)},
      {"vit_large_patch16_224", large(16, 224)},
      {"vit_large_patch16_384", large(16, 384)},
      {"vit_small_patch14_dinov2", dinov2(small(14, 518))},
      {"vit_base_patch14_dinov2", dinov2(base(14, 518))},
      {"vit_large_patch14_dinov2", dinov2(large(14, 518))},
      {"vit_small_patch14_reg4_dinov2", dinov2(small(14, 518), 4)},
      {"vit_base_patch14_reg4_dinov2", dinov2(base(14, 518), 4)},
      {"vit_large_patch14_reg4_dinov2", dinov2(large(14, 518), 4)},
      {"vit_base_patch32_clip_224", clip(base(32, 224))},
      {"vit_base_patch32_clip_384", clip(base(32, 384))},
      {"vit_base_patch32_clip_448", clip(base(32, 448))},
      {"vit_base_patch16_clip_224", clip(base(16, 224))},
      {"vit_base_patch16_clip_384", clip(base(16, 384))},
      {"vit_large_patch14_clip_224", clip(large(14, 224))},
      {"vit_large_patch14_clip_336", clip(large(14, 336))},
      {"vit_huge_patch14_clip_224", clip(huge(14, 224))},
      {"vit_huge_patch14_clip_336", clip(huge(14, 336))},
      {"deit_tiny_patch16_224", tiny(16, 224)},
      {"deit_small_patch16_224", small(16, 224)},
      {"deit_base_patch16_224", base(16, 224)},
      {"deit_base_patch16_384", base(16, 384)},
      {"deit_tiny_distilled_patch16_224", distilled(tiny(16, 224))},
      {"deit_small_distilled_patch16_224", distilled(small(16, 224))},
      {"deit_base_distilled_patch16_224", distilled(base(16, 224))},
      {"deit_base_distilled_patch16_384", distilled(base(16, 384))},
      {"deit3_small_patch16_224", deit3(small(16, 224))},
      {"deit3_small_patch16_384", deit3(small(16, 384))},
      {"deit3_medium_patch16_224", deit3(medium(16, 224))},
      {"deit3_base_patch16_224", deit3(base(16, 224))},
      {"deit3_base_patch16_384", deit3(base(16, 384))},
      {"deit3_large_patch16_224", deit3(large(16, 224))},
      {"deit3_large_patch16_384", deit3(large(16, 384))},
      {"deit3_huge_patch14_224", deit3(huge(14, 224))},
  };
  return sizes;
}

}  // namespace ds::hub
