// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/siglip.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/clip_layers.h"
#include "ds/hub/heads.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/nn/layers_attention.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

void check(const SiglipEncoderConfig& c, const char* model) {
  DS_CHECK(c.hidden_size > 0 && c.num_hidden_layers >= 0, ValueError, model, ": hidden_size ",
           c.hidden_size, " must be positive, num_hidden_layers ", c.num_hidden_layers,
           " not negative");
}

/// Every linear layer below is drawn with as much variance at both its ends.
void start(nn::Module& root) {
  root.apply([](nn::Module& m) {
    if (!dynamic_cast<nn::Linear*>(&m)) return;
    nn::init::xavier_uniform_(m.parameter("weight"));
    if (const auto bias = m.optional_parameter("bias")) nn::init::zeros_(*bias);
  });
}

/// One learned query looks at all patches (Lee et al., "Set Transformer", 2019).
class PoolingHead : public nn::Module {
 public:
  explicit PoolingHead(const SiglipVisionConfig& c) : activation_(c.hidden_act) {
    nn::init::xavier_uniform_(register_parameter("probe", empty({1, 1, c.hidden_size})));
    nn::AttentionOptions options{c.hidden_size, c.num_attention_heads};
    options.batch_first = true;
    add<nn::MultiheadAttention>("attention", options);
    add<nn::LayerNorm>("layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
    add_at(*this, "mlp.fc1", std::make_shared<nn::Linear>(c.hidden_size, c.intermediate_size));
    add_at(*this, "mlp.fc2", std::make_shared<nn::Linear>(c.intermediate_size, c.hidden_size));
    start(*child("mlp"));
  }
  std::string type_name() const override { return "SiglipMultiheadAttentionPoolingHead"; }
  Tensor forward(const Tensor& x) override {
    const Tensor query = expand(parameter("probe"), {x.size(0), -1, -1});
    const Tensor y =
        child_as<nn::MultiheadAttention>("attention").forward(query, x, x, {}, false).first;
    const Tensor inner =
        activate(activation_, call_at(*this, "mlp.fc1", call_at(*this, "layernorm", y)));
    return select(y + call_at(*this, "mlp.fc2", inner), 1, 0);
  }

 private:
  std::string activation_;
};

}  // namespace

SiglipTextModel::SiglipTextModel(const SiglipTextConfig& config) : config_(config) {
  const SiglipTextConfig& c = config_;
  check(c, "SiglipTextModel");
  const int64_t projected = c.projection_size.value_or(c.hidden_size);
  DS_CHECK(c.vocab_size > 0 && c.max_position_embeddings > 0 && projected > 0, ValueError,
           "SiglipTextModel: vocab_size ", c.vocab_size, ", max_position_embeddings ",
           c.max_position_embeddings, " and projection_size ", projected, " must be positive");
  const double deviation = 1.0 / std::sqrt(static_cast<double>(c.hidden_size));
  const auto table = [&](const char* name, int64_t rows) {
    const auto made = std::make_shared<nn::Embedding>(rows, c.hidden_size);
    nn::init::normal_(made->parameter("weight"), 0.0, deviation);
    add_at(*this, name, made);
  };
  table("embeddings.token_embedding", c.vocab_size);
  table("embeddings.position_embedding", c.max_position_embeddings);
  add_clip_layers(*this, c, false, start);
  add<nn::LayerNorm>("final_layer_norm", Shape{c.hidden_size}, c.layer_norm_eps);
  start(*add<nn::Linear>("head", c.hidden_size, projected));
}

Output SiglipTextModel::forward(const CLIPTextInput& input) {
  const Tensor& ids = given("SiglipTextModel", "input_ids", input.input_ids);
  checked_length("SiglipTextModel", ids, config_.max_position_embeddings);
  const Tensor x = call_at(*this, "embeddings.token_embedding", ids) +
                   call_at(*this, "embeddings.position_embedding",
                           positions_of(ids, nullptr, input.position_ids));
  Output out;
  const Tensor last = run_clip_layers(*this, x, attention_mask(input.attention_mask),
                                      {input.output_hidden_states, input.output_attentions}, out);
  const Tensor states = (*child("final_layer_norm"))(last);
  out.values = {{"last_hidden_state", states},
                {"pooler_output", (*child("head"))(select(states, 1, -1))}};
  return out;
}

SiglipVisionModel::SiglipVisionModel(const SiglipVisionConfig& config) : config_(config) {
  const SiglipVisionConfig& c = config_;
  check(c, "SiglipVisionModel");
  check_image_model("SiglipVisionModel", c.num_channels, 0);
  DS_CHECK(c.patch_size >= 1 && c.image_size >= c.patch_size, ValueError,
           "SiglipVisionModel: patches of ", c.patch_size, " pixels do not fit into images of ",
           c.image_size);
  nn::ConvOptions patches{c.num_channels, c.hidden_size, c.patch_size};
  patches.stride = c.patch_size;
  add_at(*this, "embeddings.patch_embedding", std::make_shared<nn::Conv2d>(patches));
  const int64_t side = c.image_size / c.patch_size;
  const auto places = std::make_shared<nn::Embedding>(side * side, c.hidden_size);
  nn::init::normal_(places->parameter("weight"), 0.0,
                    1.0 / std::sqrt(static_cast<double>(c.hidden_size)));
  add_at(*this, "embeddings.position_embedding", places);
  add_clip_layers(*this, c, false, start);
  add<nn::LayerNorm>("post_layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
  if (c.vision_use_head) add<PoolingHead>("head", c);
}

Output SiglipVisionModel::forward(const ImageInput& input) {
  const SiglipVisionConfig& c = config_;
  const Tensor& images = given("SiglipVisionModel", "pixel_values", input.pixel_values);
  check_images("SiglipVisionModel", images, c.num_channels);
  const int64_t height = images.size(2), width = images.size(3), side = c.image_size / c.patch_size;
  if (input.interpolate_pos_encoding)
    DS_CHECK(height >= c.patch_size && width >= c.patch_size, ShapeError,
             "SiglipVisionModel: the images ", images.type(), " are smaller than a patch of ",
             c.patch_size, " pixels");
  else
    DS_CHECK(height == c.image_size && width == c.image_size, ShapeError,
             "SiglipVisionModel: the images ", images.type(), " must have ", c.image_size, "x",
             c.image_size, " pixels; resize them, or pass interpolate_pos_encoding=True");
  const Tensor patches =
      transpose(flatten(call_at(*this, "embeddings.patch_embedding", images), 2), 1, 2);
  const Tensor all =
      unsqueeze(get_submodule("embeddings.position_embedding")->parameter("weight"), 0);
  const Tensor places =
      resized_positions(all, {side, side}, {height / c.patch_size, width / c.patch_size});
  Output out;
  const Tensor last = run_clip_layers(*this, patches + places, {},
                                      {input.output_hidden_states, input.output_attentions}, out);
  const Tensor states = (*child("post_layernorm"))(last);
  out.values = {{"last_hidden_state", states},
                {"pooler_output", has_child("head") ? (*child("head"))(states) : Tensor()}};
  return out;
}

SiglipForImageClassification::SiglipForImageClassification(const SiglipConfig& c) : config_(c) {
  add<SiglipVisionModel>("vision_model", c.vision);
  const nn::ModulePtr head = classifier(c.vision.hidden_size, c.num_labels);
  init_weights(*head, c.initializer_factor / std::sqrt(static_cast<double>(c.vision.hidden_size)));
  register_module("classifier", head);
}

Output SiglipForImageClassification::forward(const ImageInput& input,
                                             const std::optional<Tensor>& labels) {
  Output out = child_as<SiglipVisionModel>("vision_model").forward(input);
  const Tensor logits = (*child("classifier"))(mean(out.values[0].second, 1));
  Tensor loss;
  if (present(labels)) loss = classification_loss(config_, logits, *labels);
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

SiglipModel::SiglipModel(const SiglipConfig& c) {
  for (const char* name : {"logit_scale", "logit_bias"})
    register_parameter(name, clone(zeros({1})));
  add<SiglipTextModel>("text_model", c.text);
  add<SiglipVisionModel>("vision_model", c.vision);
}

CLIPOutput SiglipModel::forward(const CLIPTextInput& text, const ImageInput& images,
                                bool return_loss) {
  CLIPOutput out;
  out.vision = child_as<SiglipVisionModel>("vision_model").forward(images);
  out.text = child_as<SiglipTextModel>("text_model").forward(text);
  const Tensor& pooled = out.vision.values[1].second;
  DS_CHECK(pooled.defined(), ValueError,
           "SiglipModel: the encoder of images has no head; set vision_use_head");
  out.image_embeds = unit_length(pooled);
  out.text_embeds = unit_length(out.text.values[1].second);
  const Tensor scale = exp(parameter("logit_scale"));
  out.logits_per_text =
      matmul(out.text_embeds, t(out.image_embeds)) * scale + parameter("logit_bias");
  out.logits_per_image = t(out.logits_per_text);
  if (return_loss) {
    const Tensor& logits = out.logits_per_text;
    const Tensor own = eye(logits.size(0), logits.size(1), logits.dtype(), logits.device());
    out.loss = -mean(sum(logsigmoid((own * 2 - 1) * logits), -1));
  }
  return out;
}

}  // namespace ds::hub
