// SPDX-License-Identifier: Apache-2.0
// The binary and ternary tile kernels, and the table of all of them.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/tile_binary.cpp"
#include <hwy/foreach_target.h>

#include "ds/backends/cpu/kernels/math-inl.h"
#include "ds/backends/cpu/kernels/tile.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

template <class F>
HWY_INLINE void MapBinary(const float* a, const float* b, float* out, size_t n, unsigned splat,
                          F f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  if (splat & 3u) {
    // A splat operand is read from its start each time: one more register would need one loop per
    // combination.
    const size_t step_a = splat & 1u ? 0 : 1, step_b = splat & 2u ? 0 : 1;
    for (; i + lanes <= n; i += lanes) {
      StoreVec(f(LoadVec(a + i * step_a), LoadVec(b + i * step_b)), out + i);
    }
    a += i * step_a;
    b += i * step_b;
  } else {
    for (; i + lanes <= n; i += lanes) StoreVec(f(LoadVec(a + i), LoadVec(b + i)), out + i);
    a += i;
    b += i;
  }
  if (i < n) StorePart(f(LoadPart(a, n - i), LoadPart(b, n - i)), out + i, n - i);
}

template <class F>
HWY_INLINE void MapTernary(const float* a, const float* b, const float* c, float* out, size_t n,
                           unsigned splat, F f) {
  const size_t lanes = hn::Lanes(DF());
  const size_t step_a = splat & 1u ? 0 : 1, step_b = splat & 2u ? 0 : 1;
  const size_t step_c = splat & 4u ? 0 : 1;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreVec(f(LoadVec(a + i * step_a), LoadVec(b + i * step_b), LoadVec(c + i * step_c)), out + i);
  }
  if (i == n) return;
  StorePart(f(LoadPart(a + i * step_a, n - i), LoadPart(b + i * step_b, n - i),
              LoadPart(c + i * step_c, n - i)),
            out + i, n - i);
}

/// |x|^y through f64 logarithm and exponential: right to the last f32 bit but for rare ties.
HWY_INLINE VF PowMagnitude(VF x, VF y) {
  using DD = hn::ScalableTag<double>;
  using DH = hn::Rebind<float, DD>;
  const DD dd;
  float xs[kMaxLanes], ys[kMaxLanes];
  StoreVec(hn::Abs(x), xs);
  StoreVec(y, ys);
  for (size_t i = 0; i < hn::Lanes(DF()); i += hn::Lanes(dd)) {
    const auto log_x = hn::Log(dd, hn::PromoteTo(dd, hn::LoadU(DH(), xs + i)));
    auto e = hn::Mul(log_x, hn::PromoteTo(dd, hn::LoadU(DH(), ys + i)));
    e = hn::Min(hn::Max(e, hn::Set(dd, -200.0)), hn::Set(dd, 200.0));
    hn::StoreU(hn::DemoteTo(DH(), hn::Exp(dd, e)), DH(), xs + i);
  }
  return LoadVec(xs);
}

HWY_INLINE VF Pow(VF x, VF y) {
  const DF d;
  const MF ordinary = hn::And(hn::And(hn::IsFinite(x), hn::IsFinite(y)),
                              hn::And(hn::Not(IsZero(x)), hn::Not(IsZero(y))));
  // The one-lane target's conversion to f32 saturates instead of overflowing to infinity.
  if (HWY_TARGET == HWY_SCALAR || !hn::AllTrue(d, ordinary)) {
    return PerLane([](float p, float q) { return std::pow(p, q); }, x, y);
  }
  const VF magnitude = PowMagnitude(x, y);
  const MF integer = hn::Eq(hn::Round(y), y);
  const VF half = hn::Mul(y, Const(0.5));
  const MF odd = hn::And(integer, hn::Ne(hn::Round(half), half));
  const VF negative = hn::IfThenElse(odd, hn::Neg(magnitude), magnitude);
  const VF for_negative = hn::IfThenElse(integer, negative, Nan());
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), for_negative, magnitude);
}

/// Remainder with the sign of the divisor.
inline float RemainderScalar(float a, float b) {
  const float r = std::fmod(a, b);
  return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}

/// floor(a / b) from the exact remainder, as Python and PyTorch define it.
inline float FloorDivideScalar(float a, float b) {
  if (b == 0) return a / b;
  const float r = std::fmod(a, b);
  float q = (a - r) / b;
  if (r != 0 && ((b < 0) != (r < 0))) q -= 1;
  if (q == 0) return std::copysign(0.0f, a / b);
  const float floor = std::floor(q);
  return q - floor > 0.5f ? floor + 1 : floor;
}

#define DS_BINARY(name, expression)                                                      \
  void Tile_##name(const float* pa, const float* pb, const float*, float* out, size_t n, \
                   unsigned splat) {                                                     \
    MapBinary(pa, pb, out, n, splat, [](VF a, VF b) HWY_ATTR { return expression; });    \
  }

DS_BINARY(add, hn::Add(a, b))
DS_BINARY(sub, hn::Sub(a, b))
DS_BINARY(mul, hn::Mul(a, b))
DS_BINARY(div, hn::Div(a, b))
DS_BINARY(pow, Pow(a, b))
DS_BINARY(maximum, Maximum(a, b))
DS_BINARY(minimum, Minimum(a, b))
DS_BINARY(fmod, PerLane([](float x, float y) { return std::fmod(x, y); }, a, b))
DS_BINARY(remainder, PerLane(RemainderScalar, a, b))
DS_BINARY(floor_divide, PerLane(FloorDivideScalar, a, b))
DS_BINARY(trunc_divide, hn::Trunc(hn::Div(a, b)))
DS_BINARY(atan2, PerLane([](float x, float y) { return std::atan2(x, y); }, a, b))
DS_BINARY(copysign, hn::CopySign(a, b))
DS_BINARY(nextafter, PerLane([](float x, float y) { return std::nextafter(x, y); }, a, b))
DS_BINARY(eq, Bool(hn::Eq(a, b)))
DS_BINARY(ne, hn::IfThenZeroElse(hn::Eq(a, b), Const(1)))
DS_BINARY(lt, Bool(hn::Lt(a, b)))
DS_BINARY(le, Bool(hn::Le(a, b)))
DS_BINARY(gt, Bool(hn::Lt(b, a)))
DS_BINARY(ge, Bool(hn::Le(b, a)))
DS_BINARY(logical_and, hn::IfThenZeroElse(hn::Or(IsZero(a), IsZero(b)), Const(1)))
DS_BINARY(logical_or, hn::IfThenZeroElse(hn::And(IsZero(a), IsZero(b)), Const(1)))
DS_BINARY(logical_xor, Bool(hn::Xor(IsZero(a), IsZero(b))))
#undef DS_BINARY

#define DS_TERNARY(name, expression)                                                             \
  void Tile_##name(const float* pa, const float* pb, const float* pc, float* out, size_t n,      \
                   unsigned splat) {                                                             \
    MapTernary(pa, pb, pc, out, n, splat, [](VF a, VF b, VF c) HWY_ATTR { return expression; }); \
  }

DS_TERNARY(where, hn::IfThenElse(IsZero(a), c, b))
DS_TERNARY(fma, hn::MulAdd(a, b, c))
DS_TERNARY(clamp, Minimum(Maximum(a, b), c))
#undef DS_TERNARY

TileFn MultiKernel(int index) {
#define DS_ENTRY(name) Tile_##name,
  static constexpr TileFn kKernels[] = {DS_TILE_BINARY_OPS(DS_ENTRY) DS_TILE_TERNARY_OPS(DS_ENTRY)};
#undef DS_ENTRY
  return kKernels[index];
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(MultiKernel);

TileFn unary_tile_fn(int index);  // tile_unary.cpp

int tile_arity(TileOp op) {
  const int index = static_cast<int>(op);
  return index < kTileUnaryOps ? 1 : index < kTileUnaryOps + kTileBinaryOps ? 2 : 3;
}

std::string_view tile_name(TileOp op) {
#define DS_NAME(name) #name,
  static constexpr std::string_view kNames[] = {
      DS_TILE_UNARY_OPS(DS_NAME) DS_TILE_BINARY_OPS(DS_NAME) DS_TILE_TERNARY_OPS(DS_NAME)};
#undef DS_NAME
  return kNames[static_cast<int>(op)];
}

TileFn tile_fn(TileOp op) {
  const int index = static_cast<int>(op);
  return index < kTileUnaryOps ? unary_tile_fn(index)
                               : HWY_DYNAMIC_DISPATCH(MultiKernel)(index - kTileUnaryOps);
}

void tile_unary(TileOp op, const float* a, float* out, size_t n) {
  tile_fn(op)(a, nullptr, nullptr, out, n, 0);
}
void tile_binary(TileOp op, const float* a, const float* b, float* out, size_t n) {
  tile_fn(op)(a, b, nullptr, out, n, 0);
}
void tile_ternary(TileOp op, const float* a, const float* b, const float* c, float* out, size_t n) {
  tile_fn(op)(a, b, c, out, n, 0);
}

}  // namespace ds::cpu
#endif
