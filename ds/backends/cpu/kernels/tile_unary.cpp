// SPDX-License-Identifier: Apache-2.0
// The unary tile kernels.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/tile_unary.cpp"
#include <hwy/foreach_target.h>

#include "ds/backends/cpu/kernels/math-inl.h"
#include "ds/backends/cpu/kernels/special.h"
#include "ds/backends/cpu/kernels/tile.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

template <class F>
HWY_INLINE void MapUnary(const float* a, float* out, size_t n, unsigned splat, F f) {
  const size_t lanes = hn::Lanes(DF());
  if (splat & 1u) {
    const VF y = f(LoadVec(a));
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) StoreVec(y, out + i);
    if (i < n) StorePart(y, out + i, n - i);
    return;
  }
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreVec(f(LoadVec(a + i)), out + i);
  if (i < n) StorePart(f(LoadPart(a + i, n - i)), out + i, n - i);
}

#define DS_UNARY(name, expression)                                                   \
  void Tile_##name(const float* a, const float*, const float*, float* out, size_t n, \
                   unsigned splat) {                                                 \
    MapUnary(a, out, n, splat, [](VF x) HWY_ATTR { return expression; });            \
  }

HWY_INLINE VF Sign(VF x) {
  const VF y = hn::CopySign(Const(1), x);
  return hn::IfThenElseZero(hn::Gt(hn::Abs(x), hn::Zero(DF())), y);
}

DS_UNARY(copy, x)
DS_UNARY(neg, hn::Neg(x))
DS_UNARY(abs, hn::Abs(x))
DS_UNARY(sign, Sign(x))
DS_UNARY(exp, Exp(x))
DS_UNARY(exp2, Exp2(x))
DS_UNARY(expm1, Expm1(x))
DS_UNARY(log, Log(x))
DS_UNARY(log2, Log2(x))
DS_UNARY(log10, Log10(x))
DS_UNARY(log1p, Log1p(x))
DS_UNARY(sqrt, hn::Sqrt(x))
DS_UNARY(rsqrt, hn::Div(Const(1), hn::Sqrt(x)))
DS_UNARY(reciprocal, hn::Div(Const(1), x))
DS_UNARY(square, hn::Mul(x, x))
DS_UNARY(sin, Sin(x))
DS_UNARY(cos, Cos(x))
DS_UNARY(tan, Tan(x))
DS_UNARY(asin, Asin(x))
DS_UNARY(acos, Acos(x))
DS_UNARY(atan, Atan(x))
DS_UNARY(sinh, Sinh(x))
DS_UNARY(cosh, Cosh(x))
DS_UNARY(tanh, Tanh(x))
DS_UNARY(asinh, Asinh(x))
DS_UNARY(acosh, Acosh(x))
DS_UNARY(atanh, Atanh(x))
DS_UNARY(erf, Erf(x))
DS_UNARY(erfc, Erfc(x))
DS_UNARY(erfinv, PerLane(erfinv, x))
DS_UNARY(lgamma, PerLane(lgamma, x))
DS_UNARY(digamma, PerLane(digamma, x))
DS_UNARY(trigamma, PerLane(trigamma, x))
DS_UNARY(sigmoid, Sigmoid(x))
DS_UNARY(relu, KeepNan(x, hn::Max(x, hn::Zero(DF()))))
DS_UNARY(gelu, Gelu(x))
DS_UNARY(gelu_tanh, GeluTanh(x))
DS_UNARY(silu, Silu(x))
DS_UNARY(gelu_slope, GeluSlope(x))
DS_UNARY(gelu_tanh_slope, GeluTanhSlope(x))
DS_UNARY(silu_slope, SiluSlope(x))
DS_UNARY(softplus, Softplus(x))
DS_UNARY(floor, hn::Floor(x))
DS_UNARY(ceil, hn::Ceil(x))
DS_UNARY(round, hn::Round(x))
DS_UNARY(trunc, hn::Trunc(x))
DS_UNARY(isnan, Bool(hn::IsNaN(x)))
DS_UNARY(isinf, Bool(hn::Eq(hn::Abs(x), Inf())))
DS_UNARY(isfinite, Bool(hn::Lt(hn::Abs(x), Inf())))
DS_UNARY(logical_not, Bool(IsZero(x)))
DS_UNARY(to_bool, hn::IfThenZeroElse(IsZero(x), Const(1)))
DS_UNARY(round_f16, FromF16(ToF16(x)))
DS_UNARY(round_bf16, FromBf16(ToBf16(x)))
#undef DS_UNARY

TileFn UnaryKernel(int index) {
#define DS_ENTRY(name) Tile_##name,
  static constexpr TileFn kKernels[] = {DS_TILE_UNARY_OPS(DS_ENTRY)};
#undef DS_ENTRY
  return kKernels[index];
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(UnaryKernel);
TileFn unary_tile_fn(int index);  // called by tile_fn
TileFn unary_tile_fn(int index) { return HWY_DYNAMIC_DISPATCH(UnaryKernel)(index); }
}  // namespace ds::cpu
#endif
