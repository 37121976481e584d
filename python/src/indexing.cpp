// SPDX-License-Identifier: Apache-2.0
// x[...] and x[...] = value: Python keys become indices of the library.
#include "ds/base/error.h"
#include "functions.h"

namespace {

using ds::Index;
using ds::Tensor;

std::optional<int64_t> bound(nb::handle value) {
  if (value.is_none()) return std::nullopt;
  int64_t number;
  if (!parse_int(value, number)) throw nb::type_error("slice bounds must be integers or None");
  return number;
}

Index parse_one(nb::handle key) {
  int64_t number;
  Tensor tensor;
  if (key.is_none()) return ds::NewAxis{};
  if (key.is(nb::ellipsis())) return ds::Ellipsis{};
  if (PySlice_Check(key.ptr())) {
    ds::Slice slice{bound(key.attr("start")), bound(key.attr("stop")),
                    bound(key.attr("step")).value_or(1)};
    DS_CHECK(slice.step > 0, ValueError, "index: the slice step is ", slice.step,
             "; it must be positive, use flip()");
    return slice;
  }
  if (nb::try_cast(key, tensor)) return Index(tensor);
  if (parse_int(key, number)) return Index(number);
  const bool sequence = PyList_Check(key.ptr()) || PyTuple_Check(key.ptr()) ||
                        PyBool_Check(key.ptr()) || nb::hasattr(key, "__array__");
  DS_CHECK(sequence, IndexError, "index: ", nb::repr(key).c_str(),
           " is no index; use integers, slices, ..., None, lists or tensors");
  const nb::object converted = nb::module_::import_("deepseek._core").attr("as_tensor")(key);
  tensor = nb::cast<Tensor>(converted);
  return Index(tensor.numel() == 0 ? ds::to_dtype(tensor, ds::DType::i64) : tensor);
}

/// A tuple is several keys; a list is one index tensor.
std::vector<Index> parse_key(nb::handle key) {
  std::vector<Index> indices;
  if (!PyTuple_Check(key.ptr())) return {parse_one(key)};
  for (nb::handle item : key) indices.push_back(parse_one(item));
  return indices;
}

}  // namespace

void bind_indexing(nb::module_&, TensorClass& cls) {
  cls.def(
      "__getitem__", [](const Tensor& x, nb::handle key) { return ds::index(x, parse_key(key)); },
      nb::arg().none());
  cls.def(
      "__setitem__",
      [](const Tensor& x, nb::handle key, nb::handle value) {
        ds::Operand operand;
        if (!parse_operand(value, operand)) {
          const nb::object converted =
              nb::module_::import_("deepseek._core").attr("as_tensor")(value);
          operand = ds::Operand(nb::cast<Tensor>(converted));
        }
        ds::index_put(x, parse_key(key), operand);
      },
      nb::arg().none(), nb::arg());
  cls.def("__iter__", [](const Tensor& x) {
    DS_CHECK(x.dim() > 0, DTypeError, "iteration: a 0-d tensor has no elements to iterate over");
    return nb::iter(nb::cast(ds::unbind(x)));
  });
  cls.def("__contains__", [](const Tensor& x, const ds::Operand& value) {
    const Unlocked unlocked;
    return ds::any(ds::eq(x, value)).item() != 0;
  });
  cls.def(
      "index_put_",
      [](const Tensor& x, const nb::tuple& indices, const Tensor& values, bool accumulate) {
        ds::index_put(x, parse_key(indices), values, accumulate);
        return x;
      },
      "indices"_a, "values"_a, "accumulate"_a = false);
}
