// SPDX-License-Identifier: Apache-2.0
// state_dict, load_state_dict, copies and pickling of modules.
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/tensor/ops.h"
#include "module_object.h"

namespace {

using ds::Tensor;
using ds::nn::Module;

std::string class_name(nb::handle object) {
  return nb::cast<std::string>(nb::handle(object.type()).attr("__name__"));
}

/// Calls the state hooks of a kind (save_pre, save_post, load_pre, load_pre_bare, load_post) with
/// the arguments; the last result that is not None.
template <class... Args>
nb::object run_state_hooks(nb::handle self, const std::string& kind, const Args&... args) {
  nb::object last = nb::none();
  PyObject* table = module_object(self)->state_hooks;
  if (!table) return last;
  const nb::list entries(nb::handle(table).attr("values")());
  for (nb::handle entry : entries) {
    if (nb::cast<std::string>(entry[1]) != kind) continue;
    const nb::object hook = entry[0];
    const nb::object result = hook(args...);
    if (!result.is_none()) last = result;
  }
  return last;
}

nb::object state_dict(nb::handle self, const nb::args& args, nb::object destination,
                      std::string prefix, bool keep_vars) {
  if (args.size() > 0) destination = args[0];
  if (args.size() > 1) prefix = nb::cast<std::string>(args[1]);
  if (args.size() > 2) keep_vars = nb::cast<bool>(args[2]);
  if (destination.is_none())
    destination = nb::module_::import_("collections").attr("OrderedDict")();
  run_state_hooks(self, "save_pre", self, prefix, keep_vars);
  ModuleObject* object = module_object(self);
  const Module& module = module_of(self);
  const auto add = [&](const std::string& name, const Tensor& tensor) {
    const nb::object value = kept_tensor(object, name, tensor);
    destination.attr("__setitem__")(prefix + name, keep_vars ? value : value.attr("detach")());
  };
  for (const auto& [name, tensor] : module.own_parameters())
    if (tensor.defined()) add(name, tensor);
  for (const auto& [name, tensor] : module.own_buffers())
    if (tensor.defined() && module.is_persistent(name)) add(name, tensor);
  if (nb::hasattr(self, "get_extra_state"))
    destination.attr("__setitem__")(prefix + "_extra_state", self.attr("get_extra_state")());
  for (size_t i = 0; i < module.named_children().size(); ++i) {
    const nb::object child = child_at(self, i);
    if (!child.is_none())
      child.attr("state_dict")("destination"_a = destination,
                               "prefix"_a = prefix + module.named_children()[i].first + ".",
                               "keep_vars"_a = keep_vars);
  }
  const nb::object replaced =
      run_state_hooks(self, "save_post", self, destination, prefix, nb::dict());
  return replaced.is_none() ? destination : replaced;
}

/// A tensor of ours from a tensor or an array of any library.
Tensor as_tensor(nb::handle value) {
  Tensor tensor;
  if (nb::try_cast(value, tensor)) return tensor;
  const nb::module_ core = nb::module_::import_("deepseek._core");
  if (nb::hasattr(value, "detach"))
    return as_tensor(core.attr("from_dlpack")(value.attr("detach")()));
  return nb::cast<Tensor>(core.attr("as_tensor")(value));
}

std::string quoted(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

struct Loading {
  std::vector<std::pair<Tensor, Tensor>> copies;  // destination, value
  std::vector<std::pair<nb::object, nb::object>> extra;
  std::vector<std::string> missing, unexpected, errors;
  std::unordered_set<std::string> known;
};

void match_tensor(Loading& loading, const nb::dict& state, const std::string& key,
                  const Tensor& own) {
  loading.known.insert(key);
  const nb::str name(key.c_str());
  if (!state.contains(name)) {
    loading.missing.push_back(key);
    return;
  }
  const Tensor given = as_tensor(state[name]);
  if (given.shape() != own.shape()) {
    loading.errors.push_back(
        ds::str("size mismatch for ", key, ": copying a param with shape ", given.shape(),
                " from checkpoint, the shape in current model is ", own.shape(), "."));
    return;
  }
  loading.copies.emplace_back(own, given);
}

/// Hooks before a module loads may rename or remove entries of the state.
void run_load_hooks(Loading& loading, nb::handle module, const nb::dict& state,
                    const std::string& prefix, bool strict) {
  if (!module_object(module)->state_hooks) return;
  nb::list missing, unexpected, errors;
  run_state_hooks(module, "load_pre", module, state, prefix, nb::dict(), strict, missing,
                  unexpected, errors);
  run_state_hooks(module, "load_pre_bare", state, prefix, nb::dict(), strict, missing, unexpected,
                  errors);
  for (nb::handle name : missing) loading.missing.push_back(nb::cast<std::string>(name));
  for (nb::handle name : unexpected) loading.unexpected.push_back(nb::cast<std::string>(name));
  for (nb::handle text : errors) loading.errors.push_back(nb::cast<std::string>(text));
}

nb::object load_state_dict(nb::handle self, nb::object mapping, bool strict, bool assign) {
  if (!nb::hasattr(mapping, "keys"))
    throw nb::type_error(("Expected state_dict to be dict-like, got " +
                          nb::cast<std::string>(nb::str(mapping.type())) + ".")
                             .c_str());
  nb::dict state;
  state.update(mapping);
  Loading loading;
  walk_modules(self, "", false, [&](nb::handle object, const std::string& path) {
    const Module& module = module_of(object);
    const std::string prefix = path.empty() ? "" : path + ".";
    run_load_hooks(loading, object, state, prefix, strict);
    for (const auto& [name, tensor] : module.own_parameters())
      if (tensor.defined()) match_tensor(loading, state, prefix + name, tensor);
    for (const auto& [name, tensor] : module.own_buffers())
      if (tensor.defined() && module.is_persistent(name))
        match_tensor(loading, state, prefix + name, tensor);
    if (nb::hasattr(object, "set_extra_state")) {
      const nb::str key((prefix + "_extra_state").c_str());
      loading.known.insert(key.c_str());
      if (state.contains(key))
        loading.extra.emplace_back(nb::borrow(object), state[key]);
      else
        loading.missing.push_back(key.c_str());
    }
  });
  for (const auto& [key, value] : state) {
    const std::string name = nb::cast<std::string>(key);
    if (!loading.known.count(name)) loading.unexpected.push_back(name);
  }
  std::vector<std::string> messages;
  if (strict && !loading.missing.empty())
    messages.push_back("Missing key(s) in state_dict: " + quoted(loading.missing) + ". ");
  if (strict && !loading.unexpected.empty())
    messages.push_back("Unexpected key(s) in state_dict: " + quoted(loading.unexpected) + ". ");
  messages.insert(messages.end(), loading.errors.begin(), loading.errors.end());
  if (!messages.empty()) {
    std::string text = "Error(s) in loading state_dict for " + class_name(self) + ":";
    for (const std::string& message : messages) text += "\n\t" + message;
    throw ds::StateError(text);
  }
  const ds::GradMode no_grad(false);
  std::vector<Tensor> loaded;
  for (const auto& [own, given] : loading.copies) {
    if (assign)
      own.set_data(ds::clone(given));
    else
      ds::assign(own, ds::clone(ds::to_device(given, own.device())));
    loaded.push_back(own);
  }
  // Copied now: the memory may be another library's, which goes on writing to it.
  ds::evaluate(loaded);
  for (const auto& [object, value] : loading.extra) object.attr("set_extra_state")(value);
  const nb::object result =
      nb::module_::import_("deepseek.nn._results")
          .attr("IncompatibleKeys")(nb::cast(loading.missing), nb::cast(loading.unexpected));
  walk_modules(self, "", true, [&](nb::handle object, const std::string&) {
    run_state_hooks(object, "load_post", object, result);
  });
  return result;
}

/// A new C++ module with the settings of the old one and nothing registered.
ds::nn::ModulePtr copy_settings(const Module& module) {
  if (const LayerInfo* info = layer_info(module)) return info->copy(module);
  DS_CHECK(dynamic_cast<const PyModule*>(&module), NotImplementedError, "copy: the module ",
           module.type_name(), " can not be copied from Python");
  auto copy = std::make_shared<PyModule>();
  copy->set_training(module.is_training());
  return copy;
}

/// The hook tables of an object, by name of their attribute.
std::vector<std::pair<const char*, PyObject**>> hook_tables(ModuleObject* object) {
  return {{"pre_hooks", &object->pre_hooks},
          {"hooks", &object->hooks},
          {"backward_hooks", &object->backward_hooks},
          {"state_hooks", &object->state_hooks}};
}

/// Copies `self` into a new object; `copied` maps every Python value in it.
nb::object copy_module(nb::handle self, const std::function<void(nb::handle)>& made,
                       const std::function<nb::object(nb::handle)>& copied) {
  const Module& module = module_of(self);
  ModuleObject* from = module_object(self);
  const nb::handle cls = self.type();
  nb::object object = cls.attr("__new__")(cls);
  attach_module(object, copy_settings(module));
  made(object);
  ModuleObject* to = module_object(object);
  const auto tensor_copy = [&](const std::string& name, const Tensor& tensor) {
    const nb::object value = copied(kept_tensor(from, name, tensor));
    const Tensor copy = value.is_none() ? Tensor() : nb::cast<Tensor>(value);
    kept_tensor(to, name, copy);
    return copy;
  };
  for (const auto& [name, tensor] : module.own_parameters()) {
    const Tensor copy = tensor_copy(name, tensor);
    add_parameter(*to->module, name, copy);
  }
  for (const auto& [name, tensor] : module.own_buffers())
    to->module->register_buffer(name, tensor_copy(name, tensor), module.is_persistent(name));
  for (size_t i = 0; i < module.named_children().size(); ++i) {
    const nb::object child = copied(child_at(self, i));
    to->module->register_module(module.named_children()[i].first,
                                child.is_none() ? nullptr : share_module(child));
  }
  const auto targets = hook_tables(to);
  const auto sources = hook_tables(from);
  for (size_t i = 0; i < sources.size(); ++i)
    if (*sources[i].second) *targets[i].second = copied(*sources[i].second).release().ptr();
  if (from->head.dict)
    for (const auto& [key, value] : nb::borrow<nb::dict>(from->head.dict))
      PyObject_GenericSetAttr(object.ptr(), key.ptr(), copied(value).ptr());
  return object;
}

nb::object deep_copy(nb::handle self, nb::dict memo) {
  const nb::object deepcopy = nb::module_::import_("copy").attr("deepcopy");
  const nb::object id = nb::module_::import_("builtins").attr("id");
  return copy_module(
      self, [&](nb::handle made) { memo[id(self)] = made; },
      [&](nb::handle value) { return nb::object(deepcopy(value, memo)); });
}

nb::object shallow_copy(nb::handle self) {
  return copy_module(
      self, [](nb::handle) {}, [](nb::handle value) { return nb::borrow(value); });
}

/// Constructor arguments of the layer class, read back from the module.
nb::dict arguments_of(nb::handle self, const LayerInfo& info) {
  nb::dict arguments;
  for (const std::string& name : info.arguments) {
    if (const nb::object* getter = info.field(name))
      arguments[name.c_str()] = (*getter)(self);
    else if (module_of(self).has_parameter(name))
      arguments[name.c_str()] = module_of(self).parameter(name).defined();
  }
  return arguments;
}

nb::object reduce(nb::handle self, nb::handle) {
  const Module& module = module_of(self);
  ModuleObject* object = module_object(self);
  nb::dict core;
  core["training"] = module.is_training();
  if (const LayerInfo* info = layer_info(module)) {
    core["layer"] = info->type;
    core["arguments"] = arguments_of(self, *info);
    nb::dict fields;
    for (const auto& [name, getter] : info->fields) fields[name.c_str()] = getter(self);
    core["fields"] = fields;
  }
  nb::list parameters, buffers, children;
  for (const auto& [name, tensor] : module.own_parameters())
    parameters.append(nb::make_tuple(name, kept_tensor(object, name, tensor)));
  for (const auto& [name, tensor] : module.own_buffers())
    buffers.append(
        nb::make_tuple(name, kept_tensor(object, name, tensor), module.is_persistent(name)));
  for (size_t i = 0; i < module.named_children().size(); ++i)
    children.append(nb::make_tuple(module.named_children()[i].first, child_at(self, i)));
  core["parameters"] = parameters;
  core["buffers"] = buffers;
  core["children"] = children;
  for (const auto& [name, table] : hook_tables(object))
    if (*table) core[name] = nb::handle(*table);
  const nb::object plain = nb::hasattr(self, "__getstate__")
                               ? nb::object(self.attr("__getstate__")())
                               : nb::object(self.attr("__dict__"));
  return nb::make_tuple(nb::module_::import_("copyreg").attr("__newobj__"),
                        nb::make_tuple(self.type()), nb::make_tuple(core, plain), nb::none(),
                        nb::none(),
                        nb::module_::import_("deepseek._pickling").attr("set_module_state"));
}

/// Makes the C++ module of an unpickled layer, drawing no random numbers from the user's stream.
void rebuild_layer(nb::handle self, const nb::dict& core) {
  const nb::object type = core["layer"];
  const LayerInfo* info = layer_info_of_class(type);
  if (info && info->rebuilt) return attach_module(self, info->rebuilt());
  const Tensor random = ds::rng_state();
  type.attr("__init__")(self, **nb::cast<nb::dict>(core["arguments"]));
  ds::set_rng_state(random);
  for (const auto& [name, value] : nb::cast<nb::dict>(core["fields"])) {
    const nb::object property = nb::getattr(type, name, nb::none());
    if (nb::hasattr(property, "fset") && !property.attr("fset").is_none())
      property.attr("fset")(self, value);
  }
  Module& module = module_of(self);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : module.own_parameters()) names.push_back(name);
  for (const auto& [name, tensor] : module.own_buffers()) names.push_back(name);
  for (const auto& [name, child] : module.named_children()) names.push_back(name);
  for (const std::string& name : names) module.remove(name);
}

void set_module_state(nb::handle self, nb::tuple state) {
  const nb::dict core = state[0];
  if (core.contains("layer"))
    rebuild_layer(self, core);
  else
    attach_module(self, std::make_shared<PyModule>());
  Module& module = module_of(self);
  ModuleObject* object = module_object(self);
  for (nb::handle entry : core["parameters"]) {
    const Tensor tensor = entry[1].is_none() ? Tensor() : nb::cast<Tensor>(entry[1]);
    add_parameter(module, nb::cast<std::string>(entry[0]), tensor);
    kept_tensor(object, nb::cast<std::string>(entry[0]), tensor);
  }
  for (nb::handle entry : core["buffers"])
    module.register_buffer(nb::cast<std::string>(entry[0]),
                           entry[1].is_none() ? Tensor() : nb::cast<Tensor>(entry[1]),
                           nb::cast<bool>(entry[2]));
  for (nb::handle entry : core["children"])
    module.register_module(nb::cast<std::string>(entry[0]),
                           entry[1].is_none() ? nullptr : share_module(entry[1]));
  module.set_training(nb::cast<bool>(core["training"]));
  for (const auto& [name, table] : hook_tables(object))
    if (core.contains(name)) *table = nb::object(core[name]).release().ptr();
  const nb::object plain = state[1];
  if (nb::hasattr(self, "__setstate__"))
    self.attr("__setstate__")(plain);
  else if (nb::isinstance<nb::dict>(plain))
    self.attr("__dict__").attr("update")(plain);
}

}  // namespace

void bind_module_state(nb::module_& m, nb::object& type) {
  const auto def = [&](const char* name, auto f, const auto&... args) {
    type.attr(name) = nb::cpp_function(f, nb::name(name), nb::is_method(), args...);
  };
  def("state_dict", &state_dict, "args"_a, nb::kw_only(), "destination"_a = nb::none(),
      "prefix"_a = "", "keep_vars"_a = false);
  def("load_state_dict", &load_state_dict, "state_dict"_a, "strict"_a = true, "assign"_a = false);
  def("__deepcopy__", &deep_copy, "memo"_a);
  def("__copy__", &shallow_copy);
  def("__reduce_ex__", &reduce, "protocol"_a);
  m.def("_set_module_state", &set_module_state);
}
