// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_padding.h"

#include "ds/base/error.h"
#include "ds/nn/repr_text.h"
#include "ds/tensor/ops.h"

namespace ds::nn {
namespace {

struct KindNames {
  const char* layer;
  const char* mode;
};

KindNames names(PadKind kind) {
  switch (kind) {
    case PadKind::zero: return {"Zero", "constant"};
    case PadKind::constant: return {"Constant", "constant"};
    case PadKind::reflection: return {"Reflection", "reflect"};
    case PadKind::replication: return {"Replication", "replicate"};
    case PadKind::circular: return {"Circular", "circular"};
  }
  return {"", ""};
}

}  // namespace

Padding::Padding(PadKind kind, int dims, const PerDim& given, double value)
    : value(value), kind_(kind), dims_(dims) {
  const Shape& sizes = given.given();
  DS_CHECK(sizes.rank() == 1 || sizes.rank() == 2 * dims, ValueError, type_name(), ": padding has ",
           sizes.rank(), " numbers; give 1 or ", 2 * dims);
  for (int i = 0; i < 2 * dims; ++i) padding.push_back(sizes[sizes.rank() == 1 ? 0 : i]);
}

std::string Padding::type_name() const { return str(names(kind_).layer, "Pad", dims_, "d"); }

std::string Padding::extra_repr() const {
  if (kind_ == PadKind::constant)
    return "padding=" + py_tuple(padding) + ", value=" + py_float(value);
  return py_tuple(padding);
}

Tensor Padding::forward(const Tensor& x) { return pad(x, padding, names(kind_).mode, value); }

}  // namespace ds::nn
