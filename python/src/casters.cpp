// SPDX-License-Identifier: Apache-2.0
// dtype and device objects, and conversions shared by all argument types.
#include "casters.h"

#include <array>

#include "bindings.h"
#include "ds/base/error.h"

namespace {

struct DTypeObject {
  ds::DType dtype;
};
struct DeviceObject {
  ds::Device device;
};

// Owned by the module for the life of the process.
std::array<PyObject*, ds::kDTypeCount> g_dtypes{};

constexpr const char* kTorchNames[] = {"float64", "float32", "float16", "bfloat16", "int64",
                                       "int32",   "int16",   "int8",    "uint8",    "bool"};

/// The index protocol covers Python and NumPy integers; bool is no integer here.
bool is_bool(nb::handle src) {
  return PyBool_Check(src.ptr()) || std::string_view(Py_TYPE(src.ptr())->tp_name) == "numpy.bool";
}

}  // namespace

nb::handle dtype_object(ds::DType dtype) { return g_dtypes[static_cast<size_t>(dtype)]; }

bool parse_dtype_object(nb::handle src, ds::DType& dtype) noexcept {
  try {
    DTypeObject* object;
    if (nb::try_cast(src, object) && object) {  // None casts to null
      dtype = object->dtype;
      return true;
    }
    if (src.ptr() == reinterpret_cast<PyObject*>(&PyFloat_Type))
      dtype = ds::default_dtype();
    else if (src.ptr() == reinterpret_cast<PyObject*>(&PyLong_Type))
      dtype = ds::DType::i64;
    else if (src.ptr() == reinterpret_cast<PyObject*>(&PyBool_Type))
      dtype = ds::DType::bool_;
    else if (nb::isinstance<nb::str>(src))
      dtype = ds::parse_dtype(nb::borrow<nb::str>(src).c_str());
    else if (nb::hasattr(src, "name"))
      dtype = ds::parse_dtype(nb::cast<std::string>(src.attr("name")));
    else if (nb::hasattr(src, "__name__"))
      dtype = ds::parse_dtype(nb::cast<std::string>(src.attr("__name__")));
    else
      return false;
    return true;
  } catch (...) {
    PyErr_Clear();
    return false;
  }
}

ds::Device parse_device_object(nb::handle src) {
  DeviceObject* object;
  if (nb::try_cast(src, object) && object) return object->device;
  if (nb::isinstance<nb::str>(src)) return ds::parse_device(nb::borrow<nb::str>(src).c_str());
  throw nb::type_error("device: expected a name such as 'cpu' or a device");
}

nb::object device_object(ds::Device device) { return nb::cast(DeviceObject{device}); }

bool parse_int(nb::handle src, int64_t& out) noexcept {
  if (is_bool(src) || !PyIndex_Check(src.ptr())) return false;
  ds::TensorImpl* impl;
  if (nb::try_cast(src, impl) &&
      (impl->type.shape.numel() != 1 || impl->type.dtype == ds::DType::bool_))
    return false;
  PyObject* index = PyNumber_Index(src.ptr());
  if (index) {
    out = PyLong_AsLongLong(index);
    Py_DECREF(index);
  }
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  return true;
}

bool parse_ints(nb::handle src, ds::Shape& out) noexcept {
  if (!PyList_Check(src.ptr()) && !PyTuple_Check(src.ptr())) return false;
  try {
    out = {};
    for (nb::handle item : src) {
      int64_t value;
      if (item.is_none())  // "keep this size", as in adaptive pooling
        value = -1;
      else if (!parse_int(item, value))
        return false;
      out.push_back(value);
    }
    return true;
  } catch (...) {
    PyErr_Clear();
    return false;
  }
}

bool parse_operand(nb::handle src, ds::Operand& out) noexcept {
  try {
    ds::Tensor tensor;
    int64_t integer;
    if (nb::try_cast(src, tensor))
      out = ds::Operand(tensor);
    else if (is_bool(src))
      out = ds::Operand(PyObject_IsTrue(src.ptr()) == 1);
    else if (PyFloat_Check(src.ptr()))
      out = ds::Operand(PyFloat_AS_DOUBLE(src.ptr()));
    else if (parse_int(src, integer))
      out = ds::Operand(integer);
    else if (PyNumber_Check(src.ptr()) && Py_TYPE(src.ptr())->tp_as_number->nb_float &&
             !PySequence_Check(src.ptr()))  // NumPy floats
      out = ds::Operand(PyFloat_AsDouble(src.ptr()));
    else
      return false;
    if (!PyErr_Occurred()) return true;
  } catch (...) {
  }
  PyErr_Clear();
  return false;
}

void bind_types(nb::module_& m) {
  nb::class_<DTypeObject>(m, "dtype", "Element type of a tensor.")
      .def("__repr__",
           [](const DTypeObject& d) {
             return std::string("deepseek.") + kTorchNames[static_cast<int>(d.dtype)];
           })
      .def(
          "__eq__",
          [](const DTypeObject& a, nb::handle b) {
            ds::DType d;
            return parse_dtype_object(b, d) && d == a.dtype;
          },
          nb::arg("other").none())
      .def("__hash__", [](const DTypeObject& d) { return static_cast<int64_t>(d.dtype); })
      .def("__reduce__",
           [](const DTypeObject& d) { return std::string(kTorchNames[static_cast<int>(d.dtype)]); })
      .def_prop_ro("is_floating_point",
                   [](const DTypeObject& d) { return ds::is_floating(d.dtype); })
      .def_prop_ro("itemsize", [](const DTypeObject& d) { return ds::dtype_size(d.dtype); })
      .def_prop_ro("name",
                   [](const DTypeObject& d) { return kTorchNames[static_cast<int>(d.dtype)]; });
  for (int i = 0; i < ds::kDTypeCount; ++i) {
    nb::object object = nb::cast(DTypeObject{static_cast<ds::DType>(i)});
    g_dtypes[static_cast<size_t>(i)] = object.inc_ref().ptr();
    m.attr(i == static_cast<int>(ds::DType::bool_) ? "bool" : kTorchNames[i]) = object;
  }
  nb::class_<DeviceObject>(m, "device", "Where tensors live: device('cpu').")
      .def("__init__",
           [](DeviceObject* self, const std::string& name) {
             new (self) DeviceObject{ds::parse_device(name)};
           })
      .def_prop_ro("type", [](const DeviceObject& d) { return ds::device_name(d.device); })
      .def_prop_ro("index", [](const DeviceObject&) { return nb::none(); })
      .def("__str__", [](const DeviceObject& d) { return ds::device_name(d.device); })
      .def("__repr__",
           [](const DeviceObject& d) { return "device(type='" + ds::device_name(d.device) + "')"; })
      .def(
          "__eq__",
          [](const DeviceObject& a, nb::handle b) {
            DeviceObject* other;
            if (nb::try_cast(b, other)) return other && other->device == a.device;
            return nb::isinstance<nb::str>(b) &&
                   ds::device_name(a.device) == nb::cast<std::string>(b);
          },
          nb::arg("other").none())
      .def("__hash__",
           [](const DeviceObject& d) { return static_cast<int64_t>(d.device.backend); });
  m.def(
      "set_default_device", [](ds::Device device) { ds::set_default_device(device); },
      nb::arg("device"), "Device of new tensors.");
  m.def("get_default_device", &ds::default_device, "Device of new tensors.");
  m.def("set_default_dtype", &ds::set_default_dtype, nb::arg("d"),
        "Floating dtype of new tensors.");
  m.def("get_default_dtype", &ds::default_dtype, "Floating dtype of new tensors.");
  m.def(
      "result_type",
      [](const ds::Operand& a, const ds::Operand& b) {
        return ds::result_dtype({a, b});
      },
      nb::arg("tensor1"), nb::arg("tensor2"), "The dtype that two tensors or numbers combine in.");
  m.def("promote_types", &ds::promote, nb::arg("type1"), nb::arg("type2"),
        "The dtype two dtypes combine in.");
}
