// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/image_bodies.h"

#include <algorithm>
#include <numeric>

#include "ds/base/error.h"
#include "ds/hub/convnext.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// Children `layer` and, where the shape changes, `shortcut`.
class ResNetLayer : public nn::Module {
 public:
  ResNetLayer(int64_t in, int64_t out, int64_t stride, const ResNetModelConfig& c)
      : activation_(c.hidden_act) {
    if (in != out || stride != 1)
      register_module("shortcut", conv_unit({{.in = in, .out = out, .stride = stride}}));
    const auto layer = add<nn::Sequential>("layer");
    const auto append = [&](const ConvUnit& unit) { layer->append(conv_unit(unit)); };
    if (c.layer_type == "basic") {
      append({{.in = in, .out = out, .kernel = 3, .stride = stride}, "relu"});
      append({{.in = out, .out = out, .kernel = 3}});
      return;
    }
    const int64_t inner = out / 4, first = c.downsample_in_bottleneck ? stride : 1;
    append({{.in = in, .out = inner, .stride = first}, "relu"});
    append({{.in = inner, .out = inner, .kernel = 3, .stride = stride / first}, "relu"});
    append({{.in = inner, .out = out}});
  }
  std::string type_name() const override { return "ResNetLayer"; }
  Tensor forward(const Tensor& x) override {
    const Tensor y = (*child("layer"))(x);
    return activate(activation_, y + (has_child("shortcut") ? (*child("shortcut"))(x) : x));
  }

 private:
  std::string activation_;
};

void check_stages(const char* model, const std::vector<int64_t>& sizes,
                  const std::vector<int64_t>& depths, int64_t least) {
  DS_CHECK(!sizes.empty() && sizes.size() == depths.size(), ValueError, model, ": ", sizes.size(),
           " hidden_sizes and ", depths.size(), " depths; one of each is expected for every stage");
  DS_CHECK(*std::min_element(sizes.begin(), sizes.end()) >= least &&
               *std::min_element(depths.begin(), depths.end()) >= 1,
           ValueError, model, ": hidden_sizes must be at least ", least, " and depths be positive");
}

/// x through the stages, whose results are kept where they are asked for.
Tensor through_stages(nn::Module& stages, Tensor x, bool keep, Output& out) {
  if (keep) out.hidden_states.push_back(x);
  for (const auto& [name, stage] : stages.named_children()) {
    x = (*stage)(x);
    if (keep) out.hidden_states.push_back(x);
  }
  return x;
}

constexpr ConvNeXtNames kConvNext{.depthwise = "dwconv",
                                  .norm = "layernorm",
                                  .up = "pwconv1",
                                  .response_norm = "grn",
                                  .down = "pwconv2",
                                  .scale = "layer_scale_parameter",
                                  .wide_norm = true};

}  // namespace

const Tensor& images_of(const nn::Module& model, const ImageInput& input, int64_t channels) {
  const std::string name = model.type_name();
  const Tensor& images = given(name.c_str(), "pixel_values", input.pixel_values);
  check_images(name.c_str(), images, channels);
  return images;
}

ResNetModel::ResNetModel(const ResNetModelConfig& config) : config_(config) {
  const ResNetModelConfig& c = config_;
  check_image_model("ResNetModel", c.num_channels, 0);
  check_stages("ResNetModel", c.hidden_sizes, c.depths, c.layer_type == "basic" ? 1 : 4);
  DS_CHECK(c.layer_type == "basic" || c.layer_type == "bottleneck", ValueError,
           "config: layer_type '", c.layer_type, "' is unknown; use basic or bottleneck");
  DS_CHECK(c.embedding_size >= 1, ValueError, "config: embedding_size ", c.embedding_size,
           " must be positive");
  const auto embedder = add<nn::Sequential>("embedder");
  embedder->register_module(
      "embedder",
      conv_unit({{.in = c.num_channels, .out = c.embedding_size, .kernel = 7, .stride = 2},
                 c.hidden_act}));
  nn::PoolOptions pool;
  pool.kernel_size = 3;
  pool.stride = 2;
  pool.padding = 1;
  embedder->add<nn::MaxPool2d>("pooler", pool);
  const auto stages = std::make_shared<nn::Sequential>();
  int64_t in = c.embedding_size;
  for (size_t i = 0; i < c.depths.size(); ++i) {
    const auto stage = std::make_shared<nn::Sequential>();
    const auto layers = stage->add<nn::Sequential>("layers");
    const int64_t stride = i > 0 || c.downsample_in_first_stage ? 2 : 1;
    for (int64_t n = 0; n < c.depths[i]; ++n, in = c.hidden_sizes[i])
      layers->append(std::make_shared<ResNetLayer>(in, c.hidden_sizes[i], n ? 1 : stride, c));
    stages->append(stage);
  }
  add_at(*this, "encoder.stages", stages);
}

Output ResNetModel::forward(const ImageInput& input) {
  Output out;
  const Tensor embedded = (*child("embedder"))(images_of(*this, input, config_.num_channels));
  const Tensor x =
      through_stages(*get_submodule("encoder.stages"), embedded, input.output_hidden_states, out);
  out.values = {{"last_hidden_state", x}, {"pooler_output", adaptive_avg_pool2d(x, 1)}};
  return out;
}

ConvNextModel::ConvNextModel(const ConvNextModelConfig& config) : config_(config) {
  const ConvNextModelConfig& c = config_;
  check_image_model("ConvNextModel", c.num_channels, 0);
  check_stages("ConvNextModel", c.hidden_sizes, c.depths, 1);
  DS_CHECK(c.patch_size >= 1, ValueError, "config: patch_size ", c.patch_size, " must be positive");
  const auto conv = [&c](int64_t in, int64_t out, int64_t size) {
    nn::ConvOptions o{in, out, size};
    o.stride = size;
    const auto made = std::make_shared<nn::Conv2d>(o);
    nn::init::normal_(made->parameter("weight"), 0.0, c.initializer_range);
    nn::init::zeros_(made->parameter("bias"));
    return made;
  };
  const auto embeddings = add<nn::Sequential>("embeddings");
  embeddings->register_module("patch_embeddings",
                              conv(c.num_channels, c.hidden_sizes[0], c.patch_size));
  embeddings->add<LayerNorm2d>("layernorm", c.hidden_sizes[0]);
  const auto stages = std::make_shared<nn::Sequential>();
  const int64_t count = std::accumulate(c.depths.begin(), c.depths.end(), int64_t{0});
  ConvNeXtConfig block;
  block.ls_init_value.reset();
  if (c.layer_scale_init_value > 0) block.ls_init_value = c.layer_scale_init_value;
  block.use_grn = c.model_type == "convnextv2";
  int64_t index = 0;
  for (size_t i = 0; i < c.depths.size(); ++i) {
    const auto stage = std::make_shared<nn::Sequential>();
    if (i > 0) {
      const auto smaller = stage->add<nn::Sequential>("downsampling_layer");
      smaller->append(std::make_shared<LayerNorm2d>(c.hidden_sizes[i - 1]));
      smaller->append(conv(c.hidden_sizes[i - 1], c.hidden_sizes[i], 2));
    }
    const auto layers = stage->add<nn::Sequential>("layers");
    for (int64_t n = 0; n < c.depths[i]; ++n, ++index)
      layers->append(std::make_shared<ConvNeXtBlock>(
          c.hidden_sizes[i], block, drop_path_rate_of(c.drop_path_rate, index, count), kConvNext,
          c.hidden_act));
    stages->append(stage);
  }
  add_at(*this, "encoder.stages", stages);
  add<nn::LayerNorm>("layernorm", Shape{c.hidden_sizes.back()}, c.layer_norm_eps);
  init_weights(*this, c.initializer_range);
}

std::string ConvNextModel::type_name() const {
  return config_.model_type == "convnextv2" ? "ConvNextV2Model" : "ConvNextModel";
}

Output ConvNextModel::forward(const ImageInput& input) {
  Output out;
  const Tensor embedded = (*child("embeddings"))(images_of(*this, input, config_.num_channels));
  const Tensor x =
      through_stages(*get_submodule("encoder.stages"), embedded, input.output_hidden_states, out);
  out.values = {{"last_hidden_state", x},
                {"pooler_output", (*child("layernorm"))(average_pixels(x))}};
  return out;
}

}  // namespace ds::hub
