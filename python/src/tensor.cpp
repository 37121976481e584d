// SPDX-License-Identifier: Apache-2.0
// The class Tensor: properties, conversions to Python values, operators.
#include "ds/base/error.h"
#include "ds/runtime/buffer.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/print.h"
#include "ds/tensor/sync.h"
#include "functions.h"

namespace {

using ds::Operand;
using ds::Tensor;

nb::object python_number(const Tensor& x) {
  if (ds::is_floating(x.dtype())) {
    double value;
    {
      const Unlocked unlocked;
      value = x.item();
    }
    return nb::float_(value);
  }
  int64_t value;
  {
    const Unlocked unlocked;
    value = x.item_int();
  }
  return x.dtype() == ds::DType::bool_ ? nb::object(nb::bool_(value != 0))
                                       : nb::object(nb::int_(value));
}

/// Nested lists of the elements.
nb::object nested(const Tensor& x, const std::vector<double>& floats,
                  const std::vector<int64_t>& ints, int dim, size_t& next) {
  if (dim == x.dim()) {
    const size_t at = next++;
    if (ds::is_floating(x.dtype())) return nb::float_(floats[at]);
    return x.dtype() == ds::DType::bool_ ? nb::object(nb::bool_(ints[at] != 0))
                                         : nb::object(nb::int_(ints[at]));
  }
  nb::list list;
  for (int64_t i = 0; i < x.shape()[dim]; ++i) list.append(nested(x, floats, ints, dim + 1, next));
  return list;
}

nb::object to_list(const Tensor& x) {
  std::vector<double> floats;
  std::vector<int64_t> ints;
  {
    const Unlocked unlocked;
    if (ds::is_floating(x.dtype()))
      floats = x.to_vector<double>();
    else
      ints = x.to_vector<int64_t>();
  }
  ds::note_sync("tolist");
  size_t next = 0;
  return nested(x, floats, ints, 0, next);
}

bool to_bool(const Tensor& x) {
  DS_CHECK(x.numel() == 1, ValueError, "bool: the truth of a tensor ", x.type(),
           " is ambiguous; use any() or all()");
  return nb::cast<double>(python_number(x)) != 0;
}

/// x.to(dtype), x.to(device), x.to(other), x.to(device, dtype).
Tensor convert(const Tensor& x, const nb::args& args, const nb::kwargs& kwargs) {
  Tensor result = x;
  const auto apply = [&](nb::handle arg) {
    ds::DType dtype;
    Tensor other;
    if (arg.is_none() || nb::isinstance<nb::bool_>(arg)) return;
    if (nb::try_cast(arg, other))
      result = ds::to_device(ds::to_dtype(result, other.dtype()), other.device());
    else if (!nb::isinstance<nb::str>(arg) && parse_dtype_object(arg, dtype))
      result = ds::to_dtype(result, dtype);
    else
      result = ds::to_device(result, parse_device_object(arg));
  };
  for (nb::handle arg : args) apply(arg);
  if (kwargs.contains("dtype")) apply(kwargs["dtype"]);
  if (kwargs.contains("device")) apply(kwargs["device"]);
  if (kwargs.contains("copy") && nb::cast<bool>(kwargs["copy"]) && result.impl() == x.impl())
    return ds::clone(x);
  return result;
}

template <class F>
void bind_operator(TensorClass& cls, const char* name, const char* reflected, const char* inplace,
                   F f) {
  cls.def(
      name, [f](const Tensor& a, const Operand& b) { return f(a, b); }, nb::is_operator());
  if (reflected)
    cls.def(
        reflected, [f](const Tensor& a, const Operand& b) { return f(b, a); }, nb::is_operator());
  if (inplace)
    cls.def(
        inplace, [f](const Tensor& a, const Operand& b) { return ds::assign(a, f(a, b)); },
        nb::is_operator());
}

void bind_operators(TensorClass& cls) {
  const auto op = [&](const char* name, const char* reflected, const char* inplace, auto f) {
    bind_operator(cls, name, reflected, inplace, f);
  };
  op("__add__", "__radd__", "__iadd__",
     [](const Operand& a, const Operand& b) { return ds::add(a, b); });
  op("__sub__", "__rsub__", "__isub__",
     [](const Operand& a, const Operand& b) { return ds::sub(a, b); });
  op("__mul__", "__rmul__", "__imul__",
     [](const Operand& a, const Operand& b) { return ds::mul(a, b); });
  op("__truediv__", "__rtruediv__", "__itruediv__",
     [](const Operand& a, const Operand& b) { return ds::div(a, b); });
  op("__floordiv__", "__rfloordiv__", "__ifloordiv__",
     [](const Operand& a, const Operand& b) { return ds::floor_divide(a, b); });
  op("__mod__", "__rmod__", "__imod__",
     [](const Operand& a, const Operand& b) { return ds::remainder(a, b); });
  op("__pow__", "__rpow__", "__ipow__",
     [](const Operand& a, const Operand& b) { return ds::pow(a, b); });
  op("__and__", "__rand__", "__iand__",
     [](const Operand& a, const Operand& b) { return ds::bitwise_and(a, b); });
  op("__or__", "__ror__", "__ior__",
     [](const Operand& a, const Operand& b) { return ds::bitwise_or(a, b); });
  op("__xor__", "__rxor__", "__ixor__",
     [](const Operand& a, const Operand& b) { return ds::bitwise_xor(a, b); });
  op("__lshift__", "__rlshift__", "__ilshift__",
     [](const Operand& a, const Operand& b) { return ds::bitwise_left_shift(a, b); });
  op("__rshift__", "__rrshift__", "__irshift__",
     [](const Operand& a, const Operand& b) { return ds::bitwise_right_shift(a, b); });
  op("__eq__", nullptr, nullptr, [](const Operand& a, const Operand& b) { return ds::eq(a, b); });
  op("__ne__", nullptr, nullptr, [](const Operand& a, const Operand& b) { return ds::ne(a, b); });
  op("__lt__", nullptr, nullptr, [](const Operand& a, const Operand& b) { return ds::lt(a, b); });
  op("__le__", nullptr, nullptr, [](const Operand& a, const Operand& b) { return ds::le(a, b); });
  op("__gt__", nullptr, nullptr, [](const Operand& a, const Operand& b) { return ds::gt(a, b); });
  op("__ge__", nullptr, nullptr, [](const Operand& a, const Operand& b) { return ds::ge(a, b); });
  cls.def(
      "__matmul__", [](const Tensor& a, const Tensor& b) { return ds::matmul(a, b); },
      nb::is_operator());
  cls.def("__neg__", [](const Tensor& x) { return ds::neg(x); });
  cls.def("__pos__", [](const Tensor& x) { return x; });
  cls.def("__abs__", [](const Tensor& x) { return ds::abs(x); });
  cls.def("__invert__", [](const Tensor& x) { return ds::bitwise_not(x); });
  cls.def("__bool__", &to_bool);
  cls.def("__int__", [](const Tensor& x) { return nb::int_(python_number(x)); });
  cls.def("__float__", [](const Tensor& x) { return nb::float_(python_number(x)); });
  cls.def("__index__", [](const Tensor& x) {
    DS_CHECK(!ds::is_floating(x.dtype()), DTypeError, "index: a tensor ", x.type(),
             " is not an integer");
    return nb::int_(python_number(x));
  });
}

void bind_properties(TensorClass& cls) {
  cls.def_prop_ro(
      "shape", [](const Tensor& x) { return x.shape(); }, "Sizes as a tuple.");
  cls.def_prop_ro(
      "dtype", [](const Tensor& x) { return x.dtype(); }, "Element type.");
  cls.def_prop_ro(
      "device", [](const Tensor& x) { return x.device(); }, "Where the tensor lives.");
  cls.def_prop_ro(
      "ndim", [](const Tensor& x) { return x.dim(); }, "Number of dimensions.");
  cls.def_prop_ro(
      "itemsize", [](const Tensor& x) { return ds::dtype_size(x.dtype()); },
      "Bytes of an element.");
  cls.def_prop_ro(
      "nbytes", [](const Tensor& x) { return ds::type_bytes(x.type()); }, "Bytes of all elements.");
  cls.def_prop_ro(
      "T", [](const Tensor& x) { return ds::reverse_dims(x); }, "All dimensions reversed.");
  cls.def_prop_ro(
      "mT", [](const Tensor& x) { return ds::mT(x); }, "Last two dimensions exchanged.");
  cls.def_prop_ro(
      "_version", [](const Tensor& x) { return x.version(); }, "In-place writes so far.");
  cls.def_prop_rw(
      "data", [](const Tensor& x) { return x.detach(); },
      [](const Tensor& x, const Tensor& value) { x.set_data(value); },
      "The values without history.");
  cls.def_prop_ro("is_cuda", [](const Tensor&) { return false; });
  cls.def_prop_rw(
      "_is_parameter", [](const Tensor& x) { return x.is_parameter(); },
      [](Tensor x, bool on) { x.set_parameter(on); });
  cls.def(
      "size",
      [](const Tensor& x, std::optional<int64_t> dim) {
        return dim ? nb::object(nb::int_(x.size(*dim))) : nb::cast(x.shape());
      },
      "dim"_a = nb::none(), "All sizes, or one.");
  cls.def(
      "dim", [](const Tensor& x) { return x.dim(); }, "Number of dimensions.");
  cls.def(
      "ndimension", [](const Tensor& x) { return x.dim(); }, "Number of dimensions.");
  cls.def(
      "numel", [](const Tensor& x) { return x.numel(); }, "Number of elements.");
  cls.def(
      "nelement", [](const Tensor& x) { return x.numel(); }, "Number of elements.");
  cls.def(
      "element_size", [](const Tensor& x) { return ds::dtype_size(x.dtype()); },
      "Bytes of an element.");
  cls.def(
      "stride",
      [](const Tensor& x, std::optional<int64_t> dim) {
        const ds::Shape strides = ds::contiguous_strides(x.shape());
        return dim ? nb::object(nb::int_(strides[ds::normalize_dim(*dim, x.dim(), "stride")]))
                   : nb::cast(strides);
      },
      "dim"_a = nb::none(), "Elements between neighbours of a row-major copy.");
  cls.def("is_floating_point", [](const Tensor& x) { return ds::is_floating(x.dtype()); });
  cls.def("is_complex", [](const Tensor&) { return false; });
  cls.def("is_signed", [](const Tensor& x) {
    return x.dtype() != ds::DType::bool_ && x.dtype() != ds::DType::u8;
  });
  cls.def(
      "is_contiguous", [](const Tensor& x, nb::object) { return !x.is_view(); },
      "memory_format"_a = nb::none());
  cls.def_prop_ro("is_cpu", [](const Tensor& x) { return ds::device_name(x.device()) == "cpu"; });
  for (const char* name : {"is_sparse", "is_quantized", "is_meta"})
    cls.def_prop_ro(name, [](const Tensor&) { return false; });
  cls.def(
      "get_device", [](const Tensor&) { return -1; }, "Number of the GPU; -1 for the CPU.");
  for (const char* name : {"pin_memory", "share_memory_"})
    cls.def(
        name, [](const Tensor& x) { return x; }, "The tensor itself: its memory needs no step.");
  cls.def("storage_offset", [](const Tensor&) { return 0; });
}

void bind_conversions(TensorClass& cls) {
  cls.def("item", &python_number, "The one element as a Python number; computes.");
  cls.def("tolist", &to_list, "Nested lists of the elements; computes.");
  cls.def("__repr__", [](const Tensor& x) {
    const Unlocked unlocked;
    return ds::to_text(x);
  });
  cls.def("__format__", [](nb::object self, const std::string& spec) {
    const Tensor x = nb::cast<Tensor>(self);
    if (spec.empty()) return nb::str(self);
    DS_CHECK(x.numel() == 1, ValueError, "format: the tensor is ", x.type(),
             "; only one element can be formatted");
    return nb::borrow<nb::str>(python_number(x).attr("__format__")(spec));
  });
  cls.def("__len__", [](const Tensor& x) {
    DS_CHECK(x.dim() > 0, DTypeError, "len: a 0-d tensor has no length");
    return x.size(0);
  });
  cls.def("__hash__",
          [](const Tensor& x) { return reinterpret_cast<intptr_t>(x.impl().get()) >> 4; });
  cls.def("to", &convert, "Converted to a dtype, a device or both; itself when nothing changes.");
  const auto cast = [&](const char* name, ds::DType dtype) {
    cls.def(
        name, [dtype](const Tensor& x, nb::object) { return ds::to_dtype(x, dtype); },
        "memory_format"_a = nb::none());
  };
  cast("float", ds::DType::f32);
  cast("double", ds::DType::f64);
  cast("half", ds::DType::f16);
  cast("bfloat16", ds::DType::bf16);
  cast("long", ds::DType::i64);
  cast("int", ds::DType::i32);
  cast("short", ds::DType::i16);
  cast("char", ds::DType::i8);
  cast("byte", ds::DType::u8);
  cast("bool", ds::DType::bool_);
  cls.def(
      "cuda",
      [](const Tensor& x, nb::object, bool) { return ds::to_device(x, ds::parse_device("cuda")); },
      "device"_a = nb::none(), "non_blocking"_a = false,
      "On a CUDA device; DeviceError where this build has none.");
  cls.def("cpu", [](const Tensor& x) { return ds::to_device(x, ds::parse_device("cpu")); });
  cls.def(
      "type_as",
      [](const Tensor& x, const Tensor& other) { return ds::to_dtype(x, other.dtype()); },
      "other"_a);
  cls.def(
      "type", [](const Tensor& x, ds::DType dtype) { return ds::to_dtype(x, dtype); }, "dtype"_a);
  cls.def(
      "copy_",
      [](const Tensor& x, const Tensor& src, bool) {
        return ds::assign(x, ds::to_device(src, x.device()));
      },
      "src"_a, "non_blocking"_a = false, "Writes src (broadcast, converted) into the tensor.");
  cls.def(
      "fill_",
      [](const Tensor& x, const Operand& value) {
        return ds::assign(x, ds::as_tensor(value, x.dtype(), x.device()));
      },
      "value"_a);
  cls.def("zero_", [](const Tensor& x) { return ds::assign(x, ds::zeros_like(x)); });
  cls.def(
      "evaluate", [](const Tensor& x) { return x.evaluate(); },
      "Computes the value now, without waiting.");
}

}  // namespace

void bind_tensor(nb::module_& m, TensorClass& cls) {
  bind_properties(cls);
  bind_conversions(cls);
  bind_operators(cls);
  m.def(
      "set_printoptions",
      [](std::optional<int> precision, std::optional<int64_t> threshold,
         std::optional<int64_t> edgeitems, std::optional<int> linewidth,
         std::optional<bool> sci_mode) {
        ds::PrintOptions& o = ds::print_options();
        if (precision) o.precision = *precision;
        if (threshold) o.threshold = *threshold;
        if (edgeitems) o.edgeitems = *edgeitems;
        if (linewidth) o.linewidth = *linewidth;
        o.sci_mode = sci_mode ? *sci_mode : -1;
      },
      "precision"_a = nb::none(), "threshold"_a = nb::none(), "edgeitems"_a = nb::none(),
      "linewidth"_a = nb::none(), "sci_mode"_a = nb::none(), "How tensors are printed.");
}
