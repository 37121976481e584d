// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/infer.h"

#include "ds/base/error.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr InferRule kRules[] = {
#define DS_OP(name, lo, hi, outs, cls, traits, attrs, rule, doc) &infer_##rule,
#include "ds/ir/ops.def"
#undef DS_OP
};

/// Whether a value holds the alternative that an attribute of this kind needs.
bool fits(const Attr& attr, AttrKind kind) { return attr.index() == static_cast<size_t>(kind); }

void check_row(Op op, const Values& inputs, const Attrs& attrs) {
  const OpInfo& info = op_info(op);
  const int count = static_cast<int>(inputs.size());
  DS_ASSERT(count >= info.min_inputs && count <= info.max_inputs, info.name, " got ", count,
            " inputs");
  DS_ASSERT(attrs.size() == info.attrs.size(), info.name, " got ", attrs.size(), " attributes");
  for (size_t i = 0; i < attrs.size(); ++i)
    DS_ASSERT(fits(attrs[i], info.attrs[i].kind), info.name, ": attribute ", info.attrs[i].name);
}

/// Sizes that a tensor can have: what follows computes with them without a thought of overflow.
void check_size(Op op, const Shape& shape) {
  int64_t elements = 1;
  for (int64_t size : shape) {
    DS_CHECK(size >= 0, ValueError, op_name(op), ": shape ", shape, " has a negative size");
    DS_CHECK(size <= kMaxElements / elements, ValueError, op_name(op), ": shape ", shape,
             " is too large");
    if (size > 0) elements *= size;
  }
}

}  // namespace

static_assert(static_cast<int>(AttrKind::int_) == 0 && static_cast<int>(AttrKind::float_) == 1 &&
              static_cast<int>(AttrKind::bool_) == 2 && static_cast<int>(AttrKind::dtype) == 3 &&
              static_cast<int>(AttrKind::ints) == 4 && static_cast<int>(AttrKind::str) == 5);

std::vector<Type> infer_types(Op op, const Values& inputs, const Attrs& attrs) {
  check_row(op, inputs, attrs);
  std::vector<Type> types = kRules[static_cast<size_t>(op)]({op, inputs, attrs});
  for (const Type& type : types) check_size(op, type.shape);
  return types;
}

}  // namespace ds
