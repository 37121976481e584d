// SPDX-License-Identifier: Apache-2.0
// The head of BEiT that tells the class of every pixel.
#include "ds/base/error.h"
#include "ds/hub/beit.h"
#include "ds/hub/segmentation.h"
#include "ds/hub/vision_parts.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

std::shared_ptr<nn::Sequential> relu_unit(int64_t in, int64_t out, int64_t kernel) {
  return conv_unit({{.in = in, .out = out, .kernel = kernel}, "relu"});
}

void check(const BeitConfig& c) {
  const char* name = "BeitForSemanticSegmentation";
  DS_CHECK(c.num_labels > 1, ValueError, name, ": num_labels ", c.num_labels,
           " must be more than one");
  DS_CHECK(c.out_indices.size() == 4, ValueError, name, ": out_indices are ", c.out_indices.size(),
           "; name four of the layers, such as [3, 5, 7, 11]");
  for (const int64_t layer : c.out_indices)
    DS_CHECK(layer >= 1 && layer <= c.num_hidden_layers, ValueError, name, ": out_indices has ",
             layer, ", the layers are ", c.num_hidden_layers);
  for (const int64_t scale : c.pool_scales)
    DS_CHECK(scale >= 1, ValueError, name, ": pool_scales has ", scale, ", which is not positive");
  DS_CHECK(c.auxiliary_channels >= 1 && c.auxiliary_num_convs >= 0, ValueError, name,
           ": auxiliary_channels ", c.auxiliary_channels, " must be positive, auxiliary_num_convs ",
           c.auxiliary_num_convs, " not negative");
}

/// What a head looks at: the pictures of four layers, in steps of a half from four times the size.
std::vector<Tensor> pyramid(nn::Module& neck, const std::vector<Tensor>& pictures) {
  const Tensor larger =
      gelu(call_at(neck, "fpn1.normalization", call_at(neck, "fpn1.conv_transpose1", pictures[0])));
  return {call_at(neck, "fpn1.conv_transpose2", larger), call_at(neck, "fpn2", pictures[1]),
          pictures[2], max_pool2d(pictures[3], 2)};
}

void add_decoder(nn::Module& head, const BeitConfig& c) {
  const int64_t size = c.hidden_size;
  head.register_module("classifier", image_conv({.in = size, .out = c.num_labels, .bias = true}));
  const auto pools = std::make_shared<nn::ModuleList>();
  for (size_t i = 0; i < c.pool_scales.size(); ++i) {
    const auto pool = std::make_shared<Group>();
    pool->register_module("conv", relu_unit(size, size, 1));
    pools->append(pool);
  }
  add_at(head, "psp_modules.blocks", pools);
  const auto parts = static_cast<int64_t>(c.pool_scales.size()) + 1;
  head.register_module("psp_bottleneck", relu_unit(parts * size, size, 3));
  const auto lateral = head.add<nn::ModuleList>("lateral_convs");
  const auto refined = head.add<nn::ModuleList>("fpn_convs");
  for (int i = 0; i < 3; ++i) {
    lateral->append(relu_unit(size, size, 1));
    refined->append(relu_unit(size, size, 3));
  }
  head.register_module("fpn_bottleneck", relu_unit(4 * size, size, 3));
}

Tensor resized_like(const Tensor& picture, const Tensor& other) {
  return resized_pictures(picture, other.size(2), other.size(3));
}

/// Pools of several sizes, then sums from the coarsest picture to the finest.
Tensor decode(nn::Module& head, const BeitConfig& c, const std::vector<Tensor>& pictures) {
  const Tensor& coarsest = pictures.back();
  std::vector<Tensor> pooled{coarsest};
  size_t place = 0;
  for (const auto& [name, pool] : head.get_submodule("psp_modules.blocks")->named_children()) {
    const Tensor seen = adaptive_avg_pool2d(coarsest, c.pool_scales[place++]);
    pooled.push_back(resized_like(call_at(*pool, "conv", seen), coarsest));
  }
  std::vector<Tensor> levels;
  place = 0;
  for (const auto& [name, lateral] : head.child("lateral_convs")->named_children())
    levels.push_back((*lateral)(pictures[place++]));
  levels.push_back(call_at(head, "psp_bottleneck", cat(pooled, 1)));
  for (size_t i = levels.size() - 1; i > 0; --i)
    levels[i - 1] = levels[i - 1] + resized_like(levels[i], levels[i - 1]);
  place = 0;
  for (const auto& [name, refine] : head.child("fpn_convs")->named_children()) {
    levels[place] = (*refine)(levels[place]);
    ++place;
  }
  for (Tensor& level : levels) level = resized_like(level, levels[0]);
  return call_at(head, "classifier", call_at(head, "fpn_bottleneck", cat(levels, 1)));
}

void add_auxiliary(nn::Module& head, const BeitConfig& c) {
  const int64_t size = c.auxiliary_channels;
  const auto convs = head.add<nn::ModuleList>("convs");
  for (int64_t i = 0; i < c.auxiliary_num_convs; ++i)
    convs->append(relu_unit(i == 0 ? c.hidden_size : size, size, 3));
  if (c.auxiliary_concat_input)
    head.register_module("conv_cat", relu_unit(c.hidden_size + size, size, 3));
  head.register_module("classifier", image_conv({.in = size, .out = c.num_labels, .bias = true}));
}

Tensor auxiliary(nn::Module& head, const Tensor& picture) {
  Tensor x = picture;
  for (const auto& [name, conv] : head.child("convs")->named_children()) x = (*conv)(x);
  if (head.has_child("conv_cat")) x = call_at(head, "conv_cat", cat({picture, x}, 1));
  return call_at(head, "classifier", x);
}

}  // namespace

BeitForSemanticSegmentation::BeitForSemanticSegmentation(const BeitConfig& config)
    : config_(config) {
  const BeitConfig& c = config_;
  check(c);
  add<BeitModel>("beit", c, false);
  nn::ConvOptions twice{c.hidden_size, c.hidden_size, 2};
  twice.stride = 2;
  const auto neck = add<Group>("fpn");
  add_at(*neck, "fpn1.conv_transpose1", std::make_shared<nn::ConvTranspose2d>(twice));
  add_at(*neck, "fpn1.normalization", std::make_shared<nn::BatchNorm2d>(c.hidden_size));
  add_at(*neck, "fpn1.conv_transpose2", std::make_shared<nn::ConvTranspose2d>(twice));
  neck->add<nn::ConvTranspose2d>("fpn2", twice);
  add_decoder(*add<Group>("decode_head"), c);
  if (c.use_auxiliary_head) add_auxiliary(*add<Group>("auxiliary_head"), c);
}

Output BeitForSemanticSegmentation::forward(const ImageInput& input,
                                            const std::optional<Tensor>& labels) {
  const BeitConfig& c = config_;
  ImageInput all = input;
  all.output_hidden_states = true;
  Output out = child_as<BeitModel>("beit").forward(all);
  const Tensor& images = *input.pixel_values;
  const int64_t rows = images.size(2) / c.patch_size, columns = images.size(3) / c.patch_size;
  std::vector<Tensor> pictures;
  for (const int64_t layer : c.out_indices) {
    const Tensor tokens = slice(out.hidden_states[static_cast<size_t>(layer) - 1], 1, 1);
    pictures.push_back(
        reshape(transpose(tokens, 1, 2), {images.size(0), c.hidden_size, rows, columns}));
  }
  pictures = pyramid(*child("fpn"), pictures);
  const Tensor logits = decode(*child("decode_head"), c, pictures);
  Tensor loss;
  if (present(labels)) {
    loss = semantic_loss(logits, *labels, c.semantic_loss_ignore_index);
    if (has_child("auxiliary_head")) {
      const Tensor other = auxiliary(*child("auxiliary_head"), pictures[2]);
      loss = loss +
             semantic_loss(other, *labels, c.semantic_loss_ignore_index) * c.auxiliary_loss_weight;
    }
  }
  out.values = {{"loss", loss}, {"logits", logits}};
  if (!input.output_hidden_states) out.hidden_states.clear();
  return out;
}

}  // namespace ds::hub
