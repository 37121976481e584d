// SPDX-License-Identifier: Apache-2.0
// The families of layers, each bound in a file of its own.
#pragma once

#include "module_object.h"

void bind_conv_layers(nb::module_& m);
void bind_norm_layers(nb::module_& m);
void bind_loss_layers(nb::module_& m);
void bind_window_layers(nb::module_& m);
