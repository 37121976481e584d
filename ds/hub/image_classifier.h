// SPDX-License-Identifier: Apache-2.0
// What tells classes of images above a body with the names of transformers: one template, and a row
// for every family.
#pragma once

#include "ds/hub/beit.h"
#include "ds/hub/image_bodies.h"
#include "ds/hub/mobile_bodies.h"
#include "ds/hub/segformer.h"
#include "ds/hub/vit.h"

namespace ds::hub {

/// Logits [N, num_labels] of what a body says of the whole image (in DINOv2 of the class token and
/// the mean patch), and with labels the loss; with num_labels 0 that itself.
template <class Body>
class ImageClassifier : public nn::Module {
 public:
  explicit ImageClassifier(const typename Body::Config& config);
  std::string type_name() const override;
  using nn::Module::forward;
  Output forward(const ImageInput& input, const std::optional<Tensor>& labels = {});

 private:
  typename Body::Config config_;
};

extern template class ImageClassifier<ResNetModel>;
extern template class ImageClassifier<ConvNextModel>;
extern template class ImageClassifier<SwinModel>;
extern template class ImageClassifier<MobileNetV2Model>;
extern template class ImageClassifier<EfficientNetModel>;
extern template class ImageClassifier<SegformerModel>;
extern template class ImageClassifier<ViTModel>;
extern template class ImageClassifier<BeitModel>;

}  // namespace ds::hub
