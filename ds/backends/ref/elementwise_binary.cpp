// SPDX-License-Identifier: Apache-2.0
// One function per binary op, in double and in int64_t.
#include <cmath>
#include <limits>

#include "ds/backends/ref/elementwise_math.h"
#include "ds/backends/ref/number.h"
#include "ds/base/error.h"

namespace ds::ref {
namespace {

/// A loop over a function without state.
template <class W, class F>
BinaryRun<W> run(F) {
  return [](int64_t n, const W* a, const W* b, W* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = F{}(a[i], b[i]);
  };
}
template <class F>
BinaryRun<double> real(F f) {
  return run<double>(f);
}
template <class F>
BinaryRun<int64_t> whole(F f) {
  return run<int64_t>(f);
}

double remainder(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/// Python's rule: consistent with remainder even where a / b rounds up to an integer.
double floor_divide(double a, double b) {
  if (b == 0) return a / b;
  const double r = std::fmod(a, b);
  double quotient = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

/// The next 16-bit pattern towards b: patterns of one sign are ordered like their magnitudes.
template <class T>
double next_half(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  if (a == b) return b;
  T x = narrow<T>(a);
  if (a == 0) {
    x.bits = b > 0 ? 0x0001 : 0x8001;
  } else {
    x.bits = static_cast<uint16_t>(x.bits + ((a < b) == (a > 0) ? 1 : -1));
  }
  return widen<double>(x);
}

BinaryRun<double> next_after(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return real([](double a, double b) -> double {
        return std::nextafter(static_cast<float>(a), static_cast<float>(b));
      });
    case DType::f16: return real([](double a, double b) { return next_half<f16>(a, b); });
    case DType::bf16: return real([](double a, double b) { return next_half<bf16>(a, b); });
    default: return real([](double a, double b) { return std::nextafter(a, b); });
  }
}

/// Comparisons and logic, alike in both wide types.
template <class W>
BinaryRun<W> comparison(Op op) {
  switch (op) {
    case Op::eq_: return run<W>([](W a, W b) { return W(a == b); });
    case Op::ne_: return run<W>([](W a, W b) { return W(a != b); });
    case Op::lt_: return run<W>([](W a, W b) { return W(a < b); });
    case Op::le_: return run<W>([](W a, W b) { return W(a <= b); });
    case Op::gt_: return run<W>([](W a, W b) { return W(a > b); });
    case Op::ge_: return run<W>([](W a, W b) { return W(a >= b); });
    case Op::logical_and_: return run<W>([](W a, W b) { return W(a != 0 && b != 0); });
    case Op::logical_or_: return run<W>([](W a, W b) { return W(a != 0 || b != 0); });
    case Op::logical_xor_: return run<W>([](W a, W b) { return W((a != 0) != (b != 0)); });
    case Op::add_: return run<W>([](W a, W b) { return plus(a, b); });
    case Op::mul_: return run<W>([](W a, W b) { return times(a, b); });
    case Op::maximum_: return run<W>([](W a, W b) { return beats_max(b, a) ? b : a; });
    case Op::minimum_: return run<W>([](W a, W b) { return beats_min(b, a) ? b : a; });
    default: return nullptr;
  }
}

void check_divisor(int64_t b, const char* op) {
  DS_CHECK(b != 0, ValueError, op, ": integer division by zero");
}

int64_t trunc_quotient(int64_t a, int64_t b) {
  check_divisor(b, "trunc_divide");
  return b == -1 ? wrap_sub(0, a) : a / b;  // the smallest integer by -1 would trap
}

int64_t floor_quotient(int64_t a, int64_t b) {
  check_divisor(b, "floor_divide");
  if (b == -1) return wrap_sub(0, a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t trunc_rest(int64_t a, int64_t b) {
  check_divisor(b, "fmod");
  return b == -1 ? 0 : a % b;
}

int64_t floor_rest(int64_t a, int64_t b) {
  check_divisor(b, "remainder");
  if (b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/// By squaring; a negative power of anything but 1 and -1 is 0, as in PyTorch.
int64_t power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a != -1 ? 0 : (b % 2 ? -1 : 1);
  int64_t result = 1;
  for (; b > 0; b >>= 1) {
    if (b & 1) result = wrap_mul(result, a);
    a = wrap_mul(a, a);
  }
  return result;
}

/// Shifts by a negative number or past the width give what an endless shift would, as in PyTorch.
/// kBits is the width without the sign.
template <int kBits, bool kSigned>
BinaryRun<int64_t> shift(bool left) {
  if (left)
    return whole([](int64_t a, int64_t b) {
      return b < 0 || b >= kBits + kSigned ? int64_t{0}
                                           : static_cast<int64_t>(static_cast<uint64_t>(a) << b);
    });
  return whole([](int64_t a, int64_t b) {
    if (b < 0 || b >= kBits) return int64_t{a < 0 ? -1 : 0};
    return a >> b;
  });
}

BinaryRun<int64_t> shift_of(DType dtype, bool left) {
  switch (dtype) {
    case DType::i64: return shift<63, true>(left);
    case DType::i32: return shift<31, true>(left);
    case DType::i16: return shift<15, true>(left);
    case DType::i8: return shift<7, true>(left);
    default: return shift<8, false>(left);
  }
}

}  // namespace

BinaryRun<double> binary_float(Op op, DType dtype) {
  if (const BinaryRun<double> found = comparison<double>(op)) return found;
  switch (op) {
    case Op::sub_: return real([](double a, double b) { return a - b; });
    case Op::div_: return real([](double a, double b) { return a / b; });
    case Op::pow_: return real([](double a, double b) { return std::pow(a, b); });
    case Op::fmod_: return real([](double a, double b) { return std::fmod(a, b); });
    case Op::remainder_: return real([](double a, double b) { return remainder(a, b); });
    case Op::floor_divide_: return real([](double a, double b) { return floor_divide(a, b); });
    case Op::trunc_divide_:
      if (dtype == DType::f64) return real([](double a, double b) { return std::trunc(a / b); });
      // The quotient is a float first, as in PyTorch: 1 / 0.1f is 10 and not just below.
      return real(
          [](double a, double b) -> double { return std::trunc(static_cast<float>(a / b)); });
    case Op::atan2_: return real([](double a, double b) { return std::atan2(a, b); });
    case Op::copysign_: return real([](double a, double b) { return std::copysign(a, b); });
    case Op::nextafter_: return next_after(dtype);
    default: break;
  }
  DS_ASSERT(false, op_name(op), " of ", dtype);
  return nullptr;
}

BinaryRun<int64_t> binary_int(Op op, DType dtype) {
  if (const BinaryRun<int64_t> found = comparison<int64_t>(op)) return found;
  switch (op) {
    case Op::sub_: return whole([](int64_t a, int64_t b) { return wrap_sub(a, b); });
    case Op::pow_: return whole([](int64_t a, int64_t b) { return power(a, b); });
    case Op::fmod_: return whole([](int64_t a, int64_t b) { return trunc_rest(a, b); });
    case Op::remainder_: return whole([](int64_t a, int64_t b) { return floor_rest(a, b); });
    case Op::floor_divide_: return whole([](int64_t a, int64_t b) { return floor_quotient(a, b); });
    case Op::trunc_divide_: return whole([](int64_t a, int64_t b) { return trunc_quotient(a, b); });
    case Op::bitwise_and_: return whole([](int64_t a, int64_t b) { return a & b; });
    case Op::bitwise_or_: return whole([](int64_t a, int64_t b) { return a | b; });
    case Op::bitwise_xor_: return whole([](int64_t a, int64_t b) { return a ^ b; });
    case Op::left_shift_: return shift_of(dtype, true);
    case Op::right_shift_: return shift_of(dtype, false);
    default: break;
  }
  DS_ASSERT(false, op_name(op), " of ", dtype);
  return nullptr;
}

}  // namespace ds::ref
