// SPDX-License-Identifier: Apache-2.0
// The families of models, each bound in a file of its own.
#pragma once

#include "module_object.h"

void bind_image_models(nb::module_& m);
void bind_clip(nb::module_& m);
void bind_vit(nb::module_& m);
void bind_image_bodies(nb::module_& m);
void bind_language_models(nb::module_& m);
void bind_encoders(nb::module_& m);
void bind_seq2seq(nb::module_& m);
void bind_generation(nb::module_& m);
void bind_lora(nb::module_& m);
