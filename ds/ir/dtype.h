// SPDX-License-Identifier: Apache-2.0
// Element types, their facts and PyTorch's promotion rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>

#include "ds/base/half.h"

namespace ds {

enum class DType : uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, bool_ };
inline constexpr int kDTypeCount = 10;

/// Bytes of one element.
size_t dtype_size(DType dtype);
/// Short name used in messages and in the printed IR: "f32", "bool".
std::string_view dtype_name(DType dtype);
/// The dtype of a short name ("f32") or a PyTorch name ("float32"); ValueError when unknown.
DType parse_dtype(std::string_view name);

bool is_floating(DType dtype);
/// Integers, signed or not; bool is neither.
bool is_integer(DType dtype);
/// f16 or bf16.
bool is_half(DType dtype);

/// The dtype two tensors of these dtypes combine in, as torch.promote_types.
DType promote(DType a, DType b);

std::ostream& operator<<(std::ostream& out, DType dtype);

/// The C++ type of a dtype and back.
template <class T>
struct dtype_of;
#define DS_DTYPE_OF(type, value)                  \
  template <>                                     \
  struct dtype_of<type> {                         \
    static constexpr DType kValue = DType::value; \
  };
DS_DTYPE_OF(double, f64)
DS_DTYPE_OF(float, f32)
DS_DTYPE_OF(f16, f16)
DS_DTYPE_OF(bf16, bf16)
DS_DTYPE_OF(int64_t, i64)
DS_DTYPE_OF(int32_t, i32)
DS_DTYPE_OF(int16_t, i16)
DS_DTYPE_OF(int8_t, i8)
DS_DTYPE_OF(uint8_t, u8)
DS_DTYPE_OF(bool, bool_)
#undef DS_DTYPE_OF
template <class T>
inline constexpr DType kDTypeOf = dtype_of<T>::kValue;

/// Calls f(T{}) with the C++ type of `dtype`: dispatch(x.dtype(), [&](auto t) { using T =
/// decltype(t); ... }).
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64: return f(double{});
    case DType::f32: return f(float{});
    case DType::f16: return f(f16{});
    case DType::bf16: return f(bf16{});
    case DType::i64: return f(int64_t{});
    case DType::i32: return f(int32_t{});
    case DType::i16: return f(int16_t{});
    case DType::i8: return f(int8_t{});
    case DType::u8: return f(uint8_t{});
    case DType::bool_: break;
  }
  return f(bool{});
}

}  // namespace ds
