// SPDX-License-Identifier: Apache-2.0
// One plain loop per op and type, which the compiler vectorises for every target.
#include "ds/backends/cpu/kernels/typed.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/typed.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/base/error.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// The stored type of a result: truth values are bytes, so that loops vectorise.
template <class R>
using Stored = std::conditional_t<std::is_same_v<R, bool>, uint8_t, R>;

template <class T, class F>
TypedFn unary(F) {
  return [](const void* a, const void*, void* out, size_t n) {
    using R = Stored<decltype(F{}(T{}))>;
    const T* x = static_cast<const T*>(a);
    R* y = static_cast<R*>(out);
    for (size_t i = 0; i < n; ++i) y[i] = F{}(x[i]);
  };
}

template <class T, class F>
TypedFn binary(F) {
  return [](const void* a, const void* b, void* out, size_t n) {
    using R = Stored<decltype(F{}(T{}, T{}))>;
    const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
    R* z = static_cast<R*>(out);
    for (size_t i = 0; i < n; ++i) z[i] = F{}(x[i], y[i]);
  };
}

template <class T>
T minus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  else
    return a - b;
}

// --- bool: bytes that are true when not zero -----------------------------------------------------

TypedFn bool_unary(Op op) {
  using B = uint8_t;
  switch (op) {
    case Op::bitwise_not_:
    case Op::logical_not_: return unary<B>([](B x) { return x == 0; });
    case Op::isfinite_: return unary<B>([](B) { return true; });
    case Op::isnan_:
    case Op::isinf_: return unary<B>([](B) { return false; });
    case Op::abs_:
    case Op::sign_:
    case Op::square_:
    case Op::relu_:
    case Op::floor_:
    case Op::ceil_:
    case Op::round_:
    case Op::trunc_: return unary<B>([](B x) { return x != 0; });
    default: return nullptr;
  }
}

TypedFn bool_binary(Op op) {
  using B = uint8_t;
  switch (op) {
    case Op::add_:
    case Op::maximum_:
    case Op::bitwise_or_:
    case Op::logical_or_: return binary<B>([](B a, B b) { return ((a != 0) | (b != 0)) != 0; });
    case Op::mul_:
    case Op::minimum_:
    case Op::bitwise_and_:
    case Op::logical_and_: return binary<B>([](B a, B b) { return ((a != 0) & (b != 0)) != 0; });
    case Op::ne_:
    case Op::bitwise_xor_:
    case Op::logical_xor_: return binary<B>([](B a, B b) { return (a != 0) != (b != 0); });
    case Op::eq_: return binary<B>([](B a, B b) { return (a != 0) == (b != 0); });
    case Op::lt_: return binary<B>([](B a, B b) { return (a != 0) < (b != 0); });
    case Op::le_: return binary<B>([](B a, B b) { return (a != 0) <= (b != 0); });
    case Op::gt_: return binary<B>([](B a, B b) { return (a != 0) > (b != 0); });
    case Op::ge_: return binary<B>([](B a, B b) { return (a != 0) >= (b != 0); });
    default: return nullptr;
  }
}

// --- integers ------------------------------------------------------------------------------------

template <class T>
TypedFn integer_unary(Op op) {
  switch (op) {
    case Op::neg_: return unary<T>([](T x) { return minus(T{0}, x); });
    case Op::abs_: return unary<T>([](T x) { return x < T{0} ? minus(T{0}, x) : x; });
    case Op::sign_: return unary<T>([](T x) { return static_cast<T>((x > T{0}) - (x < T{0})); });
    case Op::square_: return unary<T>([](T x) { return times(x, x); });
    case Op::relu_: return unary<T>([](T x) { return x > T{0} ? x : T{0}; });
    case Op::floor_:
    case Op::ceil_:
    case Op::round_:
    case Op::trunc_: return unary<T>([](T x) { return x; });
    case Op::bitwise_not_: return unary<T>([](T x) { return static_cast<T>(~x); });
    case Op::isnan_:
    case Op::isinf_: return unary<T>([](T) { return false; });
    case Op::isfinite_: return unary<T>([](T) { return true; });
    case Op::logical_not_: return unary<T>([](T x) { return x == T{0}; });
    default: return nullptr;
  }
}

template <class T>
bool is_minus_one(T x) {
  if constexpr (std::is_signed_v<T>)
    return x == T{-1};
  else
    return false;
}

/// All of |a| and |b| are below 2^52. Then the quotient of the doubles, cut off, is that of the
/// integers: it lies 1 / |b| or more below the next integer, more than rounding adds.
template <class T>
bool divides_as_double(const T* a, const T* b, size_t n) {
  if constexpr (sizeof(T) < 8) return true;
  constexpr auto kLimit = static_cast<T>(int64_t{1} << 52);
  bool all = true;
  for (size_t i = 0; i < n; ++i)
    all &= (a[i] < kLimit) & (a[i] > T{0} - kLimit) & (b[i] < kLimit) & (b[i] > T{0} - kLimit);
  return all;
}

/// f(a, b, a / b, a % b) where no b is 0; the smallest number by -1, which would trap, gives itself
/// and 0.
template <class T, Op kOp, class F>
TypedFn division(F) {
  return [](const void* a, const void* b, void* out, size_t n) {
    const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
    T* z = static_cast<T*>(out);
    constexpr size_t kBlock = 512;
    for (size_t at = 0; at < n; at += kBlock) {
      const size_t end = std::min(n, at + kBlock);
      bool zero = false;
      for (size_t i = at; i < end; ++i) zero |= y[i] == T{0};
      DS_CHECK(!zero, ValueError, op_name(kOp), ": integer division by zero");
      if (divides_as_double(x + at, y + at, end - at)) {
        for (size_t i = at; i < end; ++i) {
          const auto q =
              static_cast<int64_t>(static_cast<double>(x[i]) / static_cast<double>(y[i]));
          z[i] = F{}(x[i], y[i], static_cast<T>(q), static_cast<T>(x[i] - q * y[i]));
        }
        continue;
      }
      for (size_t i = at; i < end; ++i) {
        const bool traps = is_minus_one(y[i]);
        z[i] = F{}(x[i], y[i], traps ? minus(T{0}, x[i]) : static_cast<T>(x[i] / y[i]),
                   traps ? T{0} : static_cast<T>(x[i] % y[i]));
      }
    }
  };
}

/// By squaring; a negative power of anything but 1 and -1 is 0, as in PyTorch.
template <class T>
T power(T base, T exponent) {
  if (exponent < T{0}) {
    if (base == T{1}) return T{1};
    return is_minus_one(base) ? static_cast<T>(exponent % 2 ? -1 : 1) : T{0};
  }
  T result = 1;
  for (T e = exponent; e > T{0}; e = static_cast<T>(e >> 1)) {
    if (e & 1) result = times(result, base);
    base = times(base, base);
  }
  return result;
}

template <class T>
TypedFn integer_division(Op op) {
  switch (op) {
    case Op::trunc_divide_: return division<T, Op::trunc_divide_>([](T, T, T q, T) { return q; });
    case Op::floor_divide_:
      return division<T, Op::floor_divide_>([](T, T b, T q, T r) {
        return static_cast<T>(q - ((r != 0) & ((r < T{0}) != (b < T{0}))));
      });
    case Op::fmod_: return division<T, Op::fmod_>([](T, T, T, T r) { return r; });
    case Op::remainder_:
      return division<T, Op::remainder_>([](T, T b, T, T r) {
        return (r != 0) & ((r < T{0}) != (b < T{0})) ? static_cast<T>(r + b) : r;
      });
    default: return nullptr;
  }
}

/// Shifts by a negative number or past the width give what an endless shift would, as in PyTorch.
template <class T>
TypedFn shift(bool left) {
  constexpr int kBits = std::numeric_limits<T>::digits;  // without the sign
  if (left)
    return binary<T>([](T a, T b) {
      const auto amount = static_cast<int64_t>(b);
      if (amount < 0 || amount >= kBits + std::is_signed_v<T>) return T{0};
      return static_cast<T>(static_cast<uint64_t>(a) << amount);
    });
  return binary<T>([](T a, T b) {
    const auto amount = static_cast<int64_t>(b);
    if (amount < 0 || amount >= kBits) return static_cast<T>(a < T{0} ? -1 : 0);
    return static_cast<T>(a >> amount);
  });
}

template <class T>
TypedFn integer_binary(Op op) {
  switch (op) {
    case Op::bitwise_and_: return binary<T>([](T a, T b) { return static_cast<T>(a & b); });
    case Op::bitwise_or_: return binary<T>([](T a, T b) { return static_cast<T>(a | b); });
    case Op::bitwise_xor_: return binary<T>([](T a, T b) { return static_cast<T>(a ^ b); });
    case Op::left_shift_: return shift<T>(true);
    case Op::right_shift_: return shift<T>(false);
    case Op::pow_: return binary<T>([](T a, T b) { return power(a, b); });
    default: return integer_division<T>(op);
  }
}

// --- both ----------------------------------------------------------------------------------------

template <class T>
TypedFn common_binary(Op op) {
  switch (op) {
    case Op::add_: return binary<T>([](T a, T b) { return plus(a, b); });
    case Op::sub_: return binary<T>([](T a, T b) { return minus(a, b); });
    case Op::mul_: return binary<T>([](T a, T b) { return times(a, b); });
    case Op::maximum_: return binary<T>([](T a, T b) { return beats_max(b, a) ? b : a; });
    case Op::minimum_: return binary<T>([](T a, T b) { return beats_min(b, a) ? b : a; });
    case Op::eq_: return binary<T>([](T a, T b) { return a == b; });
    case Op::ne_: return binary<T>([](T a, T b) { return a != b; });
    case Op::lt_: return binary<T>([](T a, T b) { return a < b; });
    case Op::le_: return binary<T>([](T a, T b) { return a <= b; });
    case Op::gt_: return binary<T>([](T a, T b) { return a > b; });
    case Op::ge_: return binary<T>([](T a, T b) { return a >= b; });
    case Op::logical_and_: return binary<T>([](T a, T b) { return ((a != 0) & (b != 0)) != 0; });
    case Op::logical_or_: return binary<T>([](T a, T b) { return ((a != 0) | (b != 0)) != 0; });
    case Op::logical_xor_: return binary<T>([](T a, T b) { return (a != 0) != (b != 0); });
    default: return nullptr;
  }
}

TypedFn f64_unary(Op op) {
  using D = double;
  switch (op) {
    case Op::neg_: return unary<D>([](D x) { return -x; });
    case Op::abs_: return unary<D>([](D x) { return std::fabs(x); });
    case Op::sign_: return unary<D>([](D x) { return static_cast<D>((x > 0) - (x < 0)); });
    case Op::sqrt_: return unary<D>([](D x) { return std::sqrt(x); });
    case Op::rsqrt_: return unary<D>([](D x) { return 1 / std::sqrt(x); });
    case Op::reciprocal_: return unary<D>([](D x) { return 1 / x; });
    case Op::square_: return unary<D>([](D x) { return x * x; });
    case Op::relu_: return unary<D>([](D x) { return x > 0 || std::isnan(x) ? x : 0.0; });
    case Op::floor_: return unary<D>([](D x) { return std::floor(x); });
    case Op::ceil_: return unary<D>([](D x) { return std::ceil(x); });
    case Op::round_: return unary<D>([](D x) { return std::nearbyint(x); });
    case Op::trunc_: return unary<D>([](D x) { return std::trunc(x); });
    case Op::isnan_: return unary<D>([](D x) { return std::isnan(x); });
    case Op::isinf_: return unary<D>([](D x) { return std::isinf(x); });
    case Op::isfinite_: return unary<D>([](D x) { return std::isfinite(x); });
    case Op::logical_not_: return unary<D>([](D x) { return x == 0; });
    default: return nullptr;
  }
}

/// Towards zero; values outside i64 saturate and NaN gives 0.
int64_t truncated(double x) {
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (x < -0x1p63) return std::numeric_limits<int64_t>::min();
  return x == x ? static_cast<int64_t>(x) : 0;
}

template <class From, class To>
TypedFn cast() {
  if constexpr (std::is_same_v<To, bool>)
    return unary<From>([](From x) { return x != 0; });
  else if constexpr (std::is_same_v<From, double> && std::is_integral_v<To>)
    return unary<From>([](From x) { return static_cast<To>(truncated(x)); });
  else
    return unary<From>([](From x) { return static_cast<To>(x); });
}

template <class From>
TypedFn cast_to(DType to) {
  switch (to) {
    case DType::f64: return cast<From, double>();
    case DType::i64: return cast<From, int64_t>();
    case DType::i32: return cast<From, int32_t>();
    case DType::i16: return cast<From, int16_t>();
    case DType::i8: return cast<From, int8_t>();
    case DType::u8: return cast<From, uint8_t>();
    case DType::bool_: return cast<From, bool>();
    default: return nullptr;
  }
}

template <class Word>
void choose(const uint8_t* condition, const void* yes, const void* no, void* out, size_t n) {
  const Word *a = static_cast<const Word*>(yes), *b = static_cast<const Word*>(no);
  Word* to = static_cast<Word*>(out);
  for (size_t i = 0; i < n; ++i) to[i] = condition[i] ? a[i] : b[i];
}

TypedFn UnaryFn(Op op, DType dtype) {
  switch (dtype) {
    case DType::f64: return f64_unary(op);
    case DType::i64: return integer_unary<int64_t>(op);
    case DType::i32: return integer_unary<int32_t>(op);
    case DType::i16: return integer_unary<int16_t>(op);
    case DType::i8: return integer_unary<int8_t>(op);
    case DType::u8: return integer_unary<uint8_t>(op);
    case DType::bool_: return bool_unary(op);
    default: return nullptr;
  }
}

TypedFn BinaryFn(Op op, DType dtype) {
  TypedFn found = nullptr;
  dispatch_number(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) {
      found = dtype == DType::bool_ ? bool_binary(op) : nullptr;  // halves come here too
    } else if constexpr (!std::is_same_v<T, float>) {
      found = common_binary<T>(op);
      if constexpr (std::is_integral_v<T>) {
        if (!found) found = integer_binary<T>(op);
      } else if (op == Op::div_) {
        found = binary<T>([](T a, T b) { return a / b; });
      } else if (op == Op::copysign_) {
        found = binary<T>([](T a, T b) { return std::copysign(a, b); });
      }
    }
  });
  return found;
}

TypedFn CastFn(DType from, DType to) {
  switch (from) {
    case DType::f64: return cast_to<double>(to);
    case DType::i64: return cast_to<int64_t>(to);
    case DType::i32: return cast_to<int32_t>(to);
    default: return nullptr;
  }
}

void Where(size_t element, const uint8_t* condition, const void* yes, const void* no, void* out,
           size_t n) {
  switch (element) {
    case 1: return choose<uint8_t>(condition, yes, no, out, n);
    case 2: return choose<uint16_t>(condition, yes, no, out, n);
    case 4: return choose<uint32_t>(condition, yes, no, out, n);
    default: return choose<uint64_t>(condition, yes, no, out, n);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(UnaryFn);
HWY_EXPORT(BinaryFn);
HWY_EXPORT(CastFn);
HWY_EXPORT(Where);

TypedFn typed_unary(Op op, DType dtype) { return HWY_DYNAMIC_DISPATCH(UnaryFn)(op, dtype); }
TypedFn typed_binary(Op op, DType dtype) { return HWY_DYNAMIC_DISPATCH(BinaryFn)(op, dtype); }
TypedFn typed_cast(DType from, DType to) { return HWY_DYNAMIC_DISPATCH(CastFn)(from, to); }
void typed_where(size_t element, const uint8_t* condition, const void* yes, const void* no,
                 void* out, size_t n) {
  HWY_DYNAMIC_DISPATCH(Where)(element, condition, yes, no, out, n);
}
}  // namespace ds::cpu
#endif
