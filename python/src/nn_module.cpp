// SPDX-License-Identifier: Apache-2.0
// The methods of Module: attributes, registration, iteration, conversion, text.
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/tensor/ops.h"
#include "module_object.h"

namespace {

using ds::Tensor;
using ds::nn::Module;

std::string type_of(nb::handle object) {
  return nb::cast<std::string>(nb::handle(object.type()).attr("__name__"));
}

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

bool initialized(nb::handle self) { return bool(module_object(self)->module); }

/// What self.__dict__ holds under a name that becomes a parameter, buffer or child.
void forget_plain(nb::handle self, const std::string& name) {
  PyObject* dict = module_object(self)->head.dict;
  if (dict && PyDict_GetItemString(dict, name.c_str())) PyDict_DelItemString(dict, name.c_str());
}

void put_child(nb::handle self, const std::string& name, nb::handle value) {
  Module& module = module_of(self);
  forget_plain(self, name);
  ds::nn::ModulePtr child = value.is_none() ? nullptr : share_module(value);
  if (module.has_child(name)) return module.set_child(name, std::move(child));
  if (module.has_parameter(name) || module.has_buffer(name)) module.remove(name);
  module.register_module(name, std::move(child));
}

void put_parameter(nb::handle self, const std::string& name, nb::handle value) {
  Module& module = module_of(self);
  forget_plain(self, name);
  const Tensor tensor = value.is_none() ? Tensor() : nb::cast<Tensor>(value);
  if (module.has_parameter(name)) {
    module.set_parameter(name, tensor);
  } else {
    if (module.has_buffer(name) || module.has_child(name)) module.remove(name);
    add_parameter(module, name, tensor);
  }
  kept_tensor(module_object(self), name, tensor);
}

void put_buffer(nb::handle self, const std::string& name, const Tensor& tensor, bool persistent) {
  Module& module = module_of(self);
  forget_plain(self, name);
  if (module.has_buffer(name) && module.is_persistent(name) == persistent) {
    module.set_buffer(name, tensor);
  } else {
    if (module.has_buffer(name) || module.has_parameter(name) || module.has_child(name))
      module.remove(name);
    module.register_buffer(name, tensor, persistent);
  }
  kept_tensor(module_object(self), name, tensor);
}

void check_new_name(nb::handle self, const std::string& name, const char* what, bool known) {
  if (name.find('.') != std::string::npos)
    throw nb::key_error((std::string(what) + " name can't contain \".\", got: " + name).c_str());
  if (name.empty())
    throw nb::key_error((std::string(what) + " name can't be empty string").c_str());
  if (!known && nb::hasattr(self, name.c_str()))
    throw nb::key_error(("attribute '" + name + "' already exists").c_str());
}

void register_parameter(nb::handle self, const std::string& name, nb::object value) {
  if (!initialized(self))
    throw nb::attribute_error("cannot assign parameter before Module.__init__() call");
  check_new_name(self, name, "parameter", module_of(self).has_parameter(name));
  if (!value.is_none() && !is_parameter(value))
    throw nb::type_error(("cannot assign '" + type_of(value) + "' object to parameter '" + name +
                          "' (deepseek.nn.Parameter or None required)")
                             .c_str());
  put_parameter(self, name, value);
}

void register_buffer(nb::handle self, const std::string& name, nb::object value, bool persistent) {
  if (!initialized(self))
    throw nb::attribute_error("cannot assign buffer before Module.__init__() call");
  Module& module = module_of(self);
  check_new_name(self, name, "buffer", module.has_buffer(name));
  Tensor tensor;
  if (!value.is_none() && !nb::try_cast(value, tensor))
    throw nb::type_error(("cannot assign '" + type_of(value) + "' object to buffer '" + name +
                          "' (deepseek.Tensor or None required)")
                             .c_str());
  put_buffer(self, name, tensor, persistent);
}

void register_module(nb::handle self, const std::string& name, nb::object value) {
  if (!initialized(self))
    throw nb::attribute_error("cannot assign module before Module.__init__() call");
  if (!value.is_none() && !is_module(value))
    throw nb::type_error((type_of(value) + " is not a Module subclass").c_str());
  check_new_name(self, name, "module", module_of(self).has_child(name));
  put_child(self, name, value);
}

void set_attribute(nb::handle self, nb::handle name, nb::handle value) {
  const std::string text = nb::cast<std::string>(name);
  if (assign_registered(self, text, value)) return;
  if (initialized(self)) module_of(self).touch();
  if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), value.ptr())) throw nb::python_error();
  // A plain tensor in the place of a layer's parameter is what the layer computes with.
  Tensor tensor;
  if (initialized(self) && layer_info(module_of(self)) && nb::try_cast(value, tensor))
    module_of(self).set_stand_in(text, tensor);
}

nb::object get_attribute(nb::handle self, const std::string& name) {
  if (initialized(self))
    if (nb::object found = registered(self, name); found.is_valid()) return found;
  throw nb::attribute_error(
      ("'" + type_of(self) + "' object has no attribute '" + name + "'").c_str());
}

void delete_attribute(nb::handle self, nb::handle name) {
  const std::string text = nb::cast<std::string>(name);
  ModuleObject* object = module_object(self);
  if (object->module) object->module->touch();
  if (object->module && (object->module->has_parameter(text) || object->module->has_buffer(text) ||
                         object->module->has_child(text))) {
    object->module->remove(text);
    if (object->kept && PyDict_GetItemString(object->kept, text.c_str()))
      PyDict_DelItemString(object->kept, text.c_str());
  } else if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), nullptr)) {
    throw nb::python_error();
  } else if (object->module) {
    object->module->set_stand_in(text, {});
  }
}

nb::list directory(nb::handle self) {
  nb::list names(nb::handle(reinterpret_cast<PyObject*>(&PyBaseObject_Type)).attr("__dir__")(self));
  const Module& module = module_of(self);
  for (const auto& [name, tensor] : module.own_parameters()) names.append(name);
  for (const auto& [name, tensor] : module.own_buffers()) names.append(name);
  for (const auto& [name, child] : module.named_children()) names.append(name);
  return names;
}

enum class Kind { parameter, buffer };

/// (dotted name, tensor) pairs, a shared tensor once.
nb::list named_tensors(nb::handle self, Kind kind, const std::string& prefix, bool recurse,
                       bool once) {
  nb::list list;
  std::unordered_set<const ds::TensorImpl*> seen;
  const auto visit = [&](nb::handle object, const std::string& path) {
    ModuleObject* owner = module_object(object);
    const auto tensors =
        kind == Kind::parameter ? owner->module->own_parameters() : owner->module->own_buffers();
    for (const auto& [name, tensor] : tensors)
      if (tensor.defined() && (seen.insert(tensor.impl().get()).second || !once))
        list.append(nb::make_tuple(join(path, name), kept_tensor(owner, name, tensor)));
  };
  if (recurse)
    walk_modules(self, prefix, once, visit);
  else
    visit(self, prefix);
  return list;
}

nb::object iterator(const nb::list& list) { return nb::iter(list); }

nb::list seconds(const nb::list& pairs) {
  nb::list list;
  for (nb::handle pair : pairs) list.append(pair[1]);
  return list;
}

nb::list named_children(nb::handle self) {
  nb::list list;
  std::unordered_set<PyObject*> seen;
  for (size_t i = 0; i < module_of(self).named_children().size(); ++i) {
    const nb::object child = child_at(self, i);
    if (!child.is_none() && seen.insert(child.ptr()).second)
      list.append(nb::make_tuple(module_of(self).named_children()[i].first, child));
  }
  return list;
}

nb::list named_modules(nb::handle self, const std::string& prefix, bool once) {
  nb::list list;
  walk_modules(self, prefix, once, [&](nb::handle module, const std::string& name) {
    list.append(nb::make_tuple(name, module));
  });
  return list;
}

nb::object follow(nb::handle self, const std::string& path) {
  nb::object module = nb::borrow(self);
  for (size_t start = 0; start < path.size();) {
    const size_t dot = std::min(path.find('.', start), path.size());
    const std::string name = path.substr(start, dot - start);
    if (!nb::hasattr(module, name.c_str()))
      throw nb::attribute_error((type_of(module) + " has no attribute `" + name + "`").c_str());
    module = module.attr(name.c_str());
    if (!is_module(module))
      throw nb::attribute_error(("`" + name + "` is not an nn.Module").c_str());
    start = dot + 1;
  }
  return module;
}

nb::object follow_tensor(nb::handle self, const std::string& path, Kind kind) {
  const size_t dot = path.rfind('.');
  const nb::object owner = follow(self, dot == std::string::npos ? "" : path.substr(0, dot));
  const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
  const Module& module = module_of(owner);
  if (kind == Kind::parameter ? !module.has_parameter(name) : !module.has_buffer(name))
    throw nb::attribute_error((type_of(owner) + " has no " +
                               (kind == Kind::parameter ? "parameter" : "buffer") + " `" + name +
                               "`")
                                  .c_str());
  return owner.attr(name.c_str());
}

nb::object train(nb::object self, bool mode) {
  Module& module = module_of(self);
  module.set_training(mode);
  for (size_t i = 0; i < module.named_children().size(); ++i) {
    const nb::object child = child_at(self, i);
    if (!child.is_none()) child.attr("train")(mode);
  }
  return self;
}

nb::object apply(nb::object self, nb::object fn) {
  Module& module = module_of(self);
  for (size_t i = 0; i < module.named_children().size(); ++i) {
    const nb::object child = child_at(self, i);
    if (!child.is_none()) child.attr("apply")(fn);
  }
  fn(self);
  return self;
}

nb::object move_to(nb::object self, const nb::args& args, const nb::kwargs& kwargs) {
  Module& module = module_of(self);
  const auto use = [&](nb::handle arg) {
    ds::DType dtype;
    Tensor other;
    if (arg.is_none() || nb::isinstance<nb::bool_>(arg)) return;
    if (nb::try_cast(arg, other)) {
      module.to(other.dtype());
      module.to(other.device());
    } else if (!nb::isinstance<nb::str>(arg) && parse_dtype_object(arg, dtype)) {
      module.to(dtype);
    } else {
      module.to(parse_device_object(arg));
    }
  };
  for (nb::handle arg : args) use(arg);
  for (const auto& [name, value] : kwargs) {
    const std::string text = nb::cast<std::string>(name);
    if (text == "device" || text == "dtype")
      use(value);
    else if (text != "non_blocking" && text != "memory_format" && text != "copy")
      throw nb::type_error(("to: unexpected keyword argument '" + text + "'").c_str());
  }
  return self;
}

std::string indented(const std::string& text) {
  std::string out;
  for (char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

/// The tree as PyTorch prints it, through the extra_repr of every class.
std::string repr(nb::handle self) {
  const std::string extra = nb::cast<std::string>(self.attr("extra_repr")());
  const std::string name = nb::cast<std::string>(self.attr("_get_name")());
  std::string body;
  Module& module = module_of(self);
  for (size_t i = 0; i < module.named_children().size(); ++i) {
    const nb::object child = child_at(self, i);
    body += "\n  (" + module.named_children()[i].first +
            "): " + indented(nb::cast<std::string>(nb::repr(child)));
  }
  if (body.empty())
    return name + "(" +
           (extra.find('\n') == std::string::npos ? extra : "\n  " + indented(extra) + "\n") + ")";
  return name + "(" + (extra.empty() ? "" : "\n  " + indented(extra)) + body + "\n)";
}

nb::object forward(nb::handle self, const nb::args& args) {
  Module& module = module_of(self);
  Tensor x;
  if (!dynamic_cast<PyModule*>(&module) && args.size() == 1 && nb::try_cast(args[0], x))
    return nb::cast(module.forward(x));
  throw ds::NotImplementedError(
      ds::str("Module [", type_of(self), "] is missing the required \"forward\" function"));
}

/// Registers methods on the class.
class Methods {
 public:
  explicit Methods(nb::object& type) : type_(type) {}
  template <class F, class... Args>
  void def(const char* name, F f, const Args&... args) {
    type_.attr(name) = nb::cpp_function(f, nb::name(name), nb::is_method(), args...);
  }
  template <class G, class S>
  void property(const char* name, G get, S set) {
    const nb::handle property(reinterpret_cast<PyObject*>(&PyProperty_Type));
    type_.attr(name) = property(nb::cpp_function(get, nb::is_method()),
                                nb::cpp_function(set, nb::is_method(), "value"_a));
  }
  template <class G>
  void property(const char* name, G get) {
    const nb::handle property(reinterpret_cast<PyObject*>(&PyProperty_Type));
    type_.attr(name) = property(nb::cpp_function(get, nb::is_method()));
  }

 private:
  nb::object& type_;
};

void bind_attributes(Methods& methods) {
  methods.def("__init__",
              [](nb::handle self) { attach_module(self, std::make_shared<PyModule>()); });
  methods.def("__setattr__", &set_attribute, "name"_a, "value"_a.none());
  methods.def("__getattr__", &get_attribute, "name"_a);
  methods.def("__delattr__", &delete_attribute, "name"_a);
  methods.def("__dir__", &directory);
  methods.def(
      "register_parameter", &register_parameter, "name"_a, "param"_a.none(),
      "Adds a parameter, an attribute from then on; None takes the name only. KeyError when "
      "the name is taken, empty or contains a dot.");
  methods.def("register_buffer", &register_buffer, "name"_a, "tensor"_a.none(),
              "persistent"_a = true,
              "Adds a tensor that is moved with the module, and saved when persistent, but not "
              "trained.");
  methods.def("register_module", &register_module, "name"_a, "module"_a.none(),
              "Adds a child, an attribute from then on.");
  methods.def("add_module", &register_module, "name"_a, "module"_a.none(),
              "Adds a child, an attribute from then on.");
  methods.property(
      "training",
      [](nb::handle self) {
        if (!initialized(self))
          throw nb::attribute_error(
              ("'" + type_of(self) + "' object has no attribute 'training'").c_str());
        return module_of(self).is_training();
      },
      [](nb::handle self, bool on) { module_of(self).set_training(on); });
  for (const char* name : {"_parameters", "_buffers", "_modules"})
    methods.property(name, [name](nb::handle self) {
      module_of(self);
      return nb::module_::import_("deepseek.nn._views").attr("Registered")(self, name);
    });
}

/// Own entries as a dictionary: what the view behind `_parameters` and its like reads.
nb::dict own_entries(nb::handle self, const std::string& kind) {
  nb::dict dict;
  const Module& module = module_of(self);
  if (kind == "_modules") {
    for (size_t i = 0; i < module.named_children().size(); ++i)
      dict[module.named_children()[i].first.c_str()] = child_at(self, i);
  } else {
    const auto tensors = kind == "_buffers" ? module.own_buffers() : module.own_parameters();
    for (const auto& [name, tensor] : tensors)
      dict[name.c_str()] = kept_tensor(module_object(self), name, tensor);
  }
  return dict;
}

/// An entry of a view written: the checks of registration by method are left out, as there.
void set_entry(nb::handle self, const std::string& kind, const std::string& name,
               nb::object value) {
  if (kind == "_modules")
    put_child(self, name, value);
  else if (kind == "_parameters")
    put_parameter(self, name, value);
  else
    put_buffer(self, name, value.is_none() ? Tensor() : nb::cast<Tensor>(value), true);
}

void bind_iteration(Methods& methods) {
  methods.def(
      "named_parameters",
      [](nb::handle self, const std::string& prefix, bool recurse, bool once) {
        return iterator(named_tensors(self, Kind::parameter, prefix, recurse, once));
      },
      "prefix"_a = "", "recurse"_a = true, "remove_duplicate"_a = true,
      "Iterates over (dotted name, parameter); a shared one once.");
  methods.def(
      "parameters",
      [](nb::handle self, bool recurse) {
        return iterator(seconds(named_tensors(self, Kind::parameter, "", recurse, true)));
      },
      "recurse"_a = true, "Iterates over the parameters; a shared one once.");
  methods.def(
      "named_buffers",
      [](nb::handle self, const std::string& prefix, bool recurse, bool once) {
        return iterator(named_tensors(self, Kind::buffer, prefix, recurse, once));
      },
      "prefix"_a = "", "recurse"_a = true, "remove_duplicate"_a = true,
      "Iterates over (dotted name, buffer).");
  methods.def(
      "buffers",
      [](nb::handle self, bool recurse) {
        return iterator(seconds(named_tensors(self, Kind::buffer, "", recurse, true)));
      },
      "recurse"_a = true);
  methods.def(
      "named_children", [](nb::handle self) { return iterator(named_children(self)); },
      "Iterates over (name, child).");
  methods.def(
      "children", [](nb::handle self) { return iterator(seconds(named_children(self))); },
      "Iterates over the children.");
  methods.def(
      "named_modules",
      [](nb::handle self, nb::object, const std::string& prefix, bool once) {
        return iterator(named_modules(self, prefix, once));
      },
      "memo"_a = nb::none(), "prefix"_a = "", "remove_duplicate"_a = true,
      "Iterates over (dotted name, module), this one first.");
  methods.def("modules",
              [](nb::handle self) { return iterator(seconds(named_modules(self, "", true))); });
  methods.def("get_submodule", &follow, "target"_a,
              "The module at a dotted path; AttributeError when there is none.");
  methods.def(
      "get_parameter",
      [](nb::handle self, const std::string& path) {
        return follow_tensor(self, path, Kind::parameter);
      },
      "target"_a);
  methods.def(
      "get_buffer",
      [](nb::handle self, const std::string& path) {
        return follow_tensor(self, path, Kind::buffer);
      },
      "target"_a);
  methods.def(
      "set_submodule",
      [](nb::handle self, const std::string& path, nb::object module, bool) {
        const size_t dot = path.rfind('.');
        const nb::object owner = follow(self, dot == std::string::npos ? "" : path.substr(0, dot));
        const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
        owner.attr(name.c_str()) = module;
      },
      "target"_a, "module"_a, "strict"_a = false);
}

void bind_changes(Methods& methods) {
  methods.def("train", &train, "mode"_a = true, "Sets training mode here and below.");
  methods.def(
      "eval", [](nb::object self) { return self.attr("train")(false); },
      "Ends training mode here and below.");
  methods.def("apply", &apply, "fn"_a, "Calls fn(module) for all below, then for this module.");
  methods.def(
      "to", &move_to,
      "Converts parameters and buffers in place: to(device), to(dtype), to(device, dtype) or "
      "to(tensor). Only floating tensors change their dtype.");
  methods.def(
      "cuda",
      [](nb::object self, nb::handle) {
        module_of(self).to(ds::parse_device("cuda"));
        return self;
      },
      "device"_a = nb::none(), "to('cuda'); DeviceError where this build has none.");
  methods.def(
      "compile",
      [](nb::handle self, const nb::args& args, const nb::kwargs& kwargs) {
        nb::module_::import_("deepseek").attr("compile")(self, *args, **kwargs);
      },
      "Replays calls of this module from now on, as ds.compile(module).");
  methods.def(
      "to_empty",
      [](nb::object self, nb::handle device, bool) {
        if (!device.is_none()) module_of(self).to(parse_device_object(device));
        return self;
      },
      nb::kw_only(), nb::arg("device").none(), "recurse"_a = true, "to(device).");
  const auto cast = [&](const char* name, ds::DType dtype) {
    methods.def(name, [dtype](nb::object self) {
      module_of(self).to(dtype);
      return self;
    });
  };
  cast("float", ds::DType::f32);
  cast("double", ds::DType::f64);
  cast("half", ds::DType::f16);
  cast("bfloat16", ds::DType::bf16);
  methods.def("cpu", [](nb::object self) {
    module_of(self).to(ds::parse_device("cpu"));
    return self;
  });
  methods.def(
      "type",
      [](nb::object self, ds::DType dtype) {
        module_of(self).to(dtype);
        return self;
      },
      "dst_type"_a);
  methods.def(
      "requires_grad_",
      [](nb::object self, bool on) {
        module_of(self).requires_grad_(on);
        return self;
      },
      "requires_grad"_a = true);
  methods.def(
      "zero_grad",
      [](nb::handle self, bool set_to_none) {
        for (Tensor& x : module_of(self).parameters())
          x.set_grad(set_to_none || !x.grad().defined() ? Tensor() : ds::zeros_like(x.grad()));
      },
      "set_to_none"_a = true);
  methods.def("share_memory", [](nb::object self) { return self; });
  methods.def("forward", &forward);
  methods.def("_get_name", [](nb::handle self) {
    const Module& module = module_of(self);
    const bool plain = nb::handle(self.type()).is(module_class());
    return plain && !dynamic_cast<const PyModule*>(&module) ? module.type_name() : type_of(self);
  });
  methods.def("extra_repr", [](nb::handle self) {
    const Module& module = module_of(self);
    return dynamic_cast<const PyModule*>(&module) ? std::string() : module.extra_repr();
  });
  methods.def("__repr__", &repr);
}

}  // namespace

bool is_parameter(nb::handle object) {
  Tensor tensor;
  return nb::try_cast(object, tensor) && tensor.is_parameter();
}

nb::object registered(nb::handle self, const std::string& name) {
  Module& module = module_of(self);
  if (module.has_parameter(name))
    return kept_tensor(module_object(self), name, module.parameter(name));
  if (module.has_buffer(name)) return kept_tensor(module_object(self), name, module.buffer(name));
  const auto& children = module.named_children();
  for (size_t i = 0; i < children.size(); ++i)
    if (children[i].first == name) return child_at(self, i);
  return {};
}

bool assign_registered(nb::handle self, const std::string& name, nb::handle value) {
  const bool ready = initialized(self);
  const auto mismatch = [&](const char* what, const char* wanted) {
    return nb::type_error(("cannot assign '" + type_of(value) + "' as " + what + " '" + name +
                           "' (" + wanted + " or None expected)")
                              .c_str());
  };
  if (is_parameter(value)) {
    if (!ready) throw nb::attribute_error("cannot assign parameters before Module.__init__() call");
    put_parameter(self, name, value);
    return true;
  }
  if (is_module(value)) {
    if (!ready) throw nb::attribute_error("cannot assign module before Module.__init__() call");
    if (module_of(self).has_parameter(name)) throw mismatch("parameter", "deepseek.nn.Parameter");
    put_child(self, name, value);
    return true;
  }
  if (!ready) return false;
  Module& module = module_of(self);
  if (module.has_parameter(name)) {
    if (!value.is_none()) throw mismatch("parameter", "deepseek.nn.Parameter");
    module.set_parameter(name, Tensor());
  } else if (module.has_child(name)) {
    if (!value.is_none()) throw mismatch("child module", "deepseek.nn.Module");
    module.set_child(name, nullptr);
  } else if (nb::isinstance<ds::TensorImpl>(value) && nb::hasattr(value, "_buffer_persistent")) {
    put_buffer(self, name, nb::cast<Tensor>(value),
               nb::cast<bool>(value.attr("_buffer_persistent")));
  } else if (module.has_buffer(name)) {
    Tensor tensor;
    if (!value.is_none() && !nb::try_cast(value, tensor))
      throw mismatch("buffer", "deepseek.Tensor");
    module.set_buffer(name, tensor);
    kept_tensor(module_object(self), name, tensor);
  } else {
    return false;
  }
  return true;
}

void walk_modules(nb::handle self, const std::string& prefix, bool once,
                  const std::function<void(nb::handle, const std::string&)>& visit) {
  std::unordered_set<PyObject*> seen;
  const std::function<void(nb::handle, const std::string&)> step = [&](nb::handle object,
                                                                       const std::string& path) {
    if (!seen.insert(object.ptr()).second && once) return;
    visit(object, path);
    Module& module = module_of(object);
    for (size_t i = 0; i < module.named_children().size(); ++i) {
      const nb::object child = child_at(object, i);
      if (!child.is_none()) step(child, join(path, module.named_children()[i].first));
    }
  };
  step(self, prefix);
}

void bind_module(nb::module_& m) {
  nb::object type = nb::borrow(module_class());
  m.attr("Module") = type;
  Methods methods(type);
  bind_attributes(methods);
  bind_iteration(methods);
  bind_changes(methods);
  bind_module_state(m, type);
  bind_module_hooks(m, type);
  m.def("_own_entries", &own_entries);
  m.def("_set_entry", &set_entry, "module"_a, "kind"_a, "name"_a, "value"_a.none());
  m.def("_register_module_class", &register_module_class, "type"_a);
}
