// SPDX-License-Identifier: Apache-2.0
// What ds.compile asks in every call: what the arguments are, and whether what the call read
// besides them is what it was.
#include <cstring>
#include <unordered_map>

#include "ds/base/hash.h"
#include "ds/tensor/replay.h"
#include "functions.h"
#include "module_object.h"

namespace {

using ds::Tensor;

/// Text of the arguments that two calls share exactly when one replay serves both; the tensors.
class CallKey {
 public:
  CallKey() {
    put(ds::grad_enabled() ? 'G' : 'g');
    put(static_cast<char>(ds::default_dtype()));
    put_raw(ds::default_device().backend);
    if (const auto& on = ds::autocast()) {
      put(static_cast<char>(on->dtype));
      put(static_cast<char>(on->convolution * 4 + on->matmul * 2 + on->attention));
    }
    put('|');
  }

  /// False for a value that is not compared: the call is recorded.
  bool add(nb::handle value) {
    PyObject* object = value.ptr();
    if (object == Py_None) return put('N');
    if (PyBool_Check(object)) return put(object == Py_True ? 'T' : 'F');
    if (PyLong_CheckExact(object)) return add_text('i', nb::str(value));
    if (PyFloat_CheckExact(object)) return put('f') && put_raw(PyFloat_AS_DOUBLE(object));
    if (PyUnicode_CheckExact(object)) return add_text('s', nb::borrow<nb::str>(value));
    if (PyTuple_CheckExact(object)) return add_items('(', value);
    if (PyList_CheckExact(object)) return add_items('[', value);
    if (PyDict_CheckExact(object)) return add_dict(object);
    Tensor tensor;
    if (nb::isinstance<ds::TensorImpl>(value) && nb::try_cast(value, tensor))
      return add_tensor(value, tensor);
    ds::DType dtype;
    if (Py_TYPE(object) == Py_TYPE(dtype_object(ds::DType::f32).ptr()) &&
        parse_dtype_object(value, dtype))
      return put('d') && put(static_cast<char>(dtype));
    return false;
  }

  nb::bytes text() const { return nb::bytes(text_.data(), text_.size()); }
  const nb::list& tensors() const { return tensors_; }

 private:
  bool put(char c) {
    text_.push_back(c);
    return true;
  }
  template <class T>
  bool put_raw(T number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    text_.append(bytes, sizeof number);
    return true;
  }
  bool add_text(char kind, const nb::str& text) {
    Py_ssize_t size;
    const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (!data) throw nb::python_error();
    put(kind);
    put_raw(size);
    text_.append(data, static_cast<size_t>(size));
    return true;
  }
  bool add_items(char kind, nb::handle items) {
    put(kind);
    put_raw(PySequence_Fast_GET_SIZE(items.ptr()));
    for (nb::handle item : items)
      if (!add(item)) return false;
    return true;
  }
  bool add_dict(PyObject* dict) {
    put('{');
    put_raw(PyDict_Size(dict));
    PyObject *name, *value;
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);)
      if (!add(name) || !add(value)) return false;
    return true;
  }
  /// One tensor given twice is another call than two tensors.
  bool add_tensor(nb::handle object, const Tensor& tensor) {
    const ds::Type& type = tensor.type();
    put('t');
    put_raw(places_.emplace(object.ptr(), places_.size()).first->second);
    put(static_cast<char>(type.dtype));
    put(static_cast<char>(tensor.requires_grad()));
    put_raw(tensor.device().backend);
    put_raw(type.shape.rank());
    for (const int64_t size : type.shape) put_raw(size);
    tensors_.append(object);
    return true;
  }

  std::string text_;
  nb::list tensors_;
  std::unordered_map<PyObject*, size_t> places_;
};

nb::object call_key(const nb::tuple& args, nb::handle kwargs) {
  CallKey key;
  if (!key.add(args) || (!kwargs.is_none() && !key.add(kwargs))) return nb::none();
  return nb::make_tuple(key.text(), key.tensors());
}

/// A number that changes with the modules' registered parts, settings and modes; None with hooks,
/// which are the user's code.
nb::object module_state(const nb::list& modules) {
  uint64_t hash = 0;
  for (nb::handle item : modules) {
    const ModuleObject* object = module_object(item);
    const ds::nn::Module& module = module_of(item);
    if (object->pre_hooks || object->hooks || object->backward_hooks || module.has_hooks())
      return nb::none();
    hash = ds::hash_combine(hash, module.revision() * 2 + (module.is_training() ? 1 : 0));
  }
  return nb::int_(hash);
}

/// Dictionaries: keys and values in turn; lists and tuples: items; cells: what they hold.
bool holds(PyObject* container, PyObject* items) {
  const Py_ssize_t count = PyTuple_GET_SIZE(items);
  if (PyDict_Check(container)) {
    if (PyDict_Size(container) * 2 != count) return false;
    PyObject *name, *value;
    Py_ssize_t i = 0;
    for (Py_ssize_t at = 0; PyDict_Next(container, &at, &name, &value); i += 2)
      if (PyTuple_GET_ITEM(items, i) != name || PyTuple_GET_ITEM(items, i + 1) != value)
        return false;
    return true;
  }
  if (PyCell_Check(container)) return PyCell_GET(container) == PyTuple_GET_ITEM(items, 0);
  if (PySequence_Fast_GET_SIZE(container) != count) return false;
  for (Py_ssize_t i = 0; i < count; ++i)
    if (PySequence_Fast_GET_ITEM(container, i) != PyTuple_GET_ITEM(items, i)) return false;
  return true;
}

/// Each container still holds the very objects it is listed with.
bool same_contents(const nb::list& guards) {
  for (nb::handle guard : guards)
    if (!holds(PyTuple_GET_ITEM(guard.ptr(), 0), PyTuple_GET_ITEM(guard.ptr(), 1))) return false;
  return true;
}

/// (dictionary, name, value): the names still mean what they meant.
bool same_names(const nb::list& guards) {
  for (nb::handle guard : guards)
    if (PyDict_GetItem(PyTuple_GET_ITEM(guard.ptr(), 0), PyTuple_GET_ITEM(guard.ptr(), 1)) !=
        PyTuple_GET_ITEM(guard.ptr(), 2))
      return false;
  return true;
}

/// A Capture that ends with the call it watches.
class Watch {
 public:
  void start() { capture_.emplace(); }
  void stop() { capture_.reset(); }
  /// The replay, or the reason that there is none.
  nb::object finish(const std::vector<Tensor>& arguments, const std::vector<Tensor>& outputs) {
    const auto [replay, reason] = capture_->finish(arguments, outputs);
    capture_.reset();
    return replay ? nb::cast(*replay) : nb::object(nb::str(reason.c_str()));
  }

 private:
  std::optional<ds::Capture> capture_;
};

}  // namespace

void bind_compile(nb::module_& m) {
  m.def("_call_key", &call_key, "args"_a, "kwargs"_a.none());
  m.def("_module_state", &module_state);
  m.def("_same_contents", &same_contents);
  m.def("_same_names", &same_names);
  m.def("_capturing", &ds::capturing);
  nb::class_<ds::Replay>(m, "_Replay")
      .def("run", [](const ds::Replay& self, const std::vector<Tensor>& arguments) -> nb::object {
        auto outputs = self.run(arguments);
        return outputs ? nb::cast(std::move(*outputs)) : nb::none();
      });
  nb::class_<Watch>(m, "_Watch")
      .def(nb::init<>())
      .def("start", &Watch::start)
      .def("stop", &Watch::stop)
      .def("finish", &Watch::finish);
  m.def("_set_compiled", &set_compiled, "module"_a, "compiled"_a.none());
  m.def("_compiled", &compiled_of);
  m.def("_call_module", &call_uncompiled, "module"_a, "args"_a, "kwargs"_a.none());
}
