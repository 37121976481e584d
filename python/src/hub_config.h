// SPDX-License-Identifier: Apache-2.0
// What the bindings of language models share: configurations and outputs.
#pragma once

#include "ds/hub/transformer_block.h"
#include "hub.h"

/// A deepseek.models.ModelOutput of named results, or the tuple of what is there.
nb::object model_output(const nb::dict& values, bool return_dict);
/// model_output() of results and their hidden states.
nb::object to_python(const ds::hub::Output& output, bool return_dict);

/// Every key of a config as an attribute; their names as `fields`.
template <class C>
class ConfigClass {
 public:
  ConfigClass(nb::module_& m, const char* name) : type_(m, name) { type_.def(nb::init<>()); }
  ~ConfigClass() { type_.attr("fields") = nb::tuple(names_); }
  template <class V>
  ConfigClass& key(const char* name, V C::*member) {
    type_.def_rw(name, member, nb::for_setter(nb::arg("value").none()));
    names_.append(name);
    return *this;
  }

 private:
  nb::class_<C> type_;
  nb::list names_;
};
