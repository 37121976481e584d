// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/clip.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/clip_layers.h"
#include "ds/hub/heads.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr BlockNames kBlock{.query = "self_attn.q_proj",
                            .key = "self_attn.k_proj",
                            .value = "self_attn.v_proj",
                            .out = "self_attn.out_proj",
                            .attention_norm = "layer_norm1",
                            .up = "mlp.fc1",
                            .down = "mlp.fc2",
                            .mlp_norm = "layer_norm2"};

void draw(const Tensor& weight, double deviation) { nn::init::normal_(weight, 0.0, deviation); }

void check(const CLIPEncoderConfig& c, const char* model) {
  DS_CHECK(c.hidden_size > 0 && c.num_hidden_layers >= 0, ValueError, model, ": hidden_size ",
           c.hidden_size, " must be positive, num_hidden_layers ", c.num_hidden_layers,
           " not negative");
}

/// CLIP's start: branches shrink with the number of layers.
LayerStart start_of(const CLIPEncoderConfig& c) {
  const double width = 1.0 / std::sqrt(static_cast<double>(c.hidden_size)) * c.initializer_factor;
  const double branch = width / std::sqrt(2.0 * static_cast<double>(c.num_hidden_layers));
  return [width, branch](nn::Module& layer) {
    const auto weight = [&](const char* name) {
      return layer.get_submodule(name)->parameter("weight");
    };
    for (const char* name : {kBlock.query, kBlock.key, kBlock.value, kBlock.down})
      draw(weight(name), branch);
    draw(weight(kBlock.out), width);
    draw(weight(kBlock.up), width / std::sqrt(2.0));
  };
}

std::shared_ptr<nn::Embedding> table(int64_t rows, int64_t size, double deviation) {
  const auto made = std::make_shared<nn::Embedding>(rows, size);
  draw(made->parameter("weight"), deviation);
  return made;
}

/// A linear layer without a bias into the space that texts and images share.
template <class C>
void add_projection(nn::Module& root, const char* name, int64_t from, const C& c) {
  DS_CHECK(c.projection_dim > 0, ValueError, "CLIP: projection_dim ", c.projection_dim,
           " must be positive");
  const auto layer = root.add<nn::Linear>(name, from, c.projection_dim, false);
  draw(layer->parameter("weight"), c.initializer_factor / std::sqrt(static_cast<double>(from)));
}

/// An encoder's output with its projected pooler_output in front, by another name.
Output projected(nn::Module& projection, const char* name, Output out) {
  const Tensor embeds = projection(out.values[1].second);
  out.values = {{name, embeds}, out.values[0]};
  return out;
}

Tensor contrastive(const Tensor& logits) {
  return cross_entropy(logits, arange(logits.size(0), DType::i64, logits.device()));
}

}  // namespace

void add_clip_layers(nn::Module& root, const CLIPEncoderConfig& c, bool causal,
                     const LayerStart& start) {
  const BlockOptions options{.hidden_size = c.hidden_size,
                             .heads = c.num_attention_heads,
                             .intermediate_size = c.intermediate_size,
                             .activation = c.hidden_act,
                             .attention_dropout = c.attention_dropout,
                             .eps = c.layer_norm_eps,
                             .pre_norm = true,
                             .causal = causal};
  const auto layers = std::make_shared<nn::ModuleList>();
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const auto block = std::make_shared<TransformerBlock>(kBlock, options);
    start(*block);
    layers->append(block);
  }
  add_at(root, "encoder.layers", layers);
}

Tensor run_clip_layers(nn::Module& root, Tensor x, const std::optional<Tensor>& mask,
                       const Asked& asked, Output& out) {
  AttentionPlace place;
  if (asked.attentions) place.weights = &out.attentions;
  for (const auto& [name, layer] : root.get_submodule("encoder.layers")->named_children()) {
    if (asked.hidden_states) out.hidden_states.push_back(x);
    auto* block = dynamic_cast<TransformerBlock*>(layer.get());
    x = block && (mask || place.weights) ? block->forward(x, mask, place) : (*layer)(x);
  }
  if (asked.hidden_states) out.hidden_states.push_back(x);
  return x;
}

Tensor unit_length(const Tensor& x) { return x / vector_norm(x, 2, -1, true); }

CLIPTextModel::CLIPTextModel(const CLIPTextConfig& config) : config_(config) {
  const CLIPTextConfig& c = config_;
  check(c, "CLIPTextModel");
  DS_CHECK(c.vocab_size > 0 && c.max_position_embeddings > 0, ValueError,
           "CLIPTextModel: vocab_size ", c.vocab_size, " and max_position_embeddings ",
           c.max_position_embeddings, " must be positive");
  const double deviation = 0.02 * c.initializer_factor;
  add_at(*this, "embeddings.token_embedding", table(c.vocab_size, c.hidden_size, deviation));
  add_at(*this, "embeddings.position_embedding",
         table(c.max_position_embeddings, c.hidden_size, deviation));
  add_clip_layers(*this, c, true, start_of(c));
  add<nn::LayerNorm>("final_layer_norm", Shape{c.hidden_size}, c.layer_norm_eps);
}

Output CLIPTextModel::forward(const CLIPTextInput& input) {
  const Tensor& ids = given("CLIPTextModel", "input_ids", input.input_ids);
  const Shape shape = checked_length("CLIPTextModel", ids, config_.max_position_embeddings);
  const bool placed = input.position_ids && input.position_ids->defined();
  const Tensor places =
      placed ? *input.position_ids : unsqueeze(arange(shape[1], DType::i64, ids.device()), 0);
  const Tensor x = call_at(*this, "embeddings.token_embedding", ids) +
                   call_at(*this, "embeddings.position_embedding", places);
  Output out;
  const Tensor last = run_clip_layers(*this, x, attention_mask(input.attention_mask),
                                      {input.output_hidden_states, input.output_attentions}, out);
  const Tensor states = (*child("final_layer_norm"))(last);
  // Configs from before the end token was recorded say 2; it has the highest id of its text.
  const Tensor end = config_.eos_token_id == 2
                         ? argmax(ids, -1)
                         : argmax(to_dtype(eq(ids, config_.eos_token_id), DType::i64), -1);
  const Tensor rows = expand(reshape(end, {shape[0], 1, 1}), {shape[0], 1, config_.hidden_size});
  out.values = {{"last_hidden_state", states},
                {"pooler_output", select(gather(states, 1, rows), 1, 0)}};
  return out;
}

CLIPVisionModel::CLIPVisionModel(const CLIPVisionConfig& config) : config_(config) {
  const CLIPVisionConfig& c = config_;
  check(c, "CLIPVisionModel");
  check_image_model("CLIPVisionModel", c.num_channels, 0);
  DS_CHECK(c.patch_size >= 1 && c.image_size >= c.patch_size, ValueError,
           "CLIPVisionModel: patches of ", c.patch_size, " pixels do not fit into images of ",
           c.image_size);
  const auto embeddings = add<Group>("embeddings");
  const double width = 1.0 / std::sqrt(static_cast<double>(c.hidden_size)) * c.initializer_factor;
  draw(embeddings->register_parameter("class_embedding", empty({c.hidden_size})), width);
  nn::ConvOptions patches{c.num_channels, c.hidden_size, c.patch_size};
  patches.stride = c.patch_size;
  patches.bias = false;
  const double deviation = c.initializer_range * c.initializer_factor;
  draw(embeddings->add<nn::Conv2d>("patch_embedding", patches)->parameter("weight"), deviation);
  const int64_t side = c.image_size / c.patch_size;
  embeddings->register_module("position_embedding",
                              table(side * side + 1, c.hidden_size, deviation));
  // The names are transformers', the misspelt one included.
  add<nn::LayerNorm>("pre_layrnorm", Shape{c.hidden_size}, c.layer_norm_eps);
  add_clip_layers(*this, c, false, start_of(c));
  add<nn::LayerNorm>("post_layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
}

Output CLIPVisionModel::forward(const CLIPImageInput& input) {
  const CLIPVisionConfig& c = config_;
  const Tensor& images = given("CLIPVisionModel", "pixel_values", input.pixel_values);
  check_images("CLIPVisionModel", images, c.num_channels);
  DS_CHECK(images.size(2) == c.image_size && images.size(3) == c.image_size, ShapeError,
           "CLIPVisionModel: the images ", images.type(), " must have ", c.image_size, "x",
           c.image_size, " pixels");
  nn::Module& embeddings = *child("embeddings");
  const Tensor patches =
      transpose(flatten(call_at(embeddings, "patch_embedding", images), 2), 1, 2);
  const Tensor first =
      expand(embeddings.parameter("class_embedding"), {images.size(0), 1, c.hidden_size});
  const Tensor places = arange(patches.size(1) + 1, DType::i64, images.device());
  const Tensor x = cat({first, patches}, 1) + call_at(embeddings, "position_embedding", places);
  Output out;
  const Tensor last = run_clip_layers(*this, (*child("pre_layrnorm"))(x), {},
                                      {input.output_hidden_states, input.output_attentions}, out);
  out.values = {{"last_hidden_state", last},
                {"pooler_output", (*child("post_layernorm"))(select(last, 1, 0))}};
  return out;
}

CLIPTextModelWithProjection::CLIPTextModelWithProjection(const CLIPTextConfig& c) {
  add<CLIPTextModel>("text_model", c);
  add_projection(*this, "text_projection", c.hidden_size, c);
}

Output CLIPTextModelWithProjection::forward(const CLIPTextInput& input) {
  return projected(*child("text_projection"), "text_embeds",
                   child_as<CLIPTextModel>("text_model").forward(input));
}

CLIPVisionModelWithProjection::CLIPVisionModelWithProjection(const CLIPVisionConfig& c) {
  add<CLIPVisionModel>("vision_model", c);
  add_projection(*this, "visual_projection", c.hidden_size, c);
}

Output CLIPVisionModelWithProjection::forward(const CLIPImageInput& input) {
  return projected(*child("visual_projection"), "image_embeds",
                   child_as<CLIPVisionModel>("vision_model").forward(input));
}

CLIPForImageClassification::CLIPForImageClassification(const CLIPConfig& c) : config_(c) {
  DS_CHECK(c.num_labels > 0, ValueError, "config: num_labels ", c.num_labels, " must be positive");
  add<CLIPVisionModel>("vision_model", c.vision);
  const auto head = add<nn::Linear>("classifier", c.vision.hidden_size, c.num_labels);
  draw(head->parameter("weight"),
       c.initializer_factor / std::sqrt(static_cast<double>(c.vision.hidden_size)));
  nn::init::zeros_(head->parameter("bias"));
}

Output CLIPForImageClassification::forward(const CLIPImageInput& input,
                                           const std::optional<Tensor>& labels) {
  Output out = child_as<CLIPVisionModel>("vision_model").forward(input);
  const Tensor& states = out.values[0].second;
  const Tensor logits = (*child("classifier"))(mean(narrow(states, 1, 1, states.size(1) - 1), {1}));
  Tensor loss;
  if (present(labels)) loss = classification_loss(config_, logits, *labels);
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

CLIPModel::CLIPModel(const CLIPConfig& c) {
  register_parameter("logit_scale", clone(full({}, c.logit_scale_init_value, DType::f32)));
  add<CLIPTextModel>("text_model", c.text);
  add<CLIPVisionModel>("vision_model", c.vision);
  add_projection(*this, "visual_projection", c.vision.hidden_size, c);
  add_projection(*this, "text_projection", c.text.hidden_size, c);
}

Output CLIPModel::text_features(const CLIPTextInput& text) {
  Output out = child_as<CLIPTextModel>("text_model").forward(text);
  out.values[1].second = (*child("text_projection"))(out.values[1].second);
  return out;
}

Output CLIPModel::image_features(const CLIPImageInput& images) {
  Output out = child_as<CLIPVisionModel>("vision_model").forward(images);
  out.values[1].second = (*child("visual_projection"))(out.values[1].second);
  return out;
}

CLIPOutput CLIPModel::forward(const CLIPTextInput& text, const CLIPImageInput& images,
                              bool return_loss) {
  CLIPOutput out;
  out.vision = image_features(images);
  out.text = text_features(text);
  out.image_embeds = unit_length(out.vision.values[1].second);
  out.text_embeds = unit_length(out.text.values[1].second);
  out.logits_per_text =
      matmul(out.text_embeds, t(out.image_embeds)) * exp(parameter("logit_scale"));
  out.logits_per_image = t(out.logits_per_text);
  if (return_loss)
    out.loss = (contrastive(out.logits_per_text) + contrastive(out.logits_per_image)) / 2;
  return out;
}

}  // namespace ds::hub
