// SPDX-License-Identifier: Apache-2.0
#include "module_object.h"

#include <structmember.h>

#include <unordered_map>

#include "ds/base/error.h"

namespace {

PyTypeObject* g_module_type = nullptr;  // lives as long as the process

struct Registry {
  std::unordered_map<std::type_index, LayerInfo> layers;
};
/// Never destroyed: it holds Python objects and would outlive the interpreter.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

ModuleObject* layout(PyObject* object) { return reinterpret_cast<ModuleObject*>(object); }

/// Releases the Python object behind a C++ child entry; also tells such entries from plain ones.
struct PyRelease {
  void operator()(PyObject* object) const {
    if (!Py_IsInitialized()) return;
    const nb::gil_scoped_acquire gil;
    Py_DECREF(object);
  }
};

PyObject* module_new(PyTypeObject* type, PyObject*, PyObject*) {
  // object's own constructor refuses abstract classes.
  const nb::object none = nb::steal(PyTuple_New(0));
  PyObject* self = PyBaseObject_Type.tp_new(type, none.ptr(), nullptr);
  if (!self) return nullptr;
  new (&layout(self)->module) ds::nn::ModulePtr();
  new (&layout(self)->peer) PyPeer();
  layout(self)->peer.self = self;
  return self;
}

int module_traverse(PyObject* self, visitproc visit, void* arg) {
  ModuleObject* object = layout(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(object->head.dict);
  Py_VISIT(object->pre_hooks);
  Py_VISIT(object->hooks);
  Py_VISIT(object->backward_hooks);
  Py_VISIT(object->state_hooks);
  Py_VISIT(object->compiled);
  Py_VISIT(object->kept);
  // Children are reachable from here only where nobody else owns the C++ module or the entry; else
  // they count as held from outside.
  if (object->module && object->module.use_count() == 1)
    for (const auto& [name, child] : object->module->named_children())
      if (child && child.use_count() == 1 && std::get_deleter<PyRelease>(child))
        Py_VISIT(static_cast<PyPeer*>(child->peer())->self);
  return 0;
}

int module_clear(PyObject* self) {
  ModuleObject* object = layout(self);
  Py_CLEAR(object->head.dict);
  Py_CLEAR(object->pre_hooks);
  Py_CLEAR(object->hooks);
  Py_CLEAR(object->backward_hooks);
  Py_CLEAR(object->state_hooks);
  Py_CLEAR(object->compiled);
  Py_CLEAR(object->kept);
  if (object->module && object->module.use_count() == 1) {
    const ds::nn::Named<ds::nn::ModulePtr> children = object->module->named_children();
    for (const auto& [name, child] : children)
      if (object->module->has_child(name)) object->module->remove(name);
  }
  return 0;
}

void module_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  ModuleObject* object = layout(self);
  if (object->head.weak_refs) PyObject_ClearWeakRefs(self);
  if (object->module && object->module->peer() == &object->peer) object->module->set_peer(nullptr);
  // Dropping the C++ module first drops the children; it must not run Python code through us.
  ds::nn::ModulePtr module = std::move(object->module);
  Py_CLEAR(object->head.dict);
  Py_CLEAR(object->pre_hooks);
  Py_CLEAR(object->hooks);
  Py_CLEAR(object->backward_hooks);
  Py_CLEAR(object->state_hooks);
  Py_CLEAR(object->compiled);
  Py_CLEAR(object->kept);
  module.reset();
  object->module.~shared_ptr();
  object->peer.~PyPeer();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

/// A copy, since a hook may remove itself.
nb::list entries_of(PyObject* hooks) { return nb::list(nb::handle(hooks).attr("values")()); }

/// Runs the pre-hooks, which may replace args and kwargs.
void run_pre_hooks(PyObject* self, nb::object& args, nb::object& kwargs) {
  const nb::list entries = entries_of(layout(self)->pre_hooks);
  for (nb::handle entry : entries) {
    if (nb::cast<bool>(entry[1])) {
      const nb::object result = nb::handle(entry[0])(nb::handle(self), args, kwargs);
      if (result.is_none()) continue;
      if (!nb::isinstance<nb::tuple>(result) || nb::len(result) != 2)
        throw nb::type_error(
            "forward pre-hook with kwargs: it must return None or a tuple (new_args, new_kwargs)");
      args = result[0];
      kwargs = result[1];
    } else {
      const nb::object result = nb::handle(entry[0])(nb::handle(self), args);
      if (result.is_none()) continue;
      args = nb::isinstance<nb::tuple>(result) ? result : nb::object(nb::make_tuple(result));
    }
  }
}

nb::object run_hooks(PyObject* self, const nb::object& args, const nb::object& kwargs,
                     nb::object output) {
  const nb::list entries = entries_of(layout(self)->hooks);
  for (nb::handle entry : entries) {
    const bool with_kwargs = nb::cast<bool>(entry[1]);
    const nb::handle hook = entry[0];
    nb::object result = with_kwargs ? hook(nb::handle(self), args, kwargs, output)
                                    : hook(nb::handle(self), args, output);
    if (!result.is_none()) output = std::move(result);
  }
  return output;
}

nb::object call_forward(PyObject* self, const nb::object& args, const nb::object& kwargs) {
  const nb::object forward = nb::steal(PyObject_GetAttrString(self, "forward"));
  if (!forward.is_valid()) throw nb::python_error();
  PyObject* result = PyObject_Call(forward.ptr(), args.ptr(), kwargs.ptr());
  if (!result) throw nb::python_error();
  return nb::steal(result);
}

/// Hooks that always run see the output None when forward() failed.
void run_after_failure(PyObject* self, const nb::object& args, const nb::object& kwargs) {
  const nb::list entries = entries_of(layout(self)->hooks);
  for (nb::handle entry : entries) {
    if (!nb::cast<bool>(entry[2])) continue;
    const nb::object hook = entry[0];
    if (nb::cast<bool>(entry[1]))
      hook(nb::handle(self), args, kwargs, nb::none());
    else
      hook(nb::handle(self), args, nb::none());
  }
}

nb::object call_with_hooks(nb::handle handle, nb::object args, nb::object kwargs) {
  PyObject* self = handle.ptr();
  ModuleObject* object = layout(self);
  if (object->pre_hooks) run_pre_hooks(self, args, kwargs);
  const bool native = object->module->has_hooks() && PyTuple_GET_SIZE(args.ptr()) == 1;
  ds::Tensor input;
  if (native && nb::try_cast(args[0], input)) {
    input = object->module->run_pre_hooks(input);
    args = nb::make_tuple(input);
  }
  nb::object watch;
  if (object->backward_hooks) {
    watch = nb::module_::import_("deepseek.nn._backward_hooks")
                .attr("watch")(nb::handle(self), nb::handle(object->backward_hooks));
    args = watch.attr("wrap_inputs")(args);
  }
  nb::object output;
  try {
    output = call_forward(self, args, kwargs);
  } catch (nb::python_error&) {
    if (object->hooks) run_after_failure(self, args, kwargs);
    throw;
  }
  ds::Tensor out;
  if (input.defined() && nb::try_cast(output, out))
    output = nb::cast(object->module->run_hooks(input, out));
  if (object->hooks) output = run_hooks(self, args, kwargs, std::move(output));
  if (watch.is_valid()) output = watch.attr("wrap_output")(output);
  return output;
}

PyObject* plain_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  ModuleObject* object = layout(self);
  if (!object->pre_hooks && !object->hooks && !object->backward_hooks &&
      !(object->module && object->module->has_hooks())) {
    PyObject* forward = PyObject_GetAttrString(self, "forward");
    if (!forward) return nullptr;
    PyObject* result = PyObject_Call(forward, args, kwargs);
    Py_DECREF(forward);
    return result;
  }
  // Through a bound function, which translates C++ exceptions.
  static const nb::handle slow = nb::cpp_function(&call_with_hooks).release();
  PyObject* none_given = kwargs ? nullptr : PyDict_New();
  PyObject* result =
      PyObject_CallFunctionObjArgs(slow.ptr(), self, args, kwargs ? kwargs : none_given, nullptr);
  Py_XDECREF(none_given);
  return result;
}

PyObject* module_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  PyObject* compiled = layout(self)->compiled;
  if (!compiled) return plain_call(self, args, kwargs);
  return PyObject_CallFunctionObjArgs(compiled, args, kwargs ? kwargs : Py_None, nullptr);
}

std::string text_of(const char* method, const ds::nn::Module& module) {
  const nb::gil_scoped_acquire gil;
  if (!module.peer()) return "Module";
  return nb::cast<std::string>(
      nb::handle(static_cast<PyPeer*>(module.peer())->self).attr(method)());
}

}  // namespace

bool PyPeer::intercepts() const {
  const ModuleObject* object = layout(self);
  return overridden || object->compiled || object->pre_hooks || object->hooks ||
         object->backward_hooks;
}

ds::Tensor PyPeer::call(const ds::Tensor& x) {
  const nb::gil_scoped_acquire gil;
  return nb::cast<ds::Tensor>(nb::handle(self)(x));
}

void PyPeer::train(bool on) {
  const nb::gil_scoped_acquire gil;
  nb::handle(self).attr("train")(on);
}

ds::Tensor PyPeer::attend(const std::vector<ds::Tensor>& inputs,
                          const std::optional<ds::Tensor>& key_padding,
                          const std::optional<ds::Tensor>& mask, bool causal) {
  const nb::gil_scoped_acquire gil;
  const nb::object out =
      nb::handle(self)(inputs[0], inputs[1], inputs[2], "key_padding_mask"_a = key_padding,
                       "need_weights"_a = false, "attn_mask"_a = mask, "is_causal"_a = causal);
  return nb::cast<ds::Tensor>(out[0]);
}

std::string PyModule::type_name() const { return text_of("_get_name", *this); }
std::string PyModule::extra_repr() const { return text_of("extra_repr", *this); }

ds::Tensor PyModule::forward(const ds::Tensor& x) {
  const nb::gil_scoped_acquire gil;
  DS_CHECK(peer(), StateError, "module: its Python object is gone");
  return nb::cast<ds::Tensor>(nb::handle(static_cast<PyPeer*>(peer())->self).attr("forward")(x));
}

constexpr const char* kDoc =
    "Base of all modules: a tree of named parameters, buffers and children. A subclass calls "
    "super().__init__(), assigns parameters and modules to attributes and defines forward().";

nb::handle module_class() {
  if (g_module_type) return reinterpret_cast<PyObject*>(g_module_type);
  static PyMemberDef members[] = {
      {"__dictoffset__", T_PYSSIZET, offsetof(ModuleHead, dict), READONLY, nullptr},
      {"__weaklistoffset__", T_PYSSIZET, offsetof(ModuleHead, weak_refs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyGetSetDef getset[] = {
      {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(module_new)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(module_dealloc)},
                                {Py_tp_traverse, reinterpret_cast<void*>(module_traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(module_clear)},
                                {Py_tp_call, reinterpret_cast<void*>(module_call)},
                                {Py_tp_doc, const_cast<char*>(kDoc)},
                                {Py_tp_members, members},
                                {Py_tp_getset, getset},
                                {0, nullptr}};
  static PyType_Spec spec = {"deepseek._core.nn.Module", sizeof(ModuleObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw nb::python_error();
  g_module_type = reinterpret_cast<PyTypeObject*>(type);
  return type;
}

void set_compiled(nb::handle module, nb::handle compiled) {
  PyObject* callable = compiled.is_none() ? nullptr : compiled.inc_ref().ptr();
  Py_XSETREF(module_object(module)->compiled, callable);
}

nb::object compiled_of(nb::handle module) {
  PyObject* compiled = module_object(module)->compiled;
  return compiled ? nb::borrow(compiled) : nb::none();
}

nb::object call_uncompiled(nb::handle module, const nb::tuple& args, nb::handle kwargs) {
  module_object(module);
  PyObject* result =
      plain_call(module.ptr(), args.ptr(), kwargs.is_none() ? nullptr : kwargs.ptr());
  if (!result) throw nb::python_error();
  return nb::steal(result);
}

bool is_module(nb::handle object) { return PyObject_TypeCheck(object.ptr(), g_module_type); }

ModuleObject* module_object(nb::handle object) {
  if (!is_module(object))
    throw nb::type_error(
        (std::string(Py_TYPE(object.ptr())->tp_name) + " is not a Module subclass").c_str());
  return layout(object.ptr());
}

ds::nn::Module& module_of(nb::handle object) {
  ModuleObject* self = module_object(object);
  DS_CHECK(self->module, StateError, Py_TYPE(object.ptr())->tp_name,
           ": Module.__init__() was not called; call super().__init__() first");
  return *self->module;
}

nb::object module_to_python(const ds::nn::ModulePtr& module) {
  if (!module) return nb::none();
  if (module->peer()) return nb::borrow(static_cast<PyPeer*>(module->peer())->self);
  const LayerInfo* info = layer_info(*module);
  auto* type = info ? reinterpret_cast<PyTypeObject*>(info->type.ptr()) : g_module_type;
  PyObject* object = module_new(type, nullptr, nullptr);
  if (!object) throw nb::python_error();
  const nb::object owner = nb::steal(object);
  attach_module(owner, module);
  return owner;
}

ds::nn::ModulePtr share_module(nb::handle object) {
  ds::nn::Module& module = module_of(object);
  const std::shared_ptr<PyObject> owner(object.inc_ref().ptr(), PyRelease{});
  return {owner, &module};
}

void attach_module(nb::handle self, ds::nn::ModulePtr module) {
  ModuleObject* object = module_object(self);
  if (object->module) object->module->set_peer(nullptr);
  module->set_peer(&object->peer);
  const LayerInfo* info = layer_info(*module);
  const nb::handle plain = info ? nb::handle(info->type) : module_class();
  object->peer.overridden = !plain.is(reinterpret_cast<PyObject*>(Py_TYPE(self.ptr())));
  object->module = std::move(module);
}

void add_parameter(ds::nn::Module& module, const std::string& name, ds::Tensor parameter) {
  const bool frozen = parameter.defined() && !parameter.requires_grad();
  module.register_parameter(name, parameter);
  if (frozen) parameter.requires_grad_(false);
}

nb::object child_at(nb::handle self, size_t index) {
  ds::nn::Module& module = module_of(self);
  const auto [name, child] = module.named_children()[index];
  if (!child) return nb::none();
  nb::object object = module_to_python(child);
  if (!std::get_deleter<PyRelease>(child)) module.set_child(name, share_module(object));
  return object;
}

nb::object kept_tensor(ModuleObject* self, const std::string& name, const ds::Tensor& tensor) {
  if (!tensor.defined()) return nb::none();
  nb::object object = nb::cast(tensor);
  if (!self->kept && !(self->kept = PyDict_New())) throw nb::python_error();
  if (PyDict_GetItemString(self->kept, name.c_str()) != object.ptr())
    PyDict_SetItemString(self->kept, name.c_str(), object.ptr());
  return object;
}

const nb::object* LayerInfo::field(const std::string& name) const {
  for (const auto& [own, getter] : fields)
    if (own == name) return &getter;
  return nullptr;
}

const LayerInfo* layer_info(const ds::nn::Module& module) {
  const auto found = registry().layers.find(typeid(module));
  return found == registry().layers.end() ? nullptr : &found->second;
}

const LayerInfo* layer_info_of_class(nb::handle type) {
  for (const auto& [index, info] : registry().layers)
    if (info.type.is(type)) return &info;
  return nullptr;
}

LayerInfo& add_layer_info(std::type_index type) { return registry().layers[type]; }

void register_module_class(nb::handle type) {
  for (auto& [index, info] : registry().layers)
    if (PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type.ptr()),
                         reinterpret_cast<PyTypeObject*>(info.type.ptr())))
      info.type = nb::borrow(type);
}

nb::object make_class(nb::module_& m, const char* name, nb::handle base, const char* doc) {
  nb::dict body;
  body["__module__"] = m.attr("__name__");
  body["__qualname__"] = name;
  body["__doc__"] = doc;
  const nb::handle type(reinterpret_cast<PyObject*>(&PyType_Type));
  nb::object made = type(name, nb::make_tuple(base), body);
  m.attr(name) = made;
  return made;
}

void move_module(nb::handle self, nb::handle device, nb::handle dtype) {
  ds::nn::Module& module = module_of(self);
  if (!dtype.is_none()) module.to(nb::cast<ds::DType>(dtype));
  if (!device.is_none()) module.to(parse_device_object(device));
}
