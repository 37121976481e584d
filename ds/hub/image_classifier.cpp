// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/image_classifier.h"

#include "ds/base/error.h"
#include "ds/hub/heads.h"
#include "ds/hub/vision_parts.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// What differs between families: names of the body and of the layer above it, that layer's inputs,
/// and the dropout in front of it.
struct Row {
  const char *body, *classifier;
  int64_t features;
  double dropout = 0;
};

Row row_of(const ResNetModelConfig& c) { return {"resnet", "classifier.1", c.hidden_sizes.back()}; }
Row row_of(const ConvNextModelConfig& c) {
  return {c.model_type.c_str(), "classifier", c.hidden_sizes.back()};
}
Row row_of(const SwinModelConfig& c) {
  return {"swin", "classifier", c.embed_dim << (c.depths.size() - 1)};
}
Row row_of(const MobileNetV2ModelConfig& c) {
  return {"mobilenet_v2", "classifier", c.head_channels(), c.classifier_dropout_prob};
}
Row row_of(const EfficientNetModelConfig& c) {
  return {"efficientnet", "classifier", c.hidden_dim, c.dropout_rate};
}
Row row_of(const SegformerConfig& c) { return {"segformer", "classifier", c.hidden_sizes.back()}; }
Row row_of(const BeitConfig& c) { return {"beit", "classifier", c.hidden_size}; }
Row row_of(const ViTConfig& c) {
  const bool both = c.model_type == "dinov2";
  return {c.model_type.c_str(), "classifier", both ? 2 * c.hidden_size : c.hidden_size};
}

template <class Body>
std::shared_ptr<Body> body_of(const typename Body::Config& c) {
  if constexpr (std::is_same_v<Body, ViTModel>)
    return std::make_shared<Body>(c, false);
  else
    return std::make_shared<Body>(c);
}

/// [N, features] of a body's results.
template <class Config>
Tensor whole_image(const Config&, const Output& out) {
  return flatten(out.values[1].second, 1);
}
Tensor whole_image(const SegformerConfig&, const Output& out) {
  const Tensor& states = out.values[0].second;
  return states.dim() == 4 ? average_pixels(states) : mean(states, 1);
}
Tensor whole_image(const ViTConfig& c, const Output& out) {
  const Tensor& states = out.values[0].second;
  const Tensor first = select(states, 1, 0);
  return c.model_type == "dinov2" ? cat({first, mean(slice(states, 1, 1), 1)}, 1) : first;
}

}  // namespace

template <class Body>
ImageClassifier<Body>::ImageClassifier(const typename Body::Config& config) : config_(config) {
  DS_CHECK(config_.num_labels >= 0, ValueError, "config: num_labels ", config_.num_labels,
           " must not be negative");
  const std::shared_ptr<Body> body = body_of<Body>(config_);  // it checks the rest
  const Row row = row_of(config_);
  register_module(row.body, body);
  const nn::ModulePtr head = classifier(row.features, config_.num_labels);
  if constexpr (requires { config_.initializer_range; })
    init_weights(*head, config_.initializer_range);
  add_at(*this, row.classifier, head);
}

template <class Body>
std::string ImageClassifier<Body>::type_name() const {
  std::string name = child(row_of(config_).body)->type_name();
  return name.substr(0, name.size() - 5) + "ForImageClassification";  // without "Model"
}

template <class Body>
Output ImageClassifier<Body>::forward(const ImageInput& input,
                                      const std::optional<Tensor>& labels) {
  const Row row = row_of(config_);
  Output out = child_as<Body>(row.body).forward(input);
  const Tensor seen = dropout(whole_image(config_, out), row.dropout, is_training());
  const Tensor logits = call_at(*this, row.classifier, seen);
  Tensor loss;
  if (present(labels)) loss = classification_loss(config_, logits, *labels);
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

template class ImageClassifier<ResNetModel>;
template class ImageClassifier<ConvNextModel>;
template class ImageClassifier<SwinModel>;
template class ImageClassifier<MobileNetV2Model>;
template class ImageClassifier<EfficientNetModel>;
template class ImageClassifier<SegformerModel>;
template class ImageClassifier<ViTModel>;
template class ImageClassifier<BeitModel>;

}  // namespace ds::hub
