// SPDX-License-Identifier: Apache-2.0
// Models, in the submodule _hub.
#include "hub.h"

#include "ds/hub/layer_checkpoint.h"

void bind_hub(nb::module_& module) {
  nb::module_ m = module.def_submodule("_hub");
  bind_image_models(m);
  bind_language_models(m);
  bind_clip(m);
  bind_vit(m);
  bind_image_bodies(m);
  bind_lora(m);
  m.def("_set_layer_checkpoints", &ds::hub::set_layer_checkpoints, "on"_a);
}
