// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/segformer.h"

#include <algorithm>
#include <numeric>

#include "ds/base/error.h"
#include "ds/hub/heads.h"
#include "ds/hub/segmentation.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

void check(const SegformerConfig& c) {
  check_image_model("SegformerModel", c.num_channels, 0);
  DS_CHECK(c.num_encoder_blocks >= 1, ValueError, "config: num_encoder_blocks ",
           c.num_encoder_blocks, " must be positive");
  const std::pair<const char*, const std::vector<int64_t>&> all[] = {
      {"depths", c.depths},        {"hidden_sizes", c.hidden_sizes},
      {"sr_ratios", c.sr_ratios},  {"patch_sizes", c.patch_sizes},
      {"strides", c.strides},      {"num_attention_heads", c.num_attention_heads},
      {"mlp_ratios", c.mlp_ratios}};
  for (const auto& [name, values] : all) {
    DS_CHECK(static_cast<int64_t>(values.size()) == c.num_encoder_blocks, ValueError,
             "config: ", values.size(), " ", name, " for ", c.num_encoder_blocks, " stages");
    DS_CHECK(*std::min_element(values.begin(), values.end()) >= 1, ValueError, "config: ", name,
             " must be positive");
  }
  for (size_t i = 0; i < c.hidden_sizes.size(); ++i)
    DS_CHECK(c.hidden_sizes[i] % c.num_attention_heads[i] == 0, ValueError,
             "config: ", c.num_attention_heads[i], " heads do not divide the ", c.hidden_sizes[i],
             " channels of stage ", i);
  activate(c.hidden_act, zeros({1}));
}

/// [N, H * W, C] -> [N, C, H, W], and back.
Tensor as_picture(const Tensor& x, Grid grid) {
  return reshape(transpose(x, 1, 2), {x.size(0), x.size(2), grid.rows, grid.columns});
}
Tensor as_tokens(const Tensor& picture) { return transpose(flatten(picture, 2), 1, 2); }

/// x [N, H * W, C] -> the same shape. Keys and values are those of larger patches.
class SegformerLayer : public nn::Module {
 public:
  SegformerLayer(const SegformerConfig& c, size_t stage, double drop_path)
      : config_(c), heads_(c.num_attention_heads[stage]), drop_path_(drop_path) {
    const int64_t size = c.hidden_sizes[stage], ratio = c.sr_ratios[stage];
    const int64_t inner = size * c.mlp_ratios[stage];
    const auto dense = [&](const char* name, int64_t in, int64_t out) {
      add_at(*this, name, std::make_shared<nn::Linear>(in, out));
    };
    add<nn::LayerNorm>("layernorm_before", Shape{size});
    for (const char* name :
         {"attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"})
      dense(name, size, size);
    if (ratio > 1) {
      nn::ConvOptions larger{size, size, ratio};
      larger.stride = ratio;
      add_at(*this, "attention.sequence_reduction.sequence_reduction",
             std::make_shared<nn::Conv2d>(larger));
      add_at(*this, "attention.sequence_reduction.layer_norm",
             std::make_shared<nn::LayerNorm>(Shape{size}));
    }
    add<nn::LayerNorm>("layernorm_after", Shape{size});
    dense("mlp.fc1", size, inner);
    add_at(*this, "mlp.dwconv.dwconv",
           image_conv({.in = inner, .out = inner, .kernel = 3, .groups = inner, .bias = true}));
    dense("mlp.fc2", inner, size);
  }
  std::string type_name() const override { return "SegformerLayer"; }
  using nn::Module::forward;
  Tensor forward(const Tensor& x, Grid grid, AttentionPlace place) {
    const SegformerConfig& c = config_;
    const auto kept = [&](const Tensor& y) {
      return dropout(y, c.hidden_dropout_prob, is_training());
    };
    const Tensor seen = call_at(*this, "layernorm_before", x);
    const auto heads = [&](const char* name, const Tensor& of) {
      return split_heads(call_at(*this, name, of), heads_);
    };
    Tensor keys = seen;
    if (child("attention")->has_child("sequence_reduction")) {
      nn::Module& larger = *get_submodule("attention.sequence_reduction");
      keys = as_tokens(call_at(larger, "sequence_reduction", as_picture(seen, grid)));
      keys = call_at(larger, "layer_norm", keys);
    }
    Attention attention{{}, false, is_training() ? c.attention_probs_dropout_prob : 0.0};
    attention.place = place;
    const Tensor joined =
        attention(heads("attention.q_proj", seen), heads("attention.k_proj", keys),
                  heads("attention.v_proj", keys));
    const Tensor looked = kept(call_at(*this, "attention.o_proj", joined));
    const Tensor y = drop_path(looked, drop_path_, is_training()) + x;
    Tensor inner = call_at(*this, "mlp.fc1", call_at(*this, "layernorm_after", y));
    inner = as_tokens(call_at(*this, "mlp.dwconv.dwconv", as_picture(inner, grid)));
    inner = kept(call_at(*this, "mlp.fc2", kept(activate(c.hidden_act, inner))));
    return drop_path(inner, drop_path_, is_training()) + y;
  }

 private:
  SegformerConfig config_;
  int64_t heads_;
  double drop_path_;
};

}  // namespace

SegformerModel::SegformerModel(const SegformerConfig& config) : config_(config) {
  const SegformerConfig& c = config_;
  check(c);
  const int64_t count = std::accumulate(c.depths.begin(), c.depths.end(), int64_t{0});
  int64_t index = 0, in = c.num_channels;
  const auto stages = add<nn::ModuleList>("stages");
  for (size_t i = 0; i < c.depths.size(); ++i) {
    const int64_t size = c.hidden_sizes[i];
    const auto stage = std::make_shared<Group>();
    const auto patches = image_conv(
        {.in = in, .out = size, .kernel = c.patch_sizes[i], .stride = c.strides[i], .bias = true});
    add_at(*stage, "patch_embeddings.proj", patches);
    add_at(*stage, "patch_embeddings.layer_norm", std::make_shared<nn::LayerNorm>(Shape{size}));
    const auto blocks = stage->add<nn::ModuleList>("blocks");
    for (int64_t n = 0; n < c.depths[i]; ++n, ++index)
      blocks->append(std::make_shared<SegformerLayer>(
          c, i, drop_path_rate_of(c.drop_path_rate, index, count)));
    stage->add<nn::LayerNorm>("layer_norm", Shape{size});
    stages->append(stage);
    in = size;
  }
  init_weights(*this, c.initializer_range);
}

std::vector<Tensor> SegformerModel::stages(const ImageInput& input, Output& out) {
  AttentionPlace place;
  if (input.output_attentions) place.weights = &out.attentions;
  std::vector<Tensor> results;
  Tensor x = images_of(*this, input, config_.num_channels);
  for (const auto& [name, stage] : child("stages")->named_children()) {
    const Tensor patches = call_at(*stage, "patch_embeddings.proj", x);
    const Grid grid{patches.size(2), patches.size(3)};
    Tensor tokens = call_at(*stage, "patch_embeddings.layer_norm", as_tokens(patches));
    for (const auto& [place_name, block] : stage->child("blocks")->named_children())
      tokens = dynamic_cast<SegformerLayer&>(*block).forward(tokens, grid, place);
    x = as_picture(call_at(*stage, "layer_norm", tokens), grid);
    results.push_back(x);
  }
  return results;
}

Output SegformerModel::forward(const ImageInput& input) {
  Output out;
  std::vector<Tensor> results = stages(input, out);
  if (!config_.reshape_last_stage) results.back() = as_tokens(results.back());
  out.values = {{"last_hidden_state", results.back()}};
  if (input.output_hidden_states) out.hidden_states = results;
  return out;
}

SegformerForSemanticSegmentation::SegformerForSemanticSegmentation(const SegformerConfig& config)
    : config_(config) {
  const SegformerConfig& c = config_;
  DS_CHECK(c.num_labels > 0 && c.decoder_hidden_size > 0, ValueError, "config: num_labels ",
           c.num_labels, " and decoder_hidden_size ", c.decoder_hidden_size, " must be positive");
  add<SegformerModel>("segformer", c);
  const auto head = add<Group>("decode_head");
  const auto projections = head->add<nn::ModuleList>("linear_projections");
  for (const int64_t size : c.hidden_sizes) {
    const auto projection = std::make_shared<Group>();
    projection->add<nn::Linear>("proj", size, c.decoder_hidden_size);
    projections->append(projection);
  }
  head->register_module("linear_fuse",
                        image_conv({.in = c.decoder_hidden_size * c.num_encoder_blocks,
                                    .out = c.decoder_hidden_size}));
  head->add<nn::BatchNorm2d>("batch_norm", c.decoder_hidden_size);
  head->register_module(
      "classifier", image_conv({.in = c.decoder_hidden_size, .out = c.num_labels, .bias = true}));
  init_weights(*head, c.initializer_range);
}

Output SegformerForSemanticSegmentation::forward(const ImageInput& input,
                                                 const std::optional<Tensor>& labels) {
  const SegformerConfig& c = config_;
  Output out;
  const std::vector<Tensor> results = child_as<SegformerModel>("segformer").stages(input, out);
  nn::Module& head = *child("decode_head");
  std::vector<Tensor> all;  // the deepest first
  size_t i = 0;
  for (const auto& [name, projection] : head.child("linear_projections")->named_children()) {
    const Tensor& x = results[i++];
    const Tensor tokens = call_at(*projection, "proj", as_tokens(x));
    const Tensor picture = as_picture(tokens, {x.size(2), x.size(3)});
    all.insert(all.begin(), resized_pictures(picture, results[0].size(2), results[0].size(3)));
  }
  Tensor x = relu(call_at(head, "batch_norm", call_at(head, "linear_fuse", cat(all, 1))));
  x = dropout(x, c.classifier_dropout_prob, is_training());
  const Tensor logits = call_at(head, "classifier", x);
  Tensor loss;
  if (present(labels)) loss = semantic_loss(logits, *labels, c.semantic_loss_ignore_index);
  out.values = {{"loss", loss}, {"logits", logits}};
  if (input.output_hidden_states) out.hidden_states = results;
  return out;
}

}  // namespace ds::hub
