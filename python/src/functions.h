// SPDX-License-Identifier: Apache-2.0
// Registers a tensor function under one name as a function of the module, as a method, or both.
#pragma once

#include "bindings.h"
#include "casters.h"
#include "ds/tensor/ops.h"

using nb::literals::operator""_a;

class __attribute__((visibility("hidden"))) Functions {
 public:
  Functions(nb::module_& m, TensorClass& cls) : m_(m), cls_(cls) {}

  /// ds.name(input, ...) and input.name(...).
  template <class F, class... Args>
  void both(const char* name, F f, const Args&... args) {
    m_.def(name, f, "input"_a, args..., header_doc(name));
    cls_.def(name, f, args..., header_doc(name));
  }
  template <class F, class... Args>
  void function(const char* name, F f, const Args&... args) {
    m_.def(name, f, args..., header_doc(name));
  }
  template <class F, class... Args>
  void method(const char* name, F f, const Args&... args) {
    cls_.def(name, f, args..., header_doc(name));
  }
  /// input.name_(...): the result of input.name(...) written into input.
  void inplace(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      const std::string spelled = std::string(name) + "_";
      cls_.def(spelled.c_str(),
               [name](nb::object self, const nb::args& args, const nb::kwargs& kwargs) {
                 const nb::object result = self.attr(name)(*args, **kwargs);
                 ds::assign(nb::cast<ds::Tensor>(self), nb::cast<ds::Tensor>(result));
                 return self;
               });
    }
  }

 private:
  nb::module_& m_;
  TensorClass& cls_;
};

/// The sizes of f(2, 3), f((2, 3)) or f([2, 3]).
inline ds::Shape sizes_of(const nb::args& args) {
  ds::Shape sizes;
  if (args.size() == 1 && parse_ints(args[0], sizes)) return sizes;
  for (nb::handle item : args) {
    int64_t size;
    if (!parse_int(item, size)) throw nb::type_error("expected integers or one tuple of integers");
    sizes.push_back(size);
  }
  return sizes;
}
