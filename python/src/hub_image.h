// SPDX-License-Identifier: Apache-2.0
// What the bindings of image models with the names of transformers share.
#pragma once

#include "ds/hub/image_classifier.h"
#include "hub_config.h"

/// forward() of a model that takes images and labels.
template <class M>
void bind_labelled_forward(LayerClass<M>& type) {
  using Input = std::optional<ds::Tensor>;
  type.def(
      "forward",
      [](M& self, Input images, Input labels, bool hidden, bool attentions, bool interpolate,
         bool return_dict) {
        return to_python(self.forward({images, hidden, attentions, interpolate}, labels),
                         return_dict);
      },
      "pixel_values"_a = nb::none(), "labels"_a = nb::none(), "output_hidden_states"_a = false,
      "output_attentions"_a = false, "interpolate_pos_encoding"_a = false, "return_dict"_a = true);
}

/// forward() of a model that takes images alone. What a family has none of, such as attentions, is
/// not in its output.
template <class M>
void bind_forward(LayerClass<M>& type) {
  using Input = std::optional<ds::Tensor>;
  type.def(
      "forward",
      [](M& self, Input images, bool hidden, bool attentions, bool interpolate, bool return_dict) {
        return to_python(self.forward({images, hidden, attentions, interpolate}), return_dict);
      },
      "pixel_values"_a = nb::none(), "output_hidden_states"_a = false,
      "output_attentions"_a = false, "interpolate_pos_encoding"_a = false, "return_dict"_a = true);
}

/// The class `family`ForImageClassification above a body.
template <class Body>
void bind_classifier(nb::module_& m, const std::string& family) {
  using Head = ds::hub::ImageClassifier<Body>;
  LayerClass<Head> type(m, (family + "ForImageClassification").c_str(), "Tells classes of images.");
  type.init([](const typename Body::Config& config) { return std::make_shared<Head>(config); },
            "config"_a);
  bind_labelled_forward(type);
}
