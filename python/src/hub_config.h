// SPDX-License-Identifier: Apache-2.0
// What the bindings of models share: configurations and outputs.
#pragma once

#include "ds/hub/seq2seq.h"
#include "hub.h"

/// A deepseek.models.ModelOutput of named results, or the tuple of what is there.
nb::object model_output(const nb::dict& values, bool return_dict);
/// past_key_values of Python; empty until a model has filled it.
struct Cache {
  std::shared_ptr<ds::hub::KeyValueCache> held;
};
/// What the cache holds, begun with these tokens where it is empty.
ds::hub::KeyValueCache& begun(Cache& cache, const ds::Tensor& tokens,
                              const std::optional<ds::Tensor>& mask);
/// A tuple, None without tensors.
nb::object tuple_of(const std::vector<ds::Tensor>& tensors);
/// model_output() of results, past_key_values where there is a cache, hidden states and attentions.
nb::object to_python(const ds::hub::Output& output, bool return_dict,
                     nb::handle cache = nb::handle());
/// Results in transformers' order.
nb::object seq2seq_output(const ds::hub::Seq2SeqOutput& out, bool return_dict);

/// Every key of a config as an attribute; their names as `fields`.
template <class C>
class __attribute__((visibility("hidden"))) ConfigClass {
 public:
  ConfigClass(nb::module_& m, const char* name) : type_(m, name) {
    type_.def(nb::init<>());
    type_.def("copy", [](const C& self) { return self; });
    type_.def("__reduce__", [](nb::handle self) {
      nb::dict values;
      for (nb::handle field : self.type().attr("fields")) values[field] = self.attr(nb::str(field));
      return nb::make_tuple(nb::module_::import_("deepseek._pickling").attr("rebuild_config"),
                            nb::make_tuple(self.type(), values));
    });
  }
  ~ConfigClass() { type_.attr("fields") = nb::tuple(names_); }
  ConfigClass(const ConfigClass&) = delete;
  ConfigClass& operator=(const ConfigClass&) = delete;
  /// B is C or a base of it.
  template <class V, class B>
  ConfigClass& key(const char* name, V B::*member) {
    type_.def_rw(name, member, nb::for_setter("value"_a.none()));
    names_.append(name);
    return *this;
  }
  /// The keys that heads look at.
  ConfigClass& head_keys() {
    using H = ds::hub::HeadConfig;
    return key("num_labels", &H::num_labels)
        .key("problem_type", &H::problem_type)
        .key("classifier_dropout", &H::classifier_dropout);
  }
  /// The configurations of published sizes by name, as `sizes`.
  ConfigClass& sizes(const std::vector<std::pair<std::string, C>>& named) {
    nb::dict all;
    for (const auto& [name, config] : named) all[name.c_str()] = nb::cast(config);
    type_.attr("sizes") = all;
    return *this;
  }

 private:
  nb::class_<C> type_;
  nb::list names_;
};
