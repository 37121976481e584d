// SPDX-License-Identifier: Apache-2.0
// The layers that encoders of texts and of images share in CLIP and SigLIP.
#pragma once

#include <functional>
#include <optional>

#include "ds/hub/clip.h"

namespace ds::hub {

/// Draws the weights of one layer.
using LayerStart = std::function<void(nn::Module&)>;

/// Layers at encoder.layers of `root`.
void add_clip_layers(nn::Module& root, const CLIPEncoderConfig& c, bool causal,
                     const LayerStart& start);

struct Asked {
  bool hidden_states = false, attentions = false;
};
/// x [B, T, hidden_size] through them; `out` takes what is asked for.
Tensor run_clip_layers(nn::Module& root, Tensor x, const std::optional<Tensor>& mask,
                       const Asked& asked, Output& out);

/// Rows of x divided by their lengths.
Tensor unit_length(const Tensor& x);

}  // namespace ds::hub
