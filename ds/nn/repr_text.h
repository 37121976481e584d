// SPDX-License-Identifier: Apache-2.0
// Values in extra_repr() as Python prints them.
#pragma once

#include <string>

#include "ds/ir/shape.h"

namespace ds::nn {

inline const char* py_bool(bool value) { return value ? "True" : "False"; }
/// The shortest text that reads back as the same number: 0.1, 1.0, 1e-05, inf.
std::string py_float(double value);
/// (3, 3) or (3,).
std::string py_tuple(const Shape& values);

}  // namespace ds::nn
