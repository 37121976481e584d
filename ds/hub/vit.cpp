// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/vit.h"

#include "ds/base/error.h"
#include "ds/hub/experts.h"
#include "ds/hub/heads.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/nn/layers_activation.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// What tells one family from another.
struct ViTFamily {
  const char *model_type, *class_prefix;
  const char *body, *layers;  // the child below a head, and the layers below that
  int64_t prefix_tokens = 1;
  bool scaled = false;  // DINOv2: scaled layers, and positions are resized to every image
};

namespace {

constexpr BlockNames kBlock{.query = "attention.q_proj",
                            .key = "attention.k_proj",
                            .value = "attention.v_proj",
                            .out = "attention.o_proj",
                            .attention_norm = "layernorm_before",
                            .up = "mlp.fc1",
                            .down = "mlp.fc2",
                            .mlp_norm = "layernorm_after"};

constexpr ViTFamily kFamilies[] = {
    {"vit", "ViT", "vit", "layers"},
    {"deit", "DeiT", "deit", "layers", 2},
    {"dinov2", "Dinov2", "dinov2", "encoder.layer", 1, true},
};

const ViTFamily& family_of(const ViTConfig& c) {
  for (const ViTFamily& family : kFamilies)
    if (c.model_type == family.model_type) return family;
  throw ValueError(str("config: the encoder of images '", c.model_type,
                       "' is unknown; use vit, deit or dinov2"));
}

bool is_deit(const ViTConfig& c) { return family_of(c).prefix_tokens == 2; }

/// A layer of DINOv2: x [N, tokens, hidden_size] -> the same shape. What its parts add is
/// multiplied by a number a channel (Touvron et al., "Going deeper with Image Transformers", 2021).
class Dinov2Layer : public nn::Module {
 public:
  explicit Dinov2Layer(const ViTConfig& config) : config_(config) {
    const ViTConfig& c = config_;
    const int64_t h = c.hidden_size;
    DS_CHECK(c.num_attention_heads > 0 && h % c.num_attention_heads == 0, ValueError,
             "config: ", c.num_attention_heads, " attention heads do not divide the hidden size ",
             h);
    const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias = true) {
      add_at(*this, name, std::make_shared<nn::Linear>(in, out, bias));
    };
    for (const char* name : {"norm1", "norm2"})
      add<nn::LayerNorm>(name, Shape{h}, c.layer_norm_eps);
    for (const char* name : {"attention.q_proj", "attention.k_proj", "attention.v_proj"})
      dense(name, h, h, c.qkv_bias);
    dense("attention.o_proj", h, h);
    if (c.use_swiglu_ffn) {  // two thirds of the size, as its matrices are three
      const int64_t inner = (c.intermediate_size * 2 / 3 + 7) / 8 * 8;
      for (const char* name : {"mlp.gate_proj", "mlp.up_proj"}) dense(name, h, inner);
      dense("mlp.down_proj", inner, h);
    } else {
      dense("mlp.fc1", h, c.intermediate_size);
      dense("mlp.fc2", c.intermediate_size, h);
    }
    for (const char* name : {"layer_scale1", "layer_scale2"})
      nn::init::constant_(add<Group>(name)->register_parameter("lambda1", empty({h})),
                          c.layerscale_value);
  }
  std::string type_name() const override { return "Dinov2Layer"; }
  Tensor forward(const Tensor& x) override { return forward(x, {}); }
  Tensor forward(const Tensor& x, AttentionPlace place) {
    const ViTConfig& c = config_;
    const auto added = [&](const char* scale, const Tensor& to, const Tensor& y) {
      return to +
             drop_path(y * child(scale)->parameter("lambda1"), c.drop_path_rate, is_training());
    };
    const Tensor seen = call_at(*this, "norm1", x);
    const auto heads = [&](const char* name) {
      return split_heads(call_at(*this, name, seen), c.num_attention_heads);
    };
    Attention attention{{}, false, is_training() ? c.attention_probs_dropout_prob : 0.0};
    attention.place = place;
    const Tensor joined =
        attention(heads("attention.q_proj"), heads("attention.k_proj"), heads("attention.v_proj"));
    const Tensor y = added("layer_scale1", x, call_at(*this, "attention.o_proj", joined));
    const Tensor z = call_at(*this, "norm2", y);
    if (c.use_swiglu_ffn) return added("layer_scale2", y, run_gated(*child("mlp"), "silu", z));
    const Tensor inner = activate(c.hidden_act, call_at(*this, "mlp.fc1", z));
    return added("layer_scale2", y, call_at(*this, "mlp.fc2", inner));
  }

 private:
  ViTConfig config_;
};

void check(const ViTConfig& c) {
  check_image_model("ViTModel", c.num_channels, 0);
  DS_CHECK(c.patch_size >= 1 && c.image_size >= c.patch_size, ValueError, "config: patches of ",
           c.patch_size, " pixels do not fit into images of ", c.image_size);
  DS_CHECK(c.num_hidden_layers >= 0 && c.pooler_output_size.value_or(1) > 0, ValueError,
           "config: num_hidden_layers ", c.num_hidden_layers,
           " must not be negative, pooler_output_size ", c.pooler_output_size.value_or(1),
           " positive");
}

}  // namespace

ViTModel::ViTModel(const ViTConfig& config, bool pooling, bool mask_token)
    : config_(config), family_(family_of(config)) {
  const ViTConfig& c = config_;
  check(c);
  const auto embeddings = add<Group>("embeddings");
  const int64_t side = c.image_size / c.patch_size;
  embeddings->register_parameter("cls_token", empty({1, 1, c.hidden_size}));
  embeddings->register_parameter("position_embeddings",
                                 empty({1, side * side + family_.prefix_tokens, c.hidden_size}));
  if (is_deit(c))
    embeddings->register_parameter("distillation_token", empty({1, 1, c.hidden_size}));
  for (const auto& [name, parameter] : embeddings->named_parameters())
    nn::init::trunc_normal_(parameter, 0.0, c.initializer_range);
  if (family_.scaled && c.use_mask_token)
    embeddings->register_parameter("mask_token", clone(zeros({1, c.hidden_size})));
  else if (mask_token)
    embeddings->register_parameter("mask_token", clone(zeros({1, 1, c.hidden_size})));
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
  const auto layers = std::make_shared<nn::ModuleList>();
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    if (family_.scaled)
      layers->append(std::make_shared<Dinov2Layer>(c));
    else
      layers->append(std::make_shared<TransformerBlock>(kBlock, options));
  add_at(*this, family_.layers, layers);
  add<nn::LayerNorm>("layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
  if (pooling && !family_.scaled)
    add_at(
        *this, "pooler.dense",
        std::make_shared<nn::Linear>(c.hidden_size, c.pooler_output_size.value_or(c.hidden_size)));
  init_weights(*this, c.initializer_range);
}

std::string ViTModel::type_name() const { return std::string(family_.class_prefix) + "Model"; }

Tensor ViTModel::positions(int64_t height, int64_t width) const {
  const Tensor all = child("embeddings")->parameter("position_embeddings");
  const int64_t side = config_.image_size / config_.patch_size, prefix = family_.prefix_tokens;
  const int64_t rows = height / config_.patch_size, columns = width / config_.patch_size;
  if (rows == side && columns == side) return all;
  const Tensor resized = resized_positions(slice(all, 1, prefix), {side, side}, {rows, columns});
  return cat({narrow(all, 1, 0, prefix), resized}, 1);
}

Tensor ViTModel::embed(const ImageInput& input) {
  const ViTConfig& c = config_;
  const std::string name = type_name();
  const Tensor& images = given(name.c_str(), "pixel_values", input.pixel_values);
  check_images(name.c_str(), images, c.num_channels);
  const int64_t height = images.size(2), width = images.size(3);
  if (input.interpolate_pos_encoding || family_.scaled)
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
  Tensor patches =
      transpose(flatten(call_at(embeddings, "patch_embeddings.projection", images), 2), 1, 2);
  if (present(input.bool_masked_pos)) {
    const Tensor& marks = *input.bool_masked_pos;
    DS_CHECK(embeddings.has_parameter("mask_token"), ValueError, name,
             ": there is no mask_token for bool_masked_pos");
    DS_CHECK(
        marks.dim() == 2 && marks.size(0) == patches.size(0) && marks.size(1) == patches.size(1),
        ShapeError, name, ": bool_masked_pos ", marks.type(), " must be [", patches.size(0), ", ",
        patches.size(1), "], images and patches");
    const Tensor hidden = unsqueeze(to_dtype(marks, patches.dtype()), -1);
    patches = patches * (1 - hidden) + embeddings.parameter("mask_token") * hidden;
  }
  all.push_back(patches);
  const Tensor tokens = cat(all, 1) + positions(height, width);
  return dropout(tokens, c.hidden_dropout_prob, is_training());
}

Output ViTModel::forward(const ImageInput& input) {
  Output out;
  Tensor x = embed(input);
  AttentionPlace place;
  if (input.output_attentions) place.weights = &out.attentions;
  for (const auto& [name, layer] : get_submodule(family_.layers)->named_children()) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    auto* block = dynamic_cast<TransformerBlock*>(layer.get());
    auto* scaled = dynamic_cast<Dinov2Layer*>(layer.get());
    if (place.weights && block)
      x = block->forward(x, {}, place);
    else if (place.weights && scaled)
      x = scaled->forward(x, place);
    else
      x = (*layer)(x);
  }
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  x = (*child("layernorm"))(x);
  Tensor pooled;
  if (family_.scaled) pooled = select(x, 1, 0);
  if (has_child("pooler"))
    pooled = activate(config_.pooler_act, call_at(*this, "pooler.dense", select(x, 1, 0)));
  out.values = {{"last_hidden_state", x}, {"pooler_output", pooled}};
  return out;
}

ViTForMaskedImageModeling::ViTForMaskedImageModeling(const ViTConfig& c) : config_(c) {
  DS_CHECK(c.encoder_stride > 0, ValueError, "config: encoder_stride ", c.encoder_stride,
           " must be positive");
  add<ViTModel>(family_of(c).body, c, false, true);
  const auto decoder = add<nn::Sequential>("decoder");
  const auto pixels = std::make_shared<nn::Conv2d>(
      nn::ConvOptions{c.hidden_size, c.encoder_stride * c.encoder_stride * c.num_channels, 1});
  nn::init::trunc_normal_(pixels->parameter("weight"), 0.0, c.initializer_range);
  nn::init::zeros_(pixels->parameter("bias"));
  decoder->append(pixels);
  decoder->append(std::make_shared<nn::PixelShuffle>(c.encoder_stride));
}

std::string ViTForMaskedImageModeling::type_name() const {
  return std::string(family_of(config_).class_prefix) + "ForMaskedImageModeling";
}

Output ViTForMaskedImageModeling::forward(const ImageInput& input) {
  const ViTConfig& c = config_;
  const bool masked = present(input.bool_masked_pos);
  DS_CHECK(!masked || c.patch_size == c.encoder_stride, ValueError, "config: encoder_stride ",
           c.encoder_stride, " is not patch_size ", c.patch_size,
           ", so the images made again are not those given");
  const ViTFamily& family = family_of(c);
  Output out = child_as<ViTModel>(family.body).forward(input);
  const Tensor& images = *input.pixel_values;
  const int64_t rows = images.size(2) / c.patch_size, columns = images.size(3) / c.patch_size;
  const Tensor patches = slice(out.values[0].second, 1, family.prefix_tokens);
  const Tensor grid =
      reshape(transpose(patches, 1, 2), {images.size(0), c.hidden_size, rows, columns});
  const Tensor made = (*child("decoder"))(grid);
  Tensor loss;
  if (masked) {
    const Tensor marks =
        reshape(to_dtype(*input.bool_masked_pos, made.dtype()), {-1, 1, rows, columns});
    const Tensor hidden =
        repeat_interleave(repeat_interleave(marks, c.patch_size, 2), c.patch_size, 3);
    const Tensor difference = l1_loss(images, made, "none") * hidden;
    loss = sum(difference) / (sum(hidden) + 1e-5) / static_cast<double>(c.num_channels);
  }
  out.values = {{"loss", loss}, {"reconstruction", made}};
  return out;
}

DeiTForImageClassificationWithTeacher::DeiTForImageClassificationWithTeacher(const ViTConfig& c) {
  DS_CHECK(is_deit(c), ValueError, type_name(), ": a '", c.model_type,
           "' model has no token for distillation");
  add<ViTModel>("deit", c, false);
  DS_CHECK(c.num_labels > 0, ValueError, "config: num_labels ", c.num_labels, " must be positive");
  for (const char* name : {"cls_classifier", "distillation_classifier"})
    init_weights(*add<nn::Linear>(name, c.hidden_size, c.num_labels), c.initializer_range);
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
