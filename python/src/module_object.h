// SPDX-License-Identifier: Apache-2.0
// The Python class Module and its subclasses for the layers.
//
// It is an ordinary extension type (its metaclass is `type`), so that users combine it with mixins,
// ABC and Generic as they do with PyTorch's. Who owns what: a Python object owns its C++ module; a
// parent's C++ list of children owns the Python objects of the children that have one, each entry
// by a control block of its own. So the garbage collector sees every reference exactly once, and
// C++ code that copies an entry keeps the child alive.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <typeindex>
#include <vector>

#include "bindings.h"
#include "casters.h"
#include "ds/nn/module.h"

using nb::literals::operator""_a;

struct __attribute__((visibility("hidden"))) PyPeer : ds::nn::Peer {
  PyObject* self = nullptr;  // borrowed: the object that holds this peer
  bool overridden = false;   // its class is a user's
  bool intercepts() const override;
  ds::Tensor call(const ds::Tensor& x) override;
  void train(bool on) override;
  ds::Tensor attend(const std::vector<ds::Tensor>& inputs,
                    const std::optional<ds::Tensor>& key_padding,
                    const std::optional<ds::Tensor>& mask, bool causal) override;
};

/// Layout of every Python module. `module` is null until Module.__init__ ran.
struct ModuleHead {
  PyObject ob_base;
  PyObject* dict;
  PyObject* weak_refs;
};
struct __attribute__((visibility("hidden"))) ModuleObject {
  ModuleHead head;
  ds::nn::ModulePtr module;
  PyPeer peer;
  PyObject* pre_hooks;  // id -> (callable, with_kwargs, always_call), or null
  PyObject* hooks;
  PyObject* backward_hooks;
  PyObject* state_hooks;  // id -> (callable, kind of state hook)
  PyObject* compiled;     // what a call goes to, or null
  PyObject* kept;         // name -> the Python object of a tensor, so that it stays the same object
};

/// The C++ module of a class written in Python.
class PyModule : public ds::nn::Module {
 public:
  std::string type_name() const override;
  std::string extra_repr() const override;
  ds::Tensor forward(const ds::Tensor& x) override;
};

bool is_module(nb::handle object);
/// Calls of the module go to `compiled(args, kwargs)`; None: to forward() again.
void set_compiled(nb::handle module, nb::handle compiled);
/// The callable, or None.
nb::object compiled_of(nb::handle module);
/// Calls the module as if it were not compiled. `kwargs` may be None.
nb::object call_uncompiled(nb::handle module, const nb::tuple& args, nb::handle kwargs);
/// The layout of a module; TypeError when it is none.
ModuleObject* module_object(nb::handle object);
/// Its C++ module; StateError when Module.__init__ was not called, null when it is no module.
ds::nn::Module& module_of(nb::handle object);
/// The Python object of a module, made when it has none. None for null.
nb::object module_to_python(const ds::nn::ModulePtr& module);
/// An owner of the Python object, for C++ code.
ds::nn::ModulePtr share_module(nb::handle object);
/// Gives an object its C++ module.
void attach_module(nb::handle self, ds::nn::ModulePtr module);

/// self.name of a parameter, buffer or child; an invalid object when there is none.
nb::object registered(nb::handle self, const std::string& name);
/// self.name = value for a parameter, buffer or child as torch.nn.Module does it; false when the
/// attribute is a plain one.
bool assign_registered(nb::handle self, const std::string& name, nb::handle value);
bool is_parameter(nb::handle object);
/// Registers a parameter that may be frozen.
void add_parameter(ds::nn::Module& module, const std::string& name, ds::Tensor parameter);
/// Calls visit(object, dotted name) for a module and all below it.
void walk_modules(nb::handle self, const std::string& prefix, bool once,
                  const std::function<void(nb::handle, const std::string&)>& visit);
void bind_module_state(nb::module_& m, nb::object& type);
void bind_module_hooks(nb::module_& m, nb::object& type);

/// The object's child at a position, with a Python object from now on.
nb::object child_at(nb::handle self, size_t index);
/// The tensor of a module as the same Python object each time.
nb::object kept_tensor(ModuleObject* self, const std::string& name, const ds::Tensor& tensor);

/// What is known of the class of a layer.
struct __attribute__((visibility("hidden"))) LayerInfo {
  nb::object type;
  /// A copy of the layer's own settings.
  std::function<ds::nn::ModulePtr(const ds::nn::Module&)> copy;
  /// Names of the constructor's arguments, and how to read each back from a module.
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, nb::object>> fields;
  /// A new module to unpickle into, where the constructor's arguments can not be read back.
  std::function<ds::nn::ModulePtr()> rebuilt;
  const nb::object* field(const std::string& name) const;
};
/// The layer class of a C++ module, nothing for a class written in Python.
const LayerInfo* layer_info(const ds::nn::Module& module);
const LayerInfo* layer_info_of_class(nb::handle type);
LayerInfo& add_layer_info(std::type_index type);
/// Wrappers of C++ modules of the class of `type` get the Python class `type`.
void register_module_class(nb::handle type);
/// The Python class Module.
nb::handle module_class();
/// A new class below `base`.
nb::object make_class(nb::module_& m, const char* name, nb::handle base, const char* doc);
void move_module(nb::handle self, nb::handle device, nb::handle dtype);

namespace nanobind::detail {

template <class T>
inline constexpr bool is_ds_module = std::is_base_of_v<ds::nn::Module, T>;

/// A module argument: a reference into the object.
template <class T>
requires is_ds_module<T>
struct type_caster<T> {
  static constexpr auto Name = const_name("Module");
  template <class T_>
  using Cast = std::conditional_t<std::is_pointer_v<T_>, T*, T&>;
  template <class T_>
  static constexpr bool can_cast() {
    return true;
  }
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    if (!is_module(src)) return false;
    value = dynamic_cast<T*>(reinterpret_cast<ModuleObject*>(src.ptr())->module.get());
    return value != nullptr;
  }
  explicit operator T*() { return value; }
  explicit operator T&() { return *value; }
  T* value = nullptr;
};

/// A module that C++ code keeps, or hands out.
template <class T>
requires is_ds_module<T>
struct type_caster<std::shared_ptr<T>> {
  NB_TYPE_CASTER(std::shared_ptr<T>, const_name("Module"))
  bool from_python(handle src, uint32_t flags, cleanup_list* cleanup) noexcept {
    make_caster<T> raw;
    if (!raw.from_python(src, flags, cleanup)) return false;
    value = std::shared_ptr<T>(share_module(src), raw.value);
    return true;
  }
  static handle from_cpp(const std::shared_ptr<T>& module, rv_policy, cleanup_list*) noexcept {
    return module_to_python(module).release();
  }
};

}  // namespace nanobind::detail

/// Registers the Python class of layer T with PyTorch's names of arguments and attributes.
template <class T>
class __attribute__((visibility("hidden"))) LayerClass {
 public:
  LayerClass(nb::module_& m, const char* name, const char* doc = "")
      : LayerClass(m, name, module_class(), doc) {}
  LayerClass(nb::module_& m, const char* name, nb::handle base, const char* doc)
      : info_(add_layer_info(typeid(T))), type_(make_class(m, name, base, doc)) {
    info_.type = type_;
    info_.copy = [](const ds::nn::Module& module) -> ds::nn::ModulePtr {
      return std::make_shared<T>(static_cast<const T&>(module));
    };
  }
  /// `make(args...)` returns the shared_ptr<T> of a new object.
  template <class F, class... Args>
  LayerClass& init(F make, const Args&... args) {
    return init_with(make, &F::operator(), args...);
  }
  /// Also takes `device` and `dtype`, for layers with parameters.
  template <class F, class... Args>
  LayerClass& factory(F make, const Args&... args) {
    return factory_with(make, &F::operator(), args...);
  }
  template <class F, class... Args>
  LayerClass& def(const char* name, F f, const Args&... args) {
    type_.attr(name) = nb::cpp_function(f, nb::name(name), nb::is_method(), args...);
    return *this;
  }
  /// forward(input) of a layer of one tensor.
  LayerClass& forward(const char* argument = "input") {
    return def(
        "forward", [](T& self, const ds::Tensor& x) { return self.forward(x); }, nb::arg(argument));
  }
  /// An attribute that may be set.
  template <class V, class C>
  LayerClass& field(const char* name, V C::*member) {
    return property(
        name, [member](const T& self) { return self.*member; },
        [member](T& self, V value) { self.*member = std::move(value); });
  }
  template <class G, class S>
  LayerClass& property(const char* name, G get, S set) {
    add_property(name, nb::cpp_function(get, nb::is_method()),
                 nb::cpp_function(set, nb::is_method(), nb::arg("value").none()));
    return *this;
  }
  template <class G>
  LayerClass& property(const char* name, G get) {
    add_property(name, nb::cpp_function(get, nb::is_method()), nb::none());
    return *this;
  }
  LayerClass& rebuilt(std::function<ds::nn::ModulePtr()> make) {
    info_.rebuilt = std::move(make);
    return *this;
  }
  /// How to read back a constructor's argument that is no attribute.
  template <class G>
  LayerClass& argument(const char* name, G get) {
    info_.fields.emplace_back(name, nb::cpp_function(get, nb::is_method()));
    return *this;
  }

 private:
  template <class F, class P, class... A, class... Args>
  LayerClass& init_with(F make, P (F::*)(A...) const, const Args&... args) {
    (info_.arguments.push_back(args.name_), ...);
    return def(
        "__init__",
        [make](nb::handle self, A... values) { attach_module(self, make(std::move(values)...)); },
        args...);
  }
  template <class F, class P, class... A, class... Args>
  LayerClass& factory_with(F make, P (F::*)(A...) const, const Args&... args) {
    (info_.arguments.push_back(args.name_), ...);
    return def(
        "__init__",
        [make](nb::handle self, A... values, nb::object device, nb::object dtype) {
          attach_module(self, make(std::move(values)...));
          move_module(self, device, dtype);
        },
        args..., nb::arg("device") = nb::none(), nb::arg("dtype") = nb::none());
  }
  void add_property(const char* name, nb::object get, nb::object set) {
    const nb::handle property(reinterpret_cast<PyObject*>(&PyProperty_Type));
    type_.attr(name) = property(get, set);
    info_.fields.emplace_back(name, get);
  }

  LayerInfo& info_;
  nb::object type_;
};
