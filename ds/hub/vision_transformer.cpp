// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/vision_transformer.h"

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr BlockNames kBlock{.qkv = "attn.qkv",
                            .out = "attn.proj",
                            .attention_norm = "norm1",
                            .up = "mlp.fc1",
                            .down = "mlp.fc2",
                            .mlp_norm = "norm2",
                            .attention_scale = "ls1",
                            .mlp_scale = "ls2"};

void check(const VisionTransformerConfig& c) {
  check_image_model("VisionTransformer", c.in_channels, c.num_classes);
  DS_CHECK(c.patch_size >= 1 && c.img_size >= c.patch_size, ValueError,
           "VisionTransformer: patches of ", c.patch_size, " pixels do not fit into images of ",
           c.img_size);
  DS_CHECK(c.depth >= 0 && c.reg_tokens >= 0, ValueError, "VisionTransformer: depth ", c.depth,
           " and reg_tokens ", c.reg_tokens, " must not be negative");
  DS_CHECK(c.global_pool == "token" || c.global_pool == "avg", ValueError,
           "VisionTransformer: global_pool '", c.global_pool, "' is unknown; use token or avg");
  DS_CHECK(!c.distilled || c.global_pool == "token", ValueError,
           "VisionTransformer: distilled needs global_pool token");
}

}  // namespace

VisionTransformer::VisionTransformer(const VisionTransformerConfig& config) : config_(config) {
  check(config);
  const VisionTransformerConfig& c = config_;
  const int64_t dim = c.embed_dim, side = c.img_size / c.patch_size;
  const auto token = [&](const char* name, int64_t count) {
    nn::init::normal_(register_parameter(name, empty({1, count, dim})), 0.0, 1e-6);
  };
  token("cls_token", 1);
  if (c.distilled) token("dist_token", 1);
  if (c.reg_tokens) token("reg_token", c.reg_tokens);
  const int64_t positions = side * side + (c.no_embed_class ? 0 : prefix_tokens());
  nn::init::trunc_normal_(register_parameter("pos_embed", empty({1, positions, dim})), 0.0, 0.02);
  nn::ConvOptions patches{c.in_channels, dim, c.patch_size};
  patches.stride = c.patch_size;
  patches.bias = !c.pre_norm;
  add_at(*this, "patch_embed.proj", std::make_shared<nn::Conv2d>(patches));
  const auto norm = [&](const char* name) { add<nn::LayerNorm>(name, Shape{dim}, c.norm_eps); };
  if (c.pre_norm) norm("norm_pre");
  BlockOptions options{
      .hidden_size = dim,
      .heads = c.num_heads,
      .intermediate_size = static_cast<int64_t>(static_cast<double>(dim) * c.mlp_ratio),
      .activation = c.act_layer,
      .attention_dropout = c.attn_drop_rate,
      .eps = c.norm_eps,
      .pre_norm = true};
  options.layer_scale = c.init_values;
  const auto blocks = add<nn::Sequential>("blocks");
  for (int64_t i = 0; i < c.depth; ++i) {
    options.drop_path = drop_path_rate_of(c.drop_path_rate, i, c.depth);
    blocks->append(std::make_shared<TransformerBlock>(kBlock, options));
  }
  init_weights(*this, 0.02);
  norm(c.global_pool == "avg" ? "fc_norm" : "norm");
  register_module("head", classifier(dim, c.num_classes));
  if (c.distilled) register_module("head_dist", classifier(dim, c.num_classes));
}

Tensor VisionTransformer::embed(const Tensor& x) {
  const VisionTransformerConfig& c = config_;
  check_images("VisionTransformer", x, c.in_channels);
  DS_CHECK(x.size(2) == c.img_size && x.size(3) == c.img_size, ShapeError,
           "VisionTransformer: the images ", x.type(), " must have ", c.img_size, "x", c.img_size,
           " pixels; resize them, or make the model with another img_size");
  Tensor patches = transpose(flatten(call_at(*this, "patch_embed.proj", x), 2), 1, 2);
  if (c.no_embed_class) patches = patches + parameter("pos_embed");
  std::vector<Tensor> all;
  for (const char* name : {"cls_token", "dist_token", "reg_token"})
    if (has_parameter(name)) all.push_back(expand(parameter(name), {x.size(0), -1, -1}));
  all.push_back(patches);
  Tensor tokens = cat(all, 1);
  if (!c.no_embed_class) tokens = tokens + parameter("pos_embed");
  tokens = dropout(tokens, c.pos_drop_rate, is_training());
  return c.pre_norm ? (*child("norm_pre"))(tokens) : tokens;
}

Tensor VisionTransformer::forward_features(const Tensor& x) {
  const Tensor out = (*child("blocks"))(embed(x));
  return has_child("norm") ? (*child("norm"))(out) : out;
}

Tensor VisionTransformer::forward(const Tensor& x) {
  const Tensor tokens = forward_features(x);
  const auto head = [&](const char* name, const Tensor& features) {
    return (*child(name))(dropout(features, config_.drop_rate, is_training()));
  };
  if (config_.global_pool == "avg") {
    const Tensor mean_patch = mean(slice(tokens, 1, prefix_tokens()), 1);
    return head("head", (*child("fc_norm"))(mean_patch));
  }
  const Tensor logits = head("head", select(tokens, 1, 0));
  if (!config_.distilled) return logits;
  return (logits + head("head_dist", select(tokens, 1, 1))) / 2;
}

}  // namespace ds::hub
