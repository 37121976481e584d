// SPDX-License-Identifier: Apache-2.0
// Attribute values of a node, in the order of the op's row.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "ds/ir/dtype.h"
#include "ds/ir/shape.h"

namespace ds {

using Attr = std::variant<int64_t, double, bool, DType, Shape, std::string>;
using Attrs = std::vector<Attr>;

/// Hash of one attribute value; doubles by their bits, so NaN equals NaN and 0 differs from -0.
uint64_t hash_attr(const Attr& attr);
/// Equality in the sense of hash_attr.
bool same_attr(const Attr& a, const Attr& b);
/// Text form: 3, 0.5, true, f32, [1,2], "set". Doubles print so that they parse back to the bit.
std::string attr_text(const Attr& attr);

}  // namespace ds
