// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/attrs.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "ds/base/hash.h"
#include "ds/base/str.h"

namespace ds {
namespace {

std::string float_text(double value) {
  if (std::isnan(value)) {
    const auto bits = std::bit_cast<uint64_t>(value);
    if (bits == std::bit_cast<uint64_t>(std::numeric_limits<double>::quiet_NaN())) return "nan";
    char digits[20];
    const auto result = std::to_chars(digits, digits + sizeof digits, bits, 16);
    return "nan:" + std::string(digits, result.ptr);
  }
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, result.ptr);
  // A dot or exponent keeps it a float for the parser.
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

}  // namespace

uint64_t hash_attr(const Attr& attr) {
  const uint64_t kind = attr.index();
  switch (kind) {
    case 0: return hash_combine(kind, static_cast<uint64_t>(std::get<int64_t>(attr)));
    case 1: return hash_combine(kind, std::bit_cast<uint64_t>(std::get<double>(attr)));
    case 2: return hash_combine(kind, std::get<bool>(attr));
    case 3: return hash_combine(kind, static_cast<uint64_t>(std::get<DType>(attr)));
    case 4: {
      uint64_t hash = kind;
      for (int64_t value : std::get<Shape>(attr))
        hash = hash_combine(hash, static_cast<uint64_t>(value));
      return hash;
    }
    default: {
      uint64_t hash = kind;
      for (char c : std::get<std::string>(attr)) hash = hash_combine(hash, static_cast<uint8_t>(c));
      return hash;
    }
  }
}

bool same_attr(const Attr& a, const Attr& b) {
  if (a.index() != b.index()) return false;
  if (a.index() == 1)
    return std::bit_cast<uint64_t>(std::get<double>(a)) ==
           std::bit_cast<uint64_t>(std::get<double>(b));
  return a == b;
}

std::string attr_text(const Attr& attr) {
  switch (attr.index()) {
    case 0: return std::to_string(std::get<int64_t>(attr));
    case 1: return float_text(std::get<double>(attr));
    case 2: return std::get<bool>(attr) ? "true" : "false";
    case 3: return std::string(dtype_name(std::get<DType>(attr)));
    case 4: return str(std::get<Shape>(attr));
    default: return '"' + std::get<std::string>(attr) + '"';
  }
}

}  // namespace ds
