// SPDX-License-Identifier: Apache-2.0
// Highway's functions where they are precise; vectors with an element that is not within that range
// (large, subnormal, infinite or NaN) go to the standard library.
#include "ds/backends/cpu/kernels/math_f64.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/math_f64.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_HAVE_FLOAT64
using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;

/// A function on vectors between kLow and kHigh, and on any number.
struct ExpF64 {
  static constexpr double kLow = -700, kHigh = 700;
  static HWY_INLINE VD Vector(VD x) { return hn::Exp(DD(), x); }
  static double Scalar(double x) { return std::exp(x); }
};
struct LogF64 {
  static constexpr double kLow = 0x1p-1000, kHigh = 0x1p1000;
  static HWY_INLINE VD Vector(VD x) { return hn::Log(DD(), x); }
  static double Scalar(double x) { return std::log(x); }
};
struct SinF64 {
  static constexpr double kLow = -1000, kHigh = 1000;
  static HWY_INLINE VD Vector(VD x) { return hn::Sin(DD(), x); }
  static double Scalar(double x) { return std::sin(x); }
};
struct CosF64 {
  static constexpr double kLow = -1000, kHigh = 1000;
  static HWY_INLINE VD Vector(VD x) { return hn::Cos(DD(), x); }
  static double Scalar(double x) { return std::cos(x); }
};
struct TanhF64 {
  static constexpr double kLow = -300, kHigh = 300;
  static HWY_INLINE VD Vector(VD x) { return hn::Tanh(DD(), x); }
  static double Scalar(double x) { return std::tanh(x); }
};
struct SigmoidF64 {
  static constexpr double kLow = -700, kHigh = 700;
  static HWY_INLINE VD Vector(VD x) {
    const VD one = hn::Set(DD(), 1.0);
    return hn::Div(one, hn::Add(one, hn::Exp(DD(), hn::Neg(x))));
  }
  static double Scalar(double x) {
    return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
  }
};

template <class F>
void Map(const void* a, const void*, void* out, size_t n) {
  const DD d;
  const size_t lanes = hn::Lanes(d);
  const double* x = static_cast<const double*>(a);
  double* y = static_cast<double*>(out);
  const VD low = hn::Set(d, F::kLow), high = hn::Set(d, F::kHigh);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VD v = hn::LoadU(d, x + i);
    if (hn::AllTrue(d, hn::And(hn::Ge(v, low), hn::Le(v, high)))) {
      hn::StoreU(F::Vector(v), d, y + i);
    } else {
      for (size_t k = i; k < i + lanes; ++k) y[k] = F::Scalar(x[k]);
    }
  }
  if (i == n) return;
  double rest[hn::MaxLanes(DD())];
  std::fill_n(rest, lanes, x[i]);
  std::copy(x + i, x + n, rest);
  Map<F>(rest, nullptr, rest, lanes);
  std::copy_n(rest, n - i, y + i);
}

TypedFn MathF64(Op op) {
  switch (op) {
    case Op::exp_: return Map<ExpF64>;
    case Op::log_: return Map<LogF64>;
    case Op::sin_: return Map<SinF64>;
    case Op::cos_: return Map<CosF64>;
    case Op::tanh_: return Map<TanhF64>;
    case Op::sigmoid_: return Map<SigmoidF64>;
    default: return nullptr;
  }
}
#else
TypedFn MathF64(Op) { return nullptr; }
#endif

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(MathF64);

TypedFn math_f64(Op op) { return HWY_DYNAMIC_DISPATCH(MathF64)(op); }

}  // namespace ds::cpu
#endif
