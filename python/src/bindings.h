// SPDX-License-Identifier: Apache-2.0
// One registration function per file of the binding.
#pragma once

#include <nanobind/nanobind.h>

void bind_errors(nanobind::module_& m);
