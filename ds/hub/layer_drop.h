// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace ds::hub {

/// True with this probability, by the default generator, which 0 leaves alone: of a whole layer
/// that training leaves out. Fan et al., "Reducing Transformer Depth on Demand", 2019.
bool leaves_out_layer(double probability);

}  // namespace ds::hub
