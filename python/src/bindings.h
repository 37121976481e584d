// SPDX-License-Identifier: Apache-2.0
// One registration function per file of the binding.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "ds/base/location.h"

namespace ds {
struct TensorImpl;
}
using TensorClass = nanobind::class_<ds::TensorImpl>;

void bind_errors(nanobind::module_& m);
void bind_location(nanobind::module_& m);
void bind_types(nanobind::module_& m);
void bind_tensor(nanobind::module_& m, TensorClass& cls);
void bind_numpy(nanobind::module_& m, TensorClass& cls);
void bind_indexing(nanobind::module_& m, TensorClass& cls);
void bind_autograd(nanobind::module_& m, TensorClass& cls);
void bind_elementwise(nanobind::module_& m, TensorClass& cls);
void bind_reduce(nanobind::module_& m, TensorClass& cls);
void bind_shape(nanobind::module_& m, TensorClass& cls);
void bind_create(nanobind::module_& m, TensorClass& cls);
void bind_index_ops(nanobind::module_& m, TensorClass& cls);
void bind_linalg(nanobind::module_& m, TensorClass& cls);
void bind_functional(nanobind::module_& m);
void bind_compile(nanobind::module_& m);
void bind_engine(nanobind::module_& m);
void bind_io(nanobind::module_& m);
void bind_text(nanobind::module_& m);
void bind_data(nanobind::module_& m);
void bind_hub(nanobind::module_& m);
void bind_module(nanobind::module_& m);
void bind_layers(nanobind::module_& m);
void bind_sequence_layers(nanobind::module_& m);
void bind_init(nanobind::module_& m);
void bind_optim(nanobind::module_& m);
void bind_schedulers(nanobind::module_& m);
void bind_train(nanobind::module_& m);

/// Lets other Python threads run while C++ computes; the user's line is looked up before.
class __attribute__((visibility("hidden"))) Unlocked {
  ds::LocationScope here_{ds::current_location()};
  nanobind::gil_scoped_release release_;
};

/// Documentation of a C++ function, from the comment above it in its header; empty when unknown.
const char* header_doc(const std::string& name);
