// SPDX-License-Identifier: Apache-2.0
// Tensors from and to Python data: numbers, nested lists, NumPy arrays, DLPack.
#include <nanobind/ndarray.h>

#include "device_arg.h"
#include "ds/base/error.h"
#include "ds/tensor/sync.h"
#include "functions.h"
#include "release.h"

namespace {

using ds::DType;
using ds::Tensor;
using Array = nb::ndarray<nb::ro>;

DType dtype_of(nb::dlpack::dtype d) {
  using Code = nb::dlpack::dtype_code;
  const auto is = [&](Code code, int bits) {
    return d.code == static_cast<uint8_t>(code) && d.bits == bits;
  };
  if (is(Code::Float, 64)) return DType::f64;
  if (is(Code::Float, 32)) return DType::f32;
  if (is(Code::Float, 16)) return DType::f16;
  if (is(Code::Bfloat, 16)) return DType::bf16;
  if (is(Code::Int, 64)) return DType::i64;
  if (is(Code::Int, 32)) return DType::i32;
  if (is(Code::Int, 16)) return DType::i16;
  if (is(Code::Int, 8)) return DType::i8;
  if (is(Code::UInt, 8)) return DType::u8;
  if (d.code == static_cast<uint8_t>(Code::Bool)) return DType::bool_;
  throw ds::DTypeError(
      "from_numpy: the array's dtype has no counterpart; convert it to a float, int or bool type "
      "first");
}

nb::dlpack::dtype dlpack_of(DType dtype) {
  const auto make = [](nb::dlpack::dtype_code code, uint8_t bits) {
    return nb::dlpack::dtype{static_cast<uint8_t>(code), bits, 1};
  };
  using Code = nb::dlpack::dtype_code;
  const auto bits = static_cast<uint8_t>(ds::dtype_size(dtype) * 8);
  if (dtype == DType::bf16) return make(Code::Bfloat, 16);
  if (ds::is_floating(dtype)) return make(Code::Float, bits);
  if (dtype == DType::bool_) return make(Code::Bool, 8);
  return make(dtype == DType::u8 ? Code::UInt : Code::Int, bits);
}

/// A pointer that keeps a Python object alive; may be dropped by any thread.
std::shared_ptr<void> owned_by(void* data, nb::object owner) {
  PyObject* object = owner.release().ptr();
  return {data, [object](void*) { release_object(object); }};
}

/// Shares the memory of a row-major array; copies any other.
Tensor from_array(nb::object object, bool share) {
  const nb::module_ numpy = nb::module_::import_("numpy");
  if (nb::isinstance(object, numpy.attr("ndarray"))) {
    const bool little = nb::cast<std::string>(object.attr("dtype").attr("byteorder")) != ">";
    if (!little) object = object.attr("astype")(object.attr("dtype").attr("newbyteorder")("="));
    object = numpy.attr("asarray")(object, "order"_a = "C");
    // NumPy promotes unsigned types that do not exist here to the next signed one.
    const std::string name = nb::cast<std::string>(object.attr("dtype").attr("name"));
    if (name == "uint16")
      object = object.attr("astype")("int32");
    else if (name == "uint32" || name == "uint64")
      object = object.attr("astype")("int64");
    else if (name == "longdouble" || name == "float128")
      object = object.attr("astype")("float64");
  }
  const Array array = nb::cast<Array>(object);
  ds::Shape shape;
  for (size_t i = 0; i < array.ndim(); ++i) shape.push_back(static_cast<int64_t>(array.shape(i)));
  const ds::Type type{dtype_of(array.dtype()), shape};
  void* data = const_cast<void*>(array.data());
  if (!share || shape.numel() == 0) return Tensor::from_host(data, type);
  return Tensor::from_memory(owned_by(data, std::move(object)), type);
}

nb::object to_array(const Tensor& x, bool copy) {
  DS_CHECK(x.dtype() != DType::bf16, DTypeError,
           "numpy: NumPy has no bfloat16; call float() first");
  DS_CHECK(!x.requires_grad(), StateError, "numpy: the tensor requires grad; call detach() first");
  ds::note_sync("numpy");
  std::optional<Tensor::HostView> view;
  {
    const Unlocked unlocked;
    if (!copy) view = x.host_view();
    if (!view) {
      auto bytes = std::shared_ptr<char[]>(new char[std::max<size_t>(ds::type_bytes(x.type()), 1)]);
      x.copy_to_host(bytes.get());
      view = Tensor::HostView{{bytes, bytes.get()}, bytes.get(), ds::contiguous_strides(x.shape())};
    }
  }
  auto* keep = new std::shared_ptr<void>(view->memory);
  const nb::capsule owner(keep,
                          [](void* p) noexcept { delete static_cast<std::shared_ptr<void>*>(p); });
  std::vector<size_t> sizes(x.shape().begin(), x.shape().end());
  const std::vector<int64_t> strides = view->strides.vec();
  const nb::ndarray<nb::numpy> array(view->data, sizes.size(), sizes.data(), owner, strides.data(),
                                     dlpack_of(x.dtype()));
  return nb::cast(array);
}

bool contains_tensor(nb::handle data) {
  if (nb::isinstance<ds::TensorImpl>(data)) return true;
  if (!PyList_Check(data.ptr()) && !PyTuple_Check(data.ptr())) return false;
  for (nb::handle item : data)
    if (contains_tensor(item)) return true;
  return false;
}

/// Tensors in nested lists replaced by their numbers.
nb::object plain(nb::handle data) {
  Tensor x;
  if (nb::try_cast(data, x)) return data.attr("tolist")();
  if (!PyList_Check(data.ptr()) && !PyTuple_Check(data.ptr())) return nb::borrow(data);
  nb::list list;
  for (nb::handle item : data) list.append(plain(item));
  return list;
}

Tensor make_tensor(nb::object data, std::optional<DType> dtype, std::optional<DeviceArg> device,
                   bool requires_grad, bool share) {
  Tensor result;
  Tensor given;
  const nb::module_ numpy = nb::module_::import_("numpy");
  if (nb::try_cast(data, given)) {
    result = share ? given : ds::clone(given.detach());
  } else {
    const bool is_array =
        nb::isinstance(data, numpy.attr("ndarray")) || nb::isinstance(data, numpy.attr("generic"));
    nb::object array = data;
    if (!is_array) {
      if (contains_tensor(data)) data = plain(data);
      try {
        array = numpy.attr("array")(data);
      } catch (nb::python_error& e) {
        throw ds::ValueError(ds::str("tensor: the data is not rectangular: ", e.what()));
      }
      const std::string kind = nb::cast<std::string>(array.attr("dtype").attr("kind"));
      DS_CHECK(kind == "b" || kind == "i" || kind == "u" || kind == "f", DTypeError,
               "tensor: cannot make a tensor of ",
               nb::cast<std::string>(nb::str(array.attr("dtype"))),
               " data; use numbers or booleans");
      if (kind == "f") array = array.attr("astype")("float64");
      result = from_array(array, false);
      if (kind == "f" && !dtype) dtype = ds::default_dtype();
      if (nb::cast<int64_t>(array.attr("size")) == 0 && !dtype) dtype = ds::default_dtype();
    } else {
      result = from_array(array, share);
    }
  }
  if (dtype) result = ds::to_dtype(result, *dtype);
  if (device) result = ds::to_device(result, *device);
  if (requires_grad) result = result.detach().requires_grad_();
  return result;
}

}  // namespace

void bind_numpy(nb::module_& m, TensorClass& cls) {
  m.def(
      "tensor",
      [](nb::object data, std::optional<DType> dtype, std::optional<DeviceArg> device,
         bool requires_grad) { return make_tensor(data, dtype, device, requires_grad, false); },
      "data"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, "A new tensor from numbers, nested lists or an array.");
  for (const char* name : {"as_tensor", "asarray"})
    m.def(
        name,
        [](nb::object data, std::optional<DType> dtype, std::optional<DeviceArg> device) {
          return make_tensor(data, dtype, device, false, true);
        },
        "data"_a, "dtype"_a = nb::none(), "device"_a = nb::none(),
        "The data as a tensor, without a copy where possible.");
  m.def(
      "from_numpy", [](nb::object array) { return from_array(array, true); }, "ndarray"_a,
      "A tensor that shares the array's memory (copies when it is not row-major). Writes to the "
      "array show in "
      "computations that run later.");
  m.def(
      "from_dlpack", [](nb::object object) { return from_array(object, true); }, "ext_tensor"_a,
      "A tensor that shares the memory of another library's array.");
  cls.def(
      "numpy", [](const Tensor& x, bool force) { return to_array(force ? x.detach() : x, false); },
      nb::kw_only(), "force"_a = false,
      "The elements as an array, sharing memory where the layout allows; computes.");
  cls.def(
      "__array__",
      [](const Tensor& x, nb::object dtype, nb::object copy) {
        nb::object array = to_array(x, !copy.is_none() && nb::cast<bool>(copy));
        return dtype.is_none() ? array : nb::object(array.attr("astype")(dtype));
      },
      "dtype"_a = nb::none(), "copy"_a = nb::none());
  cls.def("__dlpack__", [](const Tensor& x, const nb::kwargs& kwargs) {
    return to_array(x, false).attr("__dlpack__")(**kwargs);
  });
  cls.def("__dlpack_device__", [](const Tensor&) { return nb::make_tuple(1, 0); });
  cls.def("data_ptr", [](const Tensor& x) {
    const auto view = x.host_view();
    return view ? reinterpret_cast<intptr_t>(view->data) : 0;
  });
  m.def("_rebuild_tensor", [](nb::object array, DType dtype, bool requires_grad, bool parameter) {
    Tensor x = ds::to_dtype(from_array(array, false), dtype);
    if (requires_grad) x.requires_grad_();
    x.set_parameter(parameter);
    return x;
  });
  cls.def("__reduce__", [](nb::object self) {
    const Tensor x = nb::cast<Tensor>(self);
    const Tensor plain = x.detach();
    const bool wide = x.dtype() == DType::bf16;
    return nb::make_tuple(
        nb::module_::import_("deepseek._pickling").attr("rebuild_tensor"),
        nb::make_tuple(to_array(wide ? ds::to_dtype(plain, DType::f32) : plain, true), x.dtype(),
                       x.requires_grad() && x.is_leaf(), x.is_parameter()),
        nb::hasattr(self, "__dict__") ? nb::object(self.attr("__dict__")) : nb::none());
  });
  cls.def(
      "__deepcopy__",
      [](nb::object self, nb::dict memo) {
        const Tensor x = nb::cast<Tensor>(self);
        const nb::object key = nb::module_::import_("builtins").attr("id")(self);
        if (memo.contains(key)) return nb::object(memo[key]);
        DS_CHECK(x.is_leaf(), StateError,
                 "deepcopy: only tensors made by the user can be copied so; the tensor ", x.type(),
                 " is the result of ", x.grad_op(), "; use detach() or clone()");
        Tensor copy = ds::clone(x.detach());
        if (x.requires_grad()) copy.requires_grad_();
        copy.set_parameter(x.is_parameter());
        if (x.grad().defined()) copy.set_grad(ds::clone(x.grad()));
        nb::object made = nb::cast(copy);
        memo[key] = made;
        const nb::object attributes =
            nb::module_::import_("copy").attr("deepcopy")(nb::getattr(self, "__dict__"), memo);
        made.attr("__dict__").attr("update")(attributes);
        return made;
      },
      "memo"_a);
}
