// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/layer_drop.h"

#include "ds/base/error.h"
#include "ds/tensor/random.h"
#include "ds/tensor/tensor.h"

namespace ds::hub {

bool leaves_out_layer(double probability) {
  DS_CHECK(probability >= 0 && probability <= 1, ValueError,
           "config: layers are left out with probability ", probability,
           "; it must be between 0 and 1");
  constexpr int64_t kSteps = int64_t{1} << 24;
  return probability > 0 && static_cast<double>(randint(0, kSteps, {}).item_int()) <
                                probability * static_cast<double>(kSteps);
}

}  // namespace ds::hub
