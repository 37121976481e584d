// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/vit.h"

#include "ds/base/error.h"
#include "ds/hub/heads.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr BlockNames kBlock{.query = "attention.q_proj",
                            .key = "attention.k_proj",
                            .value = "attention.v_proj",
                            .out = "attention.o_proj",
                            .attention_norm = "layernorm_before",
                            .up = "mlp.fc1",
                            .down = "mlp.fc2",
                            .mlp_norm = "layernorm_after"};

bool is_deit(const ViTConfig& c) { return c.model_type == "deit"; }

/// The child below a head.
const char* body_name(const ViTConfig& c) { return is_deit(c) ? "deit" : "vit"; }

void check(const ViTConfig& c) {
  DS_CHECK(is_deit(c) || c.model_type == "vit", ValueError, "config: the encoder of images '",
           c.model_type, "' is unknown; use vit or deit");
  check_image_model("ViTModel", c.num_channels, 0);
  DS_CHECK(c.patch_size >= 1 && c.image_size >= c.patch_size, ValueError, "config: patches of ",
           c.patch_size, " pixels do not fit into images of ", c.image_size);
  DS_CHECK(c.num_hidden_layers >= 0 && c.pooler_output_size.value_or(1) > 0, ValueError,
           "config: num_hidden_layers ", c.num_hidden_layers,
           " must not be negative, pooler_output_size ", c.pooler_output_size.value_or(1),
           " positive");
}

void add_head(nn::Module& root, const char* name, const ViTConfig& c) {
  DS_CHECK(c.num_labels > 0, ValueError, "config: num_labels ", c.num_labels, " must be positive");
  const auto head = root.add<nn::Linear>(name, c.hidden_size, c.num_labels);
  init_weights(*head, c.initializer_range);
}

}  // namespace

ViTModel::ViTModel(const ViTConfig& config, bool pooling) : config_(config) {
  const ViTConfig& c = config_;
  check(c);
  const auto embeddings = add<Group>("embeddings");
  const int64_t side = c.image_size / c.patch_size;
  embeddings->register_parameter("cls_token", empty({1, 1, c.hidden_size}));
  embeddings->register_parameter("position_embeddings",
                                 empty({1, side * side + prefix_tokens(), c.hidden_size}));
  if (is_deit(c))
    embeddings->register_parameter("distillation_token", empty({1, 1, c.hidden_size}));
  for (const auto& [name, parameter] : embeddings->named_parameters())
    nn::init::trunc_normal_(parameter, 0.0, c.initializer_range);
  nn::ConvOptions patches{c.num_channels, c.hidden_size, c.patch_size};
  patches.stride = c.patch_size;
  const auto projection = std::make_shared<nn::Conv2d>(patches);
  nn::init::trunc_normal_(projection->parameter("weight"), 0.0, c.initializer_range);
  nn::init::zeros_(projection->parameter("bias"));
  add_at(*embeddings, "patch_embeddings.projection", projection);
  const BlockOptions options{.hidden_size = c.hidden_size,
                             .heads = c.num_attention_heads,
                             .intermediate_size = c.intermediate_size,
                             .activation = c.hidden_act,
                             .dropout = c.hidden_dropout_prob,
                             .attention_dropout = c.attention_probs_dropout_prob,
                             .eps = c.layer_norm_eps,
                             .pre_norm = true,
                             .qkv_bias = c.qkv_bias};
  const auto layers = add<nn::ModuleList>("layers");
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    layers->append(std::make_shared<TransformerBlock>(kBlock, options));
  add<nn::LayerNorm>("layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
  if (pooling)
    add_at(
        *this, "pooler.dense",
        std::make_shared<nn::Linear>(c.hidden_size, c.pooler_output_size.value_or(c.hidden_size)));
  init_weights(*this, c.initializer_range);
}

std::string ViTModel::type_name() const { return is_deit(config_) ? "DeiTModel" : "ViTModel"; }

Tensor ViTModel::positions(int64_t height, int64_t width) const {
  const Tensor all = child("embeddings")->parameter("position_embeddings");
  const int64_t side = config_.image_size / config_.patch_size, prefix = prefix_tokens();
  const int64_t rows = height / config_.patch_size, columns = width / config_.patch_size;
  if (rows == side && columns == side) return all;
  const Tensor grid = reshape(slice(all, 1, prefix), {1, side, side, config_.hidden_size});
  const Tensor resized =
      interpolate(permute(grid, {0, 3, 1, 2}), PerDim{rows, columns}, {}, "bicubic", false);
  return cat({narrow(all, 1, 0, prefix), transpose(flatten(resized, 2), 1, 2)}, 1);
}

Tensor ViTModel::embed(const ImageInput& input) {
  const ViTConfig& c = config_;
  const std::string name = type_name();
  const Tensor& images = given(name.c_str(), "pixel_values", input.pixel_values);
  check_images(name.c_str(), images, c.num_channels);
  const int64_t height = images.size(2), width = images.size(3);
  if (input.interpolate_pos_encoding)
    DS_CHECK(height >= c.patch_size && width >= c.patch_size, ShapeError, name, ": the images ",
             images.type(), " are smaller than a patch of ", c.patch_size, " pixels");
  else
    DS_CHECK(height == c.image_size && width == c.image_size, ShapeError, name, ": the images ",
             images.type(), " must have ", c.image_size, "x", c.image_size,
             " pixels; resize them, or pass interpolate_pos_encoding=True");
  nn::Module& embeddings = *child("embeddings");
  std::vector<Tensor> all;
  for (const char* token : {"cls_token", "distillation_token"})
    if (embeddings.has_parameter(token))
      all.push_back(expand(embeddings.parameter(token), {images.size(0), -1, -1}));
  all.push_back(
      transpose(flatten(call_at(embeddings, "patch_embeddings.projection", images), 2), 1, 2));
  const Tensor tokens = cat(all, 1) + positions(height, width);
  return dropout(tokens, c.hidden_dropout_prob, is_training());
}

Output ViTModel::forward(const ImageInput& input) {
  Output out;
  Tensor x = embed(input);
  AttentionPlace place;
  if (input.output_attentions) place.weights = &out.attentions;
  for (const auto& [name, layer] : child("layers")->named_children()) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    auto* block = dynamic_cast<TransformerBlock*>(layer.get());
    x = block && place.weights ? block->forward(x, {}, place) : (*layer)(x);
  }
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  x = (*child("layernorm"))(x);
  Tensor pooled;
  if (has_child("pooler"))
    pooled = activate(config_.pooler_act, call_at(*this, "pooler.dense", select(x, 1, 0)));
  out.values = {{"last_hidden_state", x}, {"pooler_output", pooled}};
  return out;
}

ViTForImageClassification::ViTForImageClassification(const ViTConfig& c) : config_(c) {
  add<ViTModel>(body_name(c), c, false);
  add_head(*this, "classifier", c);
}

std::string ViTForImageClassification::type_name() const {
  return is_deit(config_) ? "DeiTForImageClassification" : "ViTForImageClassification";
}

Output ViTForImageClassification::forward(const ImageInput& input,
                                          const std::optional<Tensor>& labels) {
  Output out = child_as<ViTModel>(body_name(config_)).forward(input);
  const Tensor logits = (*child("classifier"))(select(out.values[0].second, 1, 0));
  Tensor loss;
  if (present(labels)) loss = classification_loss(config_, logits, *labels);
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

DeiTForImageClassificationWithTeacher::DeiTForImageClassificationWithTeacher(const ViTConfig& c) {
  DS_CHECK(is_deit(c), ValueError, type_name(), ": a '", c.model_type,
           "' model has no token for distillation");
  add<ViTModel>("deit", c, false);
  for (const char* name : {"cls_classifier", "distillation_classifier"}) add_head(*this, name, c);
}

Output DeiTForImageClassificationWithTeacher::forward(const ImageInput& input) {
  Output out = child_as<ViTModel>("deit").forward(input);
  const Tensor states = out.values[0].second;
  const Tensor logits = (*child("cls_classifier"))(select(states, 1, 0));
  const Tensor distilled = (*child("distillation_classifier"))(select(states, 1, 1));
  out.values = {{"logits", (logits + distilled) / 2},
                {"cls_logits", logits},
                {"distillation_logits", distilled}};
  return out;
}

}  // namespace ds::hub
