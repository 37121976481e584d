// SPDX-License-Identifier: Apache-2.0
// Hooks of modules with PyTorch's signatures, and the class Parameter's constructor.
#include "ds/base/error.h"
#include "module_object.h"

namespace {

using ds::Tensor;

using Table = PyObject* ModuleObject::*;

/// What register_*_hook returns. It holds the module weakly, so that a hook may hold its handle.
struct ModuleHookHandle {
  nb::object module;  // weak reference
  Table table;
  int64_t id;
};

void remove_hook(ModuleHookHandle& handle) {
  const nb::object module = handle.module();
  if (module.is_none()) return;
  PyObject*& table = module_object(module)->*handle.table;
  const nb::int_ key(handle.id);
  if (!table || PyDict_Contains(table, key.ptr()) != 1) return;
  PyDict_DelItem(table, key.ptr());
  if (PyDict_Size(table) == 0) Py_CLEAR(table);
}

ModuleHookHandle add_entry(nb::handle self, Table table, const nb::object& value, bool prepend) {
  static int64_t next_id = 0;
  module_of(self);
  PyObject*& entries = module_object(self)->*table;
  const nb::int_ key(next_id++);
  nb::dict next;
  if (prepend) next[key] = value;
  if (entries) next.update(nb::borrow<nb::dict>(entries));
  if (!prepend) next[key] = value;
  Py_XSETREF(entries, next.release().ptr());
  const nb::object weak = nb::steal(PyWeakref_NewRef(self.ptr(), nullptr));
  return {weak, table, nb::cast<int64_t>(key)};
}

template <Table table>
ModuleHookHandle add_hook(nb::handle self, nb::object hook, bool prepend, bool with_kwargs,
                          bool always_call) {
  return add_entry(self, table, nb::make_tuple(hook, with_kwargs, always_call), prepend);
}

/// The state hooks under PyTorch's names; see run_state_hooks().
void bind_state_hooks(nb::object& type) {
  const auto def = [&](const char* name, const char* kind) {
    type.attr(name) = nb::cpp_function(
        [kind](nb::handle self, nb::object hook, bool with_module) {
          const bool bare = std::string(kind) == "load_pre" && !with_module;
          return add_entry(self, &ModuleObject::state_hooks,
                           nb::make_tuple(hook, bare ? "load_pre_bare" : kind), false);
        },
        nb::name(name), nb::is_method(), "hook"_a, "with_module"_a = name[0] != '_');
  };
  def("register_state_dict_pre_hook", "save_pre");
  def("register_state_dict_post_hook", "save_post");
  def("_register_state_dict_hook", "save_post");
  def("register_load_state_dict_pre_hook", "load_pre");
  def("_register_load_state_dict_pre_hook", "load_pre");
  def("register_load_state_dict_post_hook", "load_post");
}

Tensor make_parameter(nb::object data, bool requires_grad) {
  Tensor given;
  if (data.is_none()) {
    given = nb::cast<Tensor>(nb::module_::import_("deepseek._core").attr("empty")(0));
  } else if (!nb::try_cast(data, given)) {
    throw nb::type_error(("Parameter: expected a tensor, got " +
                          nb::cast<std::string>(nb::handle(data.type()).attr("__name__")))
                             .c_str());
  }
  Tensor parameter = given.detach();
  // A result keeps no graph alive: it becomes a value of its own.
  if (!given.is_leaf()) parameter.set_data(given);
  if (requires_grad) parameter.requires_grad_();
  parameter.set_parameter(true);
  return parameter;
}

}  // namespace

void bind_module_hooks(nb::module_& m, nb::object& type) {
  const auto def = [&](const char* name, auto f, const auto&... args) {
    type.attr(name) = nb::cpp_function(f, nb::name(name), nb::is_method(), args...);
  };
  nb::class_<ModuleHookHandle>(m, "ModuleHookHandle")
      .def("remove", &remove_hook)
      .def("__enter__", [](nb::object self) { return self; })
      .def("__exit__", [](ModuleHookHandle& self, const nb::args&) { remove_hook(self); })
      .def_prop_ro("id", [](const ModuleHookHandle& self) { return self.id; });
  def(
      "register_forward_pre_hook",
      [](nb::handle self, nb::object hook, bool prepend, bool with_kwargs) {
        return add_hook<&ModuleObject::pre_hooks>(self, hook, prepend, with_kwargs, false);
      },
      "hook"_a, nb::kw_only(), "prepend"_a = false, "with_kwargs"_a = false);
  def(
      "register_forward_hook",
      [](nb::handle self, nb::object hook, bool prepend, bool with_kwargs, bool always_call) {
        return add_hook<&ModuleObject::hooks>(self, hook, prepend, with_kwargs, always_call);
      },
      "hook"_a, nb::kw_only(), "prepend"_a = false, "with_kwargs"_a = false,
      "always_call"_a = false);
  def(
      "register_full_backward_hook",
      [](nb::handle self, nb::object hook, bool prepend) {
        return add_hook<&ModuleObject::backward_hooks>(self, hook, prepend, false, false);
      },
      "hook"_a, "prepend"_a = false);
  const auto table = [&](const char* name, Table member) {
    const nb::handle property(reinterpret_cast<PyObject*>(&PyProperty_Type));
    type.attr(name) = property(nb::cpp_function(
        [member](nb::handle self) {
          PyObject* entries = module_object(self)->*member;
          return nb::module_::import_("deepseek.nn._views")
              .attr("Hooks")(entries ? nb::handle(entries) : nb::handle(Py_None));
        },
        nb::is_method()));
  };
  table("_forward_pre_hooks", &ModuleObject::pre_hooks);
  table("_forward_hooks", &ModuleObject::hooks);
  table("_backward_hooks", &ModuleObject::backward_hooks);
  bind_state_hooks(type);
  m.def("_make_parameter", &make_parameter, "data"_a.none(), "requires_grad"_a = true);
}
