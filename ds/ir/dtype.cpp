// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/dtype.h"

#include <array>
#include <ostream>

#include "ds/base/error.h"

namespace ds {
namespace {

struct Facts {
  std::string_view name;
  std::string_view torch_name;
  size_t size;
};

// In the order of the enum.
constexpr std::array<Facts, kDTypeCount> kFacts = {{{"f64", "float64", 8},
                                                    {"f32", "float32", 4},
                                                    {"f16", "float16", 2},
                                                    {"bf16", "bfloat16", 2},
                                                    {"i64", "int64", 8},
                                                    {"i32", "int32", 4},
                                                    {"i16", "int16", 2},
                                                    {"i8", "int8", 1},
                                                    {"u8", "uint8", 1},
                                                    {"bool", "bool", 1}}};

const Facts& facts(DType dtype) { return kFacts[static_cast<size_t>(dtype)]; }

}  // namespace

size_t dtype_size(DType dtype) { return facts(dtype).size; }
std::string_view dtype_name(DType dtype) { return facts(dtype).name; }

DType parse_dtype(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kFacts[i].name == name || kFacts[i].torch_name == name) return static_cast<DType>(i);
  throw ValueError(
      str("dtype: '", name, "' is unknown; use one of f64 f32 f16 bf16 i64 i32 i16 i8 u8 bool"));
}

bool is_floating(DType dtype) { return dtype <= DType::bf16; }
bool is_integer(DType dtype) { return dtype >= DType::i64 && dtype <= DType::u8; }
bool is_half(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::bool_) return b;
  if (b == DType::bool_) return a;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (is_half(a) && is_half(b)) return DType::f32;  // f16 and bf16: neither holds the other
  if (a == DType::u8 || b == DType::u8) {           // u8 and a signed integer
    const DType other = a == DType::u8 ? b : a;
    return other == DType::i8 ? DType::i16 : other;
  }
  return a < b ? a : b;  // within floats and signed integers the enum runs from wide to narrow
}

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << dtype_name(dtype); }

}  // namespace ds
