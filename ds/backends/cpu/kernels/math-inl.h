// SPDX-License-Identifier: Apache-2.0
// Per-target f32 mathematics, at most 4 ULP over the whole range, special values as in IEEE 754
// and PyTorch. Built on Highway's contrib/math, whose functions are right inside their stated
// ranges only. The coefficients of erfcx, erf, ExpTail and TailPoly are our own weighted
// least-squares fits.

#if defined(DS_CPU_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DS_CPU_KERNELS_MATH_INL_H_
#undef DS_CPU_KERNELS_MATH_INL_H_
#else
#define DS_CPU_KERNELS_MATH_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>

#include <cmath>
#include <limits>

#include "ds/backends/cpu/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

HWY_INLINE VF Const(double value) { return hn::Set(DF(), static_cast<float>(value)); }
HWY_INLINE VF Inf() { return hn::Set(DF(), std::numeric_limits<float>::infinity()); }
HWY_INLINE VF Nan() { return hn::Set(DF(), std::numeric_limits<float>::quiet_NaN()); }
HWY_INLINE MF IsZero(VF x) { return hn::Eq(x, hn::Zero(DF())); }
HWY_INLINE VF Bool(MF m) { return hn::IfThenElseZero(m, Const(1)); }
/// y, but x where x is NaN.
HWY_INLINE VF KeepNan(VF x, VF y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

/// Applies a scalar function lane by lane: for functions too rare to be worth a vector version.
template <class F>
HWY_INLINE VF PerLane(F f, VF a) {
  float x[kMaxLanes];
  StoreVec(a, x);
  for (size_t i = 0; i < hn::Lanes(DF()); ++i) x[i] = f(x[i]);
  return LoadVec(x);
}
template <class F>
HWY_INLINE VF PerLane(F f, VF a, VF b) {
  float x[kMaxLanes], y[kMaxLanes];
  StoreVec(a, x);
  StoreVec(b, y);
  for (size_t i = 0; i < hn::Lanes(DF()); ++i) x[i] = f(x[i], y[i]);
  return LoadVec(x);
}

/// Evaluates in f64, half a vector at a time; f takes (tag, vector).
template <class F>
HWY_INLINE VF InDouble(F f, VF a) {
  using DD = hn::ScalableTag<double>;
  using DH = hn::Rebind<float, DD>;
  float x[kMaxLanes];
  StoreVec(a, x);
  for (size_t i = 0; i < hn::Lanes(DF()); i += hn::Lanes(DD())) {
    const auto wide = hn::PromoteTo(DD(), hn::LoadU(DH(), x + i));
    hn::StoreU(hn::DemoteTo(DH(), f(DD(), wide)), DH(), x + i);
  }
  return LoadVec(x);
}

HWY_INLINE VF Exp(VF x) {
  // Clamped to where the result is already inf or 0, so that the integer exponent stays valid.
  const VF clamped = hn::Min(hn::Max(x, Const(-105)), Const(89));
  return KeepNan(x, hn::Exp(DF(), clamped));
}

/// exp(r) - 1 for |r| <= ln(2) / 2, to 3.1e-9 of exp(r).
HWY_INLINE VF ExpTail(VF r) {
  const VF r2 = hn::Mul(r, r);
  const VF p01 = hn::MulAdd(r, Const(0.1666652039884683), Const(0.4999999343209907));
  const VF p23 = hn::MulAdd(r, Const(0.008368745127098055), Const(0.04166839078967244));
  const VF p24 = hn::MulAdd(r2, Const(0.0013814539878973533), p23);
  return hn::MulAdd(hn::MulAdd(r2, p24, p01), r2, r);
}

/// 2^e for e in [-126, 127].
HWY_INLINE VF PowerOfTwo(VI e) {
  return hn::BitCast(DF(), hn::ShiftLeft<23>(hn::Add(e, hn::Set(DI(), 127))));
}

HWY_INLINE VF Exp2(VF x) {
  const VF clamped = hn::Min(hn::Max(x, Const(-151)), Const(129));
  const VF q = hn::Round(clamped);
  const VF r = hn::Mul(hn::Sub(clamped, q), Const(0.6931471805599453));
  // In two steps: the result may be subnormal or infinite.
  const VI e = hn::ConvertTo(DI(), q), half = hn::ShiftRight<1>(e);
  const VF y = hn::Mul(hn::Add(ExpTail(r), Const(1)), PowerOfTwo(half));
  return KeepNan(x, hn::Mul(y, PowerOfTwo(hn::Sub(e, half))));
}

HWY_INLINE VF Expm1(VF x) {
  const VF clamped = hn::Min(hn::Max(x, Const(-104)), Const(89));
  const VF y = hn::Expm1(DF(), clamped);
  // The clamp would lose tiny values' sign of zero; there expm1(x) == x.
  const VF small = hn::IfThenElse(hn::Lt(hn::Abs(x), Const(1e-8)), x, y);
  return KeepNan(x, small);
}

/// The special values shared by all logarithms of x, around a finite result y for finite x > 0.
HWY_INLINE VF LogSpecial(VF x, VF y) {
  y = hn::IfThenElse(hn::Eq(x, Inf()), x, y);
  y = hn::IfThenElse(IsZero(x), hn::Neg(Inf()), y);
  return hn::IfThenElse(hn::Ge(x, hn::Zero(DF())), y, Nan());  // negative or NaN
}

HWY_INLINE VF Log(VF x) { return LogSpecial(x, hn::Log(DF(), x)); }

HWY_INLINE VF Log2(VF x) {
  const DF d;
  const DI di;
  const MF subnormal = hn::Lt(x, Const(0x1p-126));
  const VF normal = hn::IfThenElse(subnormal, hn::Mul(x, Const(0x1p25)), x);
  // x = 2^e m with m in [sqrt(1/2), sqrt(2)), so that powers of two give exact results.
  const VI bits = hn::BitCast(di, normal);
  const VI e = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3f3504f3)));
  const VF m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(e)));
  const VF shift = hn::IfThenElseZero(subnormal, Const(-25));
  const VF exponent = hn::Add(hn::ConvertTo(d, e), shift);
  return LogSpecial(x, hn::MulAdd(hn::Log(d, m), Const(1.4426950408889634), exponent));
}

HWY_INLINE VF Log10(VF x) {
  return LogSpecial(x, InDouble([](auto d, auto v) HWY_ATTR { return hn::Log10(d, v); }, x));
}

HWY_INLINE VF Log1p(VF x) {
  VF y = hn::Log1p(DF(), x);
  y = hn::IfThenElse(hn::Lt(hn::Abs(x), Const(1e-8)), x, y);
  y = hn::IfThenElse(hn::Eq(x, Inf()), x, y);
  y = hn::IfThenElse(hn::Eq(x, Const(-1)), hn::Neg(Inf()), y);
  return hn::IfThenElse(hn::Ge(x, Const(-1)), y, Nan());
}

/// Highway's sine and cosine reduce their argument in f32 and are valid up to 39000 only.
HWY_INLINE bool AnyLargeAngle(VF x) { return !hn::AllTrue(DF(), hn::Lt(hn::Abs(x), Const(30000))); }
/// The last rounding may step past 1, where inverse functions give NaN. NaN stays.
HWY_INLINE VF ClampToOne(VF y) {
  return hn::IfThenElse(hn::Gt(hn::Abs(y), Const(1)), hn::CopySign(Const(1), y), y);
}

HWY_INLINE VF Sin(VF x) {
  if (AnyLargeAngle(x)) return PerLane([](float v) { return std::sin(v); }, x);
  return hn::IfThenElse(IsZero(x), x, ClampToOne(hn::Sin(DF(), x)));
}
HWY_INLINE VF Cos(VF x) {
  if (AnyLargeAngle(x)) return PerLane([](float v) { return std::cos(v); }, x);
  return ClampToOne(hn::Cos(DF(), x));
}
HWY_INLINE VF Tan(VF x) {
  if (AnyLargeAngle(x)) return PerLane([](float v) { return std::tan(v); }, x);
  const VF y =
      InDouble([](auto d, auto v) HWY_ATTR { return hn::Div(hn::Sin(d, v), hn::Cos(d, v)); }, x);
  return hn::IfThenElse(IsZero(x), x, y);
}

HWY_INLINE VF Asin(VF x) {
  return hn::IfThenElse(hn::Le(hn::Abs(x), Const(1)), hn::Asin(DF(), x), Nan());
}
HWY_INLINE VF Acos(VF x) {
  return hn::IfThenElse(hn::Le(hn::Abs(x), Const(1)), hn::Acos(DF(), x), Nan());
}
HWY_INLINE VF Atan(VF x) { return KeepNan(x, hn::Atan(DF(), x)); }

HWY_INLINE VF Sinh(VF x) {
  const VF a = hn::Abs(x);
  // Above 88 expm1 overflows before sinh does; exp(a/2)^2/2 reaches the true limit.
  const VF half = hn::Exp(DF(), hn::Mul(hn::Min(a, Const(90)), Const(0.5)));
  const VF large = hn::Mul(hn::Mul(half, Const(0.5)), half);
  const VF y = hn::IfThenElse(hn::Gt(a, Const(80)), large, hn::Sinh(DF(), a));
  return KeepNan(x, hn::CopySign(y, x));
}
HWY_INLINE VF Cosh(VF x) {
  const VF a = hn::Abs(x);
  const VF half = hn::Exp(DF(), hn::Mul(hn::Min(a, Const(90)), Const(0.5)));
  const VF large = hn::Mul(hn::Mul(half, Const(0.5)), half);
  const VF e = hn::Exp(DF(), hn::Min(a, Const(80)));
  const VF y = hn::MulAdd(Const(0.5), e, hn::Div(Const(0.5), e));
  return KeepNan(x, hn::IfThenElse(hn::Gt(a, Const(80)), large, y));
}
HWY_INLINE VF Tanh(VF x) {
  return KeepNan(x, hn::Tanh(DF(), hn::Min(hn::Max(x, Const(-20)), Const(20))));
}

HWY_INLINE VF Asinh(VF x) {
  const VF y = hn::CopySign(hn::Asinh(DF(), hn::Abs(x)), x);
  return hn::IfThenElse(hn::IsFinite(x), y, x);
}
HWY_INLINE VF Acosh(VF x) {
  const VF y = hn::IfThenElse(hn::Eq(x, Inf()), x, hn::Acosh(DF(), x));
  return hn::IfThenElse(hn::Ge(x, Const(1)), y, Nan());
}
HWY_INLINE VF Atanh(VF x) {
  const VF a = hn::Abs(x);
  const VF inside = hn::IfThenElse(hn::Lt(a, Const(1e-4)), x, hn::Atanh(DF(), x));
  const VF y = hn::IfThenElse(hn::Eq(a, Const(1)), hn::CopySign(Inf(), x), inside);
  return hn::IfThenElse(hn::Le(a, Const(1)), y, Nan());
}

/// erfc(t) for t >= 0 where s + s_low = t^2 to twice f32's precision:
/// exp(-t^2) erfcx(t), with (1 + 2t) erfcx(t) a polynomial in (t - 4) / (t + 4).
HWY_INLINE VF ErfcPositive(VF t, VF s, VF s_low) {
  const VF clamped = hn::Min(t, Const(10.2));
  const VF y = hn::Div(hn::Sub(clamped, Const(4)), hn::Add(clamped, Const(4)));
  VF p = Const(-0.0006374638834696811);
  p = hn::MulAdd(p, y, Const(-0.001121179166063892));
  p = hn::MulAdd(p, y, Const(0.005061286361584079));
  p = hn::MulAdd(p, y, Const(-0.016019142471644904));
  p = hn::MulAdd(p, y, Const(0.037217301582714385));
  p = hn::MulAdd(p, y, Const(-0.06635769233170616));
  p = hn::MulAdd(p, y, Const(0.09372143134430333));
  p = hn::MulAdd(p, y, Const(-0.10103743756044932));
  p = hn::MulAdd(p, y, Const(0.06809785957687328));
  p = hn::MulAdd(p, y, Const(0.015379615429263846));
  p = hn::MulAdd(p, y, Const(-0.13962113159163186));
  p = hn::MulAdd(p, y, Const(1.232995118823011));
  const VF e = hn::Exp(DF(), hn::Neg(hn::Min(s, Const(105))));
  const VF scaled = hn::Div(p, hn::MulAdd(clamped, Const(2), Const(1)));
  return hn::Mul(hn::NegMulAdd(e, s_low, e), scaled);
}

/// The rounding error of x * x for |x| < 2^64; Dekker's split where there is no fused multiply-add.
HWY_INLINE VF SquareLow(VF x, VF square) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
  return hn::MulSub(x, x, square);
#else
  const VF high = hn::And(x, hn::BitCast(DF(), hn::Set(DU(), 0xfffff000u)));
  const VF low = hn::Sub(x, high);
  const VF cross = hn::Mul(high, low);
  return hn::Add(hn::Add(hn::Sub(hn::Mul(high, high), square), hn::Add(cross, cross)),
                 hn::Mul(low, low));
#endif
}

/// erf(x) for |x| < 1, s = x^2.
HWY_INLINE VF ErfSmall(VF x, VF s) {
  VF p = Const(8.513095235684887e-05);
  p = hn::MulAdd(p, s, Const(-0.0008175636758096516));
  p = hn::MulAdd(p, s, Const(0.005203858949244022));
  p = hn::MulAdd(p, s, Const(-0.02686050906777382));
  p = hn::MulAdd(p, s, Const(0.11283715069293976));
  p = hn::MulAdd(p, s, Const(-0.37612634897232056));
  p = hn::MulAdd(p, s, Const(1.128379225730896));
  return hn::Mul(p, x);
}

HWY_INLINE VF Erfc(VF x) {
  const VF t = hn::Abs(x);
  const VF s = hn::Mul(t, t);
  const VF low = hn::IfThenElseZero(hn::Lt(t, Const(20)), SquareLow(t, s));
  const VF tail = ErfcPositive(t, s, low);
  const VF large = hn::IfThenElse(hn::Lt(x, hn::Zero(DF())), hn::Sub(Const(2), tail), tail);
  const VF small = hn::Sub(Const(1), ErfSmall(x, s));
  return KeepNan(x, hn::IfThenElse(hn::Lt(t, Const(0.47)), small, large));
}

HWY_INLINE VF Erf(VF x) {
  const VF t = hn::Abs(x);
  const VF s = hn::Mul(t, t);
  const VF large = hn::Sub(Const(1), ErfcPositive(t, s, hn::Zero(DF())));
  const VF y = hn::IfThenElse(hn::Lt(t, Const(0.9)), ErfSmall(x, s), hn::CopySign(large, x));
  return KeepNan(x, y);
}

HWY_INLINE VF Sigmoid(VF x) {
  const VF e = hn::Exp(DF(), hn::Neg(hn::Min(hn::Abs(x), Const(105))));
  const VF numerator = hn::IfThenElse(hn::Lt(x, hn::Zero(DF())), e, Const(1));
  return KeepNan(x, hn::Div(numerator, hn::Add(Const(1), e)));
}
HWY_INLINE VF Softplus(VF x) {
  const VF e = hn::Exp(DF(), hn::Neg(hn::Min(hn::Abs(x), Const(105))));
  const VF tail = hn::IfThenElse(hn::Lt(e, Const(1e-8)), e, hn::Log1p(DF(), e));
  return KeepNan(x, hn::Add(hn::Max(x, hn::Zero(DF())), tail));
}
/// exp(-s - low) for s in [0, 88.1] and tiny low; 0 where that is below 2^-126.
HWY_INLINE VF ExpMinus(VF s, VF low) {
  // Adding 1.5 * 2^23 leaves the rounded integer, here with the exponent's bias, in the low bits.
  const VF shift = Const(12582912.0 + 127);
  const VF shifted = hn::NegMulAdd(s, Const(1.4426950408889634), shift);
  const VF q = hn::Sub(shifted, shift);
  const VF high = hn::NegMulAdd(q, Const(0.693145751953125), hn::Neg(s));
  const VF r = hn::Sub(hn::NegMulAdd(q, Const(1.428606765330187e-06), high), low);
  const VF scale = hn::BitCast(DF(), hn::ShiftLeft<23>(hn::BitCast(DU(), shifted)));
  return hn::MulAdd(ExpTail(r), scale, scale);
}

/// A slope at x from that at -|x|: the slopes of GELU, its tanh form and SiLU are all 1 less that
/// of the other side. At the infinities they are NaN, infinity times 0, as in PyTorch.
HWY_INLINE VF SlopeFromNegative(VF x, VF slope) {
  const VF side = hn::IfNegativeThenElse(x, slope, hn::Sub(Const(1), slope));
  return hn::MulAdd(x, hn::Zero(DF()), side);
}
/// The slope of x sigmoid(u(x)), u odd, at -|x| from e = exp(-u(|x|)) and v = |x| u'(|x|).
HWY_INLINE VF LogisticSlope(VF e, VF v) {
  const VF q = hn::Div(Const(1), hn::Add(Const(1), e));
  return hn::Mul(hn::Mul(e, q), hn::NegMulAdd(v, q, Const(1)));
}

HWY_INLINE VF Silu(VF x) {
  const VF e = ExpMinus(hn::Min(hn::Abs(x), Const(88.1)), hn::Zero(DF()));
  return hn::Div(hn::Mul(x, hn::IfNegativeThenElse(x, e, Const(1))), hn::Add(Const(1), e));
}

HWY_INLINE VF SiluSlope(VF x) {
  const VF a = hn::Min(hn::Abs(x), Const(88.1));
  return SlopeFromNegative(x, LogisticSlope(ExpMinus(a, hn::Zero(DF())), a));
}

/// (a + 3.75) exp(a^2 / 2) Phi(-a) for y = (a - 3.75) / (a + 3.75), a in [0, 14.5], to 1.5e-8.
HWY_INLINE VF TailPoly(VF y) {
  const VF y2 = hn::Mul(y, y);
  const VF y4 = hn::Mul(y2, y2);
  const VF p01 = hn::MulAdd(y, Const(-0.588188277939943), Const(0.7502940742588444));
  const VF p23 = hn::MulAdd(y, Const(-0.15152083348892065), Const(0.3529396004292415));
  const VF p45 = hn::MulAdd(y, Const(0.0012001149432951724), Const(0.037492551218271664));
  const VF p67 = hn::MulAdd(y, Const(0.0005094337822113741), Const(-0.004169126892387026));
  const VF p47 = hn::MulAdd(p67, y2, p45);
  const VF p48 = hn::MulAdd(y4, Const(0.0004433654702003682), p47);
  return hn::MulAdd(p48, y4, hn::MulAdd(p23, y2, p01));
}

/// The normal distribution below -a: Phi(-a) = e * ratio with e = exp(-a^2 / 2). From 13.27, which
/// a may not exceed, e is 0.
struct Tail {
  VF e, ratio;
};
HWY_INLINE Tail NormalTail(VF a) {
  const VF square = hn::Mul(a, a);
  const VF half = Const(0.5);
  const VF e = ExpMinus(hn::Mul(square, half), hn::Mul(SquareLow(a, square), half));
  const VF q = hn::Div(Const(1), hn::Add(a, Const(3.75)));
  return {e, hn::Mul(TailPoly(hn::Mul(hn::Sub(a, Const(3.75)), q)), q)};
}

/// x * Phi(x); on the negative side through the tail Phi(-|x|), so that nothing cancels.
HWY_INLINE VF Gelu(VF x) {
  const Tail t = NormalTail(hn::Min(hn::Abs(x), Const(13.27)));
  const VF tail = hn::Mul(t.e, t.ratio);
  return hn::Mul(x, hn::IfNegativeThenElse(x, tail, hn::Sub(Const(1), tail)));
}
/// Phi(x) + x phi(x); at -a that is Phi(-a) - a phi(a).
HWY_INLINE VF GeluSlope(VF x) {
  const VF a = hn::Min(hn::Abs(x), Const(13.27));
  const Tail t = NormalTail(a);
  return SlopeFromNegative(x, hn::Mul(t.e, hn::NegMulAdd(a, Const(0.3989422804014327), t.ratio)));
}

/// GELU's tanh form is x sigmoid(u(x)) with u = 2 sqrt(2/pi) (x + 0.044715 x^3): exp(-u(a)) for a
/// in [0, 12], beyond which it is 0.
HWY_INLINE VF ExpMinusCubic(VF a) {
  const VF inner = hn::MulAdd(hn::Mul(hn::Mul(a, a), a), Const(0.044715), a);
  return ExpMinus(hn::Min(hn::Mul(inner, Const(1.5957691216057308)), Const(88.1)), hn::Zero(DF()));
}
HWY_INLINE VF GeluTanh(VF x) {
  const VF e = ExpMinusCubic(hn::Min(hn::Abs(x), Const(12)));
  return hn::Div(hn::Mul(x, hn::IfNegativeThenElse(x, e, Const(1))), hn::Add(Const(1), e));
}
HWY_INLINE VF GeluTanhSlope(VF x) {
  const VF a = hn::Min(hn::Abs(x), Const(12));
  // a u'(a), the first coefficient being 2 sqrt(2/pi), the second 3 * 0.044715 times it.
  const VF cube = hn::Mul(hn::Mul(a, a), a);
  const VF v = hn::MulAdd(cube, Const(0.21406444881780074), hn::Mul(a, Const(1.5957691216057308)));
  return SlopeFromNegative(x, LogisticSlope(ExpMinusCubic(a), v));
}

/// Larger and smaller value; NaN wins, as in PyTorch.
HWY_INLINE VF Maximum(VF a, VF b) { return KeepNan(a, KeepNan(b, hn::Max(a, b))); }
HWY_INLINE VF Minimum(VF a, VF b) { return KeepNan(a, KeepNan(b, hn::Min(a, b))); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#endif  // DS_CPU_KERNELS_MATH_INL_H_
