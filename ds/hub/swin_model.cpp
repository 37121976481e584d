// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "ds/base/error.h"
#include "ds/hub/image_bodies.h"
#include "ds/hub/swin.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr SwinBlockNames kBlock{.attention_norm = "layernorm_before",
                                .mlp_norm = "layernorm_after",
                                .query = "attention.q_proj",
                                .key = "attention.k_proj",
                                .value = "attention.v_proj",
                                .qkv = nullptr,
                                .out = "attention.o_proj",
                                .bias = "attention.relative_position_bias"};

/// [N, H, W, C] -> [N, H * W, C].
Tensor in_a_row(const Tensor& x) { return flatten(x, 1, 2); }

}  // namespace

SwinModel::SwinModel(const SwinModelConfig& config, bool pooling)
    : config_(config), pooling_(pooling) {
  const SwinModelConfig& c = config_;
  check_image_model("SwinModel", c.num_channels, 0);
  check_swin_sizes({"SwinModel", "image_size", c.image_size, c.patch_size, c.window_size,
                    c.embed_dim, c.depths, c.num_heads});
  const auto embeddings = add<Group>("embeddings");
  const int64_t side = c.image_size / c.patch_size;
  if (c.use_absolute_embeddings)
    embeddings->register_parameter("position_embeddings",
                                   clone(zeros({1, side * side, c.embed_dim})));
  nn::ConvOptions patches{c.num_channels, c.embed_dim, c.patch_size};
  patches.stride = c.patch_size;
  const auto projection = std::make_shared<nn::Conv2d>(patches);
  nn::init::normal_(projection->parameter("weight"), 0.0, c.initializer_range);
  nn::init::zeros_(projection->parameter("bias"));
  add_at(*embeddings, "patch_embeddings.projection", projection);
  embeddings->add<nn::LayerNorm>("norm", Shape{c.embed_dim});
  add_layers();
  add<nn::LayerNorm>("layernorm", Shape{c.embed_dim << (c.depths.size() - 1)}, c.layer_norm_eps);
  init_weights(*this, c.initializer_range);
}

void SwinModel::add_layers() {
  const SwinModelConfig& c = config_;
  const auto layers = std::make_shared<nn::ModuleList>();
  const int64_t count = std::accumulate(c.depths.begin(), c.depths.end(), int64_t{0});
  int64_t size = c.image_size / c.patch_size, index = 0;
  for (size_t i = 0; i < c.depths.size(); ++i, size = (size + 1) / 2) {
    const auto stage = std::make_shared<Group>();
    const auto blocks = stage->add<nn::ModuleList>("blocks");
    for (int64_t n = 0; n < c.depths[i]; ++n, ++index)
      blocks->append(std::make_shared<SwinBlock>(
          SwinBlockOptions{.dim = c.embed_dim << i,
                           .heads = c.num_heads[i],
                           .size = size,
                           .window = c.window_size,
                           .shift = n % 2 == 1 ? c.window_size / 2 : 0,
                           .mlp_ratio = c.mlp_ratio,
                           .attention_dropout = c.attention_probs_dropout_prob,
                           .drop_path = drop_path_rate_of(c.drop_path_rate, index, count),
                           .dropout = c.hidden_dropout_prob,
                           .eps = c.layer_norm_eps,
                           .activation = c.hidden_act,
                           .qkv_bias = c.qkv_bias,
                           .border_first = true},
          kBlock));
    if (i + 1 < c.depths.size()) stage->add<PatchMerging>("downsample", c.embed_dim << i);
    layers->append(stage);
  }
  add_at(*this, "encoder.layers", layers);
}

Tensor SwinModel::embed(const ImageInput& input) {
  const SwinModelConfig& c = config_;
  const Tensor& images = given("SwinModel", "pixel_values", input.pixel_values);
  check_images("SwinModel", images, c.num_channels);
  const auto missing = [&](int64_t size) {
    return (c.patch_size - size % c.patch_size) % c.patch_size;
  };
  nn::Module& embeddings = *child("embeddings");
  const Tensor whole = pad(images, {0, missing(images.size(3)), 0, missing(images.size(2))});
  Tensor x = permute(call_at(embeddings, "patch_embeddings.projection", whole), {0, 2, 3, 1});
  const int64_t rows = x.size(1), columns = x.size(2);
  x = call_at(embeddings, "norm", x);
  if (c.use_absolute_embeddings) {
    const int64_t side = c.image_size / c.patch_size;
    const Tensor grid =
        reshape(embeddings.parameter("position_embeddings"), {1, side, side, c.embed_dim});
    const bool usual = rows == side && columns == side;
    DS_CHECK(usual || input.interpolate_pos_encoding, ShapeError, "SwinModel: the images ",
             images.type(), " must have ", c.image_size, "x", c.image_size,
             " pixels; resize them, or pass interpolate_pos_encoding=True");
    x = x + (usual ? grid
                   : permute(interpolate(permute(grid, {0, 3, 1, 2}), PerDim{rows, columns}, {},
                                         "bicubic", false),
                             {0, 2, 3, 1}));
  }
  return dropout(x, c.hidden_dropout_prob, is_training());
}

Output SwinModel::forward(const ImageInput& input) {
  Output out;
  Tensor x = embed(input);
  const auto keep = [&] {
    if (!input.output_hidden_states) return;
    out.hidden_states.push_back(in_a_row(x));
    out.pictures.push_back(permute(x, {0, 3, 1, 2}));
  };
  keep();
  for (const auto& [index, stage] : get_submodule("encoder.layers")->named_children()) {
    DS_CHECK(std::min(x.size(1), x.size(2)) >= config_.window_size, ShapeError, "SwinModel: stage ",
             index, " sees ", x.size(1), "x", x.size(2), " patches, fewer than a window of ",
             config_.window_size,
             "; give larger images, or make the model with another "
             "window_size");
    std::vector<Tensor> weights;
    for (const auto& [name, layer] : stage->child("blocks")->named_children()) {
      auto* block = dynamic_cast<SwinBlock*>(layer.get());
      weights.clear();
      x = block && input.output_attentions ? block->forward(x, &weights) : (*layer)(x);
    }
    for (const Tensor& seen : weights) out.attentions.push_back(seen);
    if (stage->has_child("downsample")) x = (*stage->child("downsample"))(x);
    keep();
  }
  x = in_a_row((*child("layernorm"))(x));
  out.values = {{"last_hidden_state", x}, {"pooler_output", pooling_ ? mean(x, 1) : Tensor()}};
  return out;
}

}  // namespace ds::hub
