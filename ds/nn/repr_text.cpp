// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/repr_text.h"

#include <charconv>
#include <cmath>

#include "ds/base/str.h"

namespace ds::nn {

std::string py_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const double size = std::fabs(value);
  const bool scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  char text[64];
  const auto end =
      std::to_chars(text, text + sizeof text, value,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  std::string out(text, end.ptr);
  if (!scientific && out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string py_tuple(const Shape& values) {
  std::string text = "(";
  for (int i = 0; i < values.rank(); ++i) text += str(i ? ", " : "", values[i]);
  return text + (values.rank() == 1 ? ",)" : ")");
}

}  // namespace ds::nn
