// SPDX-License-Identifier: Apache-2.0
// How Python values become the argument types of the library and back. Include it first in every
// file that binds tensor functions.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "ds/tensor/arguments.h"
#include "ds/tensor/record.h"
#include "ds/tensor/tensor_impl.h"

namespace nb = nanobind;

/// The Python object of a dtype: one each, so that `x.dtype is ds.float32`.
nb::handle dtype_object(ds::DType dtype);
/// A dtype from a dtype object, a Python type (float), a NumPy dtype or a name; false when it is
/// none.
bool parse_dtype_object(nb::handle src, ds::DType& dtype) noexcept;
/// A device from a string or a device object; throws DeviceError.
ds::Device parse_device_object(nb::handle src);
nb::object device_object(ds::Device device);
/// Integers of a sequence (numbers, 0-d tensors); false when it is not one.
bool parse_ints(nb::handle src, ds::Shape& out) noexcept;
/// One integer, also a NumPy or 0-d tensor one; false when it is none. bool is none.
bool parse_int(nb::handle src, int64_t& out) noexcept;
/// A tensor or a number, NumPy scalars and arrays included.
bool parse_operand(nb::handle src, ds::Operand& out) noexcept;

namespace nanobind::detail {

/// A Tensor is a handle on a TensorImpl. Python's class is bound to the TensorImpl, so one tensor
/// is one Python object as long as that object lives. None is an undefined tensor.
template <>
struct type_caster<ds::Tensor> {
  NB_TYPE_CASTER(ds::Tensor, const_name("Tensor"))
  bool from_python(handle src, uint32_t flags, cleanup_list* cleanup) noexcept {
    make_caster<ds::TensorImpl> impl;
    if (src.is_none() || !impl.from_python(src, flags & ~uint32_t{cast_flags::convert}, cleanup))
      return false;
    value = ds::Tensor(static_cast<ds::TensorImpl&>(impl).shared_from_this());
    return true;
  }
  static handle from_cpp(const ds::Tensor& tensor, rv_policy policy,
                         cleanup_list* cleanup) noexcept {
    if (!tensor.defined()) return none().release();
    return make_caster<std::shared_ptr<ds::TensorImpl>>::from_cpp(tensor.impl(), policy, cleanup);
  }
};

template <>
struct type_caster<ds::DType> {
  NB_TYPE_CASTER(ds::DType, const_name("dtype"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    return parse_dtype_object(src, value);
  }
  static handle from_cpp(ds::DType dtype, rv_policy, cleanup_list*) noexcept {
    return dtype_object(dtype).inc_ref();
  }
};

template <>
struct type_caster<ds::Shape> {
  NB_TYPE_CASTER(ds::Shape, const_name("Sequence[int]"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept { return parse_ints(src, value); }
  static handle from_cpp(const ds::Shape& shape, rv_policy, cleanup_list*) noexcept {
    PyObject* tuple = PyTuple_New(shape.rank());
    for (int i = 0; tuple && i < shape.rank(); ++i)
      PyTuple_SET_ITEM(tuple, i, PyLong_FromLongLong(shape[i]));
    return tuple;
  }
};

/// int, a sequence of ints, or (where the type has a meaning for it) None.
template <class T>
struct ints_caster {
  NB_TYPE_CASTER(T, const_name("int | Sequence[int]"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    int64_t one;
    ds::Shape many;
    if (src.is_none())
      value = T();
    else if (parse_int(src, one))
      value = T(one);
    else if (parse_ints(src, many))
      value = T(many);
    else
      return false;
    return true;
  }
  static handle from_cpp(const T&, rv_policy, cleanup_list*) noexcept { return none().release(); }
};
template <>
struct type_caster<ds::Dims> : ints_caster<ds::Dims> {};
template <>
struct type_caster<ds::PerDim> : ints_caster<ds::PerDim> {
  static handle from_cpp(const ds::PerDim& values, rv_policy policy,
                         cleanup_list* cleanup) noexcept {
    if (values.given().rank() == 1) return PyLong_FromLongLong(values.given()[0]);
    return values.empty() ? none().release()
                          : type_caster<ds::Shape>::from_cpp(values.given(), policy, cleanup);
  }
};
template <>
struct type_caster<ds::ConvPadding> : ints_caster<ds::ConvPadding> {
  bool from_python(handle src, uint32_t flags, cleanup_list* cleanup) noexcept {
    if (!isinstance<str>(src))
      return ints_caster<ds::ConvPadding>::from_python(src, flags, cleanup);
    value = ds::ConvPadding(std::string(borrow<str>(src).c_str()));
    return true;
  }
  static handle from_cpp(const ds::ConvPadding& values, rv_policy policy,
                         cleanup_list* cleanup) noexcept {
    if (!values.mode().empty())
      return make_caster<std::string>::from_cpp(values.mode(), policy, cleanup);
    return type_caster<ds::PerDim>::from_cpp(values, policy, cleanup);
  }
};

template <>
struct type_caster<ds::Device> {
  NB_TYPE_CASTER(ds::Device, const_name("str | device"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    try {
      value = parse_device_object(src);
      return true;
    } catch (...) {
      return false;
    }
  }
  static handle from_cpp(ds::Device device, rv_policy, cleanup_list*) noexcept {
    return device_object(device).release();
  }
};

template <>
struct type_caster<ds::Operand> {
  NB_TYPE_CASTER(ds::Operand, const_name("Tensor | bool | int | float"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    return parse_operand(src, value);
  }
  static handle from_cpp(const ds::Operand& operand, rv_policy, cleanup_list*) noexcept {
    if (operand.is_float()) return PyFloat_FromDouble(operand.as_double());
    if (operand.is_bool()) return PyBool_FromLong(operand.as_double() != 0);
    return PyLong_FromDouble(operand.as_double());
  }
};

}  // namespace nanobind::detail
