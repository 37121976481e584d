// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/beit.h"

#include "ds/base/error.h"
#include "ds/hub/heads.h"
#include "ds/hub/vision_parts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr const char* kTable = "relative_position_bias_table";

void check(const BeitConfig& c) {
  check_image_model("BeitModel", c.num_channels, c.num_labels);
  DS_CHECK(c.patch_size >= 1 && c.image_size >= c.patch_size, ValueError, "config: patches of ",
           c.patch_size, " pixels do not fit into images of ", c.image_size);
  DS_CHECK(
      c.num_attention_heads > 0 && c.hidden_size > 0 && c.hidden_size % c.num_attention_heads == 0,
      ValueError, "config: ", c.num_attention_heads,
      " attention heads do not divide the hidden size ", c.hidden_size);
  DS_CHECK(c.num_hidden_layers >= 0 && c.intermediate_size > 0 && c.vocab_size > 0, ValueError,
           "config: num_hidden_layers ", c.num_hidden_layers,
           " must not be negative, intermediate_size ", c.intermediate_size, " and vocab_size ",
           c.vocab_size, " positive");
  activate(c.hidden_act, zeros({1}));
}

/// Of two patches of a grid.
int64_t distances(Grid grid) { return (2 * grid.rows - 1) * (2 * grid.columns - 1); }

Grid grid_of(const BeitConfig& c) {
  return {c.image_size / c.patch_size, c.image_size / c.patch_size};
}

void add_table(nn::Module& root, const char* name, const BeitConfig& c) {
  root.add<Group>(name)->register_parameter(
      kTable, clone(zeros({distances(grid_of(c)) + 3, c.num_attention_heads})));
}

/// The rows of a table that pairs of tokens take, i64 [T * T]: by distance; the last three are
/// those of the class token to others, of others to it, and to itself.
Tensor pairs_of(Grid grid, Device device) {
  const int64_t tokens = grid.rows * grid.columns + 1, last = distances(grid);
  std::vector<int64_t> all;
  for (int64_t i = 0; i < tokens; ++i)
    for (int64_t j = 0; j < tokens; ++j) {
      if (i == 0 || j == 0) {
        all.push_back(last + (i == j ? 2 : i == 0 ? 0 : 1));
        continue;
      }
      const int64_t down = (i - 1) / grid.columns - (j - 1) / grid.columns + grid.rows - 1;
      const int64_t right = (i - 1) % grid.columns - (j - 1) % grid.columns + grid.columns - 1;
      all.push_back(down * (2 * grid.columns - 1) + right);
    }
  return Tensor::from_host(all.data(), {DType::i64, {tokens * tokens}}, device);
}

/// What a table adds to the scores of a grid, [1, heads, T, T]; it is resized from that of `own`.
Tensor bias_of(Tensor table, Grid own, Grid grid, const Tensor& pairs) {
  const int64_t heads = table.size(1), tokens = grid.rows * grid.columns + 1;
  if (own.rows != grid.rows || own.columns != grid.columns) {
    const Tensor old = reshape(narrow(table, 0, 0, distances(own)),
                               {1, 2 * own.rows - 1, 2 * own.columns - 1, heads});
    const Tensor resized =
        interpolate(permute(old, {0, 3, 1, 2}), PerDim{2 * grid.rows - 1, 2 * grid.columns - 1}, {},
                    "bilinear", false);
    table = cat({reshape(permute(resized, {0, 2, 3, 1}), {distances(grid), heads}),
                 narrow(table, 0, distances(own), 3)},
                0);
  }
  const Tensor all = reshape(index_select(table, 0, pairs), {tokens, tokens, heads});
  return unsqueeze(permute(all, {2, 0, 1}), 0);
}

/// x [N, tokens, hidden_size] -> the same shape.
class BeitLayer : public nn::Module {
 public:
  BeitLayer(const BeitConfig& config, int64_t layer)
      : config_(config),
        drop_path_(drop_path_rate_of(config.drop_path_rate, layer, config.num_hidden_layers)) {
    const BeitConfig& c = config_;
    const int64_t h = c.hidden_size;
    const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias = true) {
      add_at(*this, name, std::make_shared<nn::Linear>(in, out, bias));
    };
    dense("attention.q_proj", h, h);
    dense("attention.k_proj", h, h, false);
    dense("attention.v_proj", h, h);
    dense("attention.o_proj", h, h);
    for (const char* name : {"layernorm_before", "layernorm_after"})
      add<nn::LayerNorm>(name, Shape{h}, c.layer_norm_eps);
    dense("mlp.fc1", h, c.intermediate_size);
    dense("mlp.fc2", c.intermediate_size, h);
    if (c.layer_scale_init_value > 0)
      for (const char* name : {"lambda_1", "lambda_2"})
        nn::init::constant_(register_parameter(name, empty({h})), c.layer_scale_init_value);
    if (c.use_relative_position_bias) add_table(*this, "relative_position_bias", c);
  }
  std::string type_name() const override { return "BeitLayer"; }
  using nn::Module::forward;
  Tensor forward(const Tensor& x, const std::optional<Tensor>& bias, AttentionPlace place) {
    const BeitConfig& c = config_;
    const auto added = [&](const char* scale, const Tensor& to, const Tensor& y) {
      const Tensor kept = dropout(y, c.hidden_dropout_prob, is_training());
      return to + drop_path(has_parameter(scale) ? kept * parameter(scale) : kept, drop_path_,
                            is_training());
    };
    const Tensor seen = call_at(*this, "layernorm_before", x);
    const auto heads = [&](const char* name) {
      return split_heads(call_at(*this, name, seen), c.num_attention_heads);
    };
    Attention attention{{}, false, is_training() ? c.attention_probs_dropout_prob : 0.0};
    attention.place = place;
    attention.bias = bias;
    const Tensor joined =
        attention(heads("attention.q_proj"), heads("attention.k_proj"), heads("attention.v_proj"));
    const Tensor y = added("lambda_1", x, call_at(*this, "attention.o_proj", joined));
    const Tensor inner =
        activate(c.hidden_act, call_at(*this, "mlp.fc1", call_at(*this, "layernorm_after", y)));
    return added("lambda_2", y, call_at(*this, "mlp.fc2", inner));
  }

 private:
  BeitConfig config_;
  double drop_path_;
};

}  // namespace

BeitModel::BeitModel(const BeitConfig& config, bool pooling) : config_(config), pooling_(pooling) {
  const BeitConfig& c = config_;
  check(c);
  const Grid grid = grid_of(c);
  const auto embeddings = add<Group>("embeddings");
  const auto token = [&](const char* name, int64_t count) {
    embeddings->register_parameter(name, clone(zeros({1, count, c.hidden_size})));
  };
  token("cls_token", 1);
  if (c.use_mask_token) token("mask_token", 1);
  if (c.use_absolute_position_embeddings)
    token("position_embeddings", grid.rows * grid.columns + 1);
  nn::ConvOptions patches{c.num_channels, c.hidden_size, c.patch_size};
  patches.stride = c.patch_size;
  const auto projection = std::make_shared<nn::Conv2d>(patches);
  nn::init::normal_(projection->parameter("weight"), 0.0, c.initializer_range);
  nn::init::zeros_(projection->parameter("bias"));
  add_at(*embeddings, "patch_embeddings.projection", projection);
  if (c.use_shared_relative_position_bias) add_table(*this, "shared_position_bias", c);
  const auto layers = add<nn::ModuleList>("layers");
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    layers->append(std::make_shared<BeitLayer>(c, i));
  if (!c.use_mean_pooling) add<nn::LayerNorm>("layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
  if (pooling && c.use_mean_pooling)
    add_at(*this, "pooler.layernorm",
           std::make_shared<nn::LayerNorm>(Shape{c.hidden_size}, c.layer_norm_eps));
  init_weights(*this, c.initializer_range);
}

Tensor BeitModel::embed(const ImageInput& input) {
  const BeitConfig& c = config_;
  const Tensor& images = *input.pixel_values;
  nn::Module& embeddings = *child("embeddings");
  Tensor patches =
      transpose(flatten(call_at(embeddings, "patch_embeddings.projection", images), 2), 1, 2);
  if (present(input.bool_masked_pos)) {
    const Tensor& marks = *input.bool_masked_pos;
    DS_CHECK(embeddings.has_parameter("mask_token"), ValueError,
             "BeitModel: use_mask_token is False, so there is no token for bool_masked_pos");
    DS_CHECK(marks.shape() == (Shape{patches.size(0), patches.size(1)}), ShapeError,
             "BeitModel: bool_masked_pos ", marks.type(), " must be [", patches.size(0), ", ",
             patches.size(1), "], images and patches");
    const Tensor hidden = unsqueeze(to_dtype(marks, patches.dtype()), -1);
    patches = patches * (1 - hidden) + embeddings.parameter("mask_token") * hidden;
  }
  Tensor x = cat({expand(embeddings.parameter("cls_token"), {images.size(0), -1, -1}), patches}, 1);
  if (c.use_absolute_position_embeddings) {
    Tensor all = embeddings.parameter("position_embeddings");
    const Grid own = grid_of(c);
    const int64_t rows = images.size(2) / c.patch_size, columns = images.size(3) / c.patch_size;
    if (rows != own.rows || columns != own.columns)
      all =
          cat({narrow(all, 1, 0, 1), resized_positions(slice(all, 1, 1), own, {rows, columns})}, 1);
    x = x + all;
  }
  return dropout(x, c.hidden_dropout_prob, is_training());
}

Output BeitModel::forward(const ImageInput& input) {
  const BeitConfig& c = config_;
  const Tensor& images = given("BeitModel", "pixel_values", input.pixel_values);
  check_images("BeitModel", images, c.num_channels);
  const Grid grid{images.size(2) / c.patch_size, images.size(3) / c.patch_size};
  DS_CHECK(grid.rows > 0 && grid.columns > 0, ShapeError, "BeitModel: the images ", images.type(),
           " are smaller than a patch of ", c.patch_size, " pixels");
  Output out;
  Tensor x = embed(input);
  Tensor pairs;
  std::optional<Tensor> shared;
  if (c.use_relative_position_bias || c.use_shared_relative_position_bias)
    pairs = pairs_of(grid, images.device());
  const auto table_of = [&](const nn::Module& root, const char* name) {
    return bias_of(root.child(name)->parameter(kTable), grid_of(c), grid, pairs);
  };
  if (c.use_shared_relative_position_bias) shared = table_of(*this, "shared_position_bias");
  AttentionPlace place;
  if (input.output_attentions) place.weights = &out.attentions;
  for (const auto& [name, layer] : child("layers")->named_children()) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    std::optional<Tensor> bias = shared;
    if (c.use_relative_position_bias) {
      const Tensor own = table_of(*layer, "relative_position_bias");
      bias = bias ? *bias + own : own;
    }
    x = dynamic_cast<BeitLayer&>(*layer).forward(x, bias, place);
  }
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  if (!c.use_mean_pooling) x = (*child("layernorm"))(x);
  Tensor pooled;
  if (pooling_)
    pooled = c.use_mean_pooling ? call_at(*this, "pooler.layernorm", mean(slice(x, 1, 1), 1))
                                : select(x, 1, 0);
  out.values = {{"last_hidden_state", x}, {"pooler_output", pooled}};
  return out;
}

BeitForMaskedImageModeling::BeitForMaskedImageModeling(const BeitConfig& c) {
  add<BeitModel>("beit", c, false);
  add<nn::LayerNorm>("layernorm", Shape{c.hidden_size}, c.layer_norm_eps);
  init_weights(*add<nn::Linear>("lm_head", c.hidden_size, c.vocab_size), c.initializer_range);
}

Output BeitForMaskedImageModeling::forward(const ImageInput& input,
                                           const std::optional<Tensor>& labels) {
  Output out = child_as<BeitModel>("beit").forward(input);
  const Tensor states = (*child("layernorm"))(out.values[0].second);
  const Tensor logits = (*child("lm_head"))(slice(states, 1, 1));
  Tensor loss;
  if (present(labels)) {
    const Tensor& marks =
        given("BeitForMaskedImageModeling", "bool_masked_pos with labels", input.bool_masked_pos);
    loss = cross_entropy(index(logits, {ne(marks, 0)}), *labels);
  }
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

}  // namespace ds::hub
