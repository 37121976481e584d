// SPDX-License-Identifier: Apache-2.0
// Per-target building blocks of every kernel: loads and stores of f32, f16 and bf16 as f32
// vectors, partial vectors at the end of a range, and loops over ranges. Re-included per target.

#if defined(DS_CPU_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DS_CPU_KERNELS_SIMD_INL_H_
#undef DS_CPU_KERNELS_SIMD_INL_H_
#else
#define DS_CPU_KERNELS_SIMD_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ds/backends/cpu/kernels/tile.h"
#include "ds/ir/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DU16 = hn::Rebind<uint16_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
using MF = hn::Mask<DF>;

inline constexpr size_t kMaxLanes = hn::MaxLanes(DF());
static_assert(kMaxLanes <= 16, "splat operands hold 16 copies");

// --- 16-bit formats ------------------------------------------------------------------------------
// Highway's own bf16 demotion truncates, and its emulated f16 flushes subnormals.

HWY_INLINE VF FromBf16(hn::Vec<DU16> bits) {
  return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(DU(), bits)));
}

HWY_INLINE hn::Vec<DU16> ToBf16(VF v) {
  const DU du;
  const VU u = hn::BitCast(du, v);
  const VU odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1u));
  const VU rounded = hn::ShiftRight<16>(hn::Add(u, hn::Add(hn::Set(du, 0x7fffu), odd)));
  const VU nan = hn::Or(hn::ShiftRight<16>(u), hn::Set(du, 0x40u));
  const VU bits = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), nan, rounded);
  return hn::DemoteTo(DU16(), hn::BitCast(DI(), bits));
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || (HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64)
using DF16 = hn::Rebind<hwy::float16_t, DF>;
HWY_INLINE VF FromF16(hn::Vec<DU16> bits) { return hn::PromoteTo(DF(), hn::BitCast(DF16(), bits)); }
HWY_INLINE hn::Vec<DU16> ToF16(VF v) { return hn::BitCast(DU16(), hn::DemoteTo(DF16(), v)); }
#else
HWY_INLINE VF FromF16(hn::Vec<DU16> bits) {
  const DF d;
  const DU du;
  const VU wide = hn::PromoteTo(du, bits);
  const VU sign = hn::ShiftLeft<16>(hn::And(wide, hn::Set(du, 0x8000u)));
  const VU magnitude = hn::ShiftLeft<13>(hn::And(wide, hn::Set(du, 0x7fffu)));
  // Rebiasing by a multiplication makes subnormals right too: 2^112 = 2^(127-15).
  const VF scaled = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
  const VU special = hn::Or(magnitude, hn::Set(du, 0x7f800000u));
  const auto is_special = hn::Gt(hn::BitCast(DI(), magnitude), hn::Set(DI(), 0x0f7fffff));
  const VF value = hn::IfThenElse(hn::RebindMask(d, is_special), hn::BitCast(d, special), scaled);
  return hn::Or(value, hn::BitCast(d, sign));
}
HWY_INLINE hn::Vec<DU16> ToF16(VF v) {
  const DF d;
  const DI di;
  const VI bits = hn::BitCast(di, v);
  const VI magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
  const VI sign = hn::BitCast(
      di, hn::ShiftRight<16>(hn::And(hn::BitCast(DU(), bits), hn::Set(DU(), 0x80000000u))));
  const VI odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 1));
  VI h = hn::ShiftRight<13>(hn::Add(hn::Sub(magnitude, hn::Set(di, 0x38000000 - 0xfff)), odd));
  // Adding 0.5 leaves a subnormal's bits, correctly rounded, at the end of the significand.
  const VI small = hn::Sub(hn::BitCast(di, hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f))),
                           hn::Set(di, 0x3f000000));
  h = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x38800000)), small, h);
  h = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x477fefff)), hn::Set(di, 0x7c00), h);
  const VI payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 0x1ff));
  h = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)),
                     hn::Or(payload, hn::Set(di, 0x7e00)), h);
  return hn::DemoteTo(DU16(), hn::Or(h, sign));
}
#endif

// --- whole and partial vectors -------------------------------------------------------------------

HWY_INLINE VF LoadVec(const float* p) { return hn::LoadU(DF(), p); }
HWY_INLINE VF LoadVec(const bf16* p) {
  return FromBf16(hn::LoadU(DU16(), reinterpret_cast<const uint16_t*>(p)));
}
HWY_INLINE VF LoadVec(const f16* p) {
  return FromF16(hn::LoadU(DU16(), reinterpret_cast<const uint16_t*>(p)));
}
HWY_INLINE void StoreVec(VF v, float* p) { hn::StoreU(v, DF(), p); }
HWY_INLINE void StoreVec(VF v, bf16* p) {
  hn::StoreU(ToBf16(v), DU16(), reinterpret_cast<uint16_t*>(p));
}
HWY_INLINE void StoreVec(VF v, f16* p) {
  hn::StoreU(ToF16(v), DU16(), reinterpret_cast<uint16_t*>(p));
}

/// The first `count` (< Lanes) elements of p, the other lanes zero; reads nothing beyond them.
/// Without masks for 16 bits they go through a buffer, which costs some tens of cycles.
#if HWY_TARGET <= HWY_AVX3
HWY_INLINE VF LoadPart(const float* p, size_t count) {
  return hn::MaskedLoad(hn::FirstN(DF(), count), DF(), p);
}
HWY_INLINE hn::Vec<DU16> LoadPart16(const void* p, size_t count) {
  return hn::MaskedLoad(hn::FirstN(DU16(), count), DU16(), static_cast<const uint16_t*>(p));
}
HWY_INLINE VF LoadPart(const bf16* p, size_t count) { return FromBf16(LoadPart16(p, count)); }
HWY_INLINE VF LoadPart(const f16* p, size_t count) { return FromF16(LoadPart16(p, count)); }
HWY_INLINE void StorePart(VF v, float* p, size_t count) {
  hn::BlendedStore(v, hn::FirstN(DF(), count), DF(), p);
}
HWY_INLINE void StorePart16(hn::Vec<DU16> v, void* p, size_t count) {
  hn::BlendedStore(v, hn::FirstN(DU16(), count), DU16(), static_cast<uint16_t*>(p));
}
HWY_INLINE void StorePart(VF v, bf16* p, size_t count) { StorePart16(ToBf16(v), p, count); }
HWY_INLINE void StorePart(VF v, f16* p, size_t count) { StorePart16(ToF16(v), p, count); }
#else
template <class T>
HWY_INLINE VF LoadPart(const T* p, size_t count) {
  T buffer[kMaxLanes] = {};
  std::memcpy(static_cast<void*>(buffer), p, count * sizeof(T));
  return LoadVec(buffer);
}
template <class T>
HWY_INLINE void StorePart(VF v, T* p, size_t count) {
  T buffer[kMaxLanes];
  StoreVec(v, buffer);
  std::memcpy(static_cast<void*>(p), buffer, count * sizeof(T));
}
#endif

/// Contiguous conversion to f32 and back.
template <class T>
HWY_INLINE void ToFloat(const T* src, float* dst, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreVec(LoadVec(src + i), dst + i);
  if (i < n) StorePart(LoadPart(src + i, n - i), dst + i, n - i);
}
template <class T>
HWY_INLINE void FromFloat(const float* src, T* dst, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreVec(LoadVec(src + i), dst + i);
  if (i < n) StorePart(LoadPart(src + i, n - i), dst + i, n - i);
}

/// n contiguous elements from `offset` on as f32: the memory itself, or converted into `buffer`.
HWY_INLINE const float* AsFloats(DType dtype, const void* base, int64_t offset, size_t n,
                                 float* buffer) {
  if (dtype == DType::f32) return static_cast<const float*>(base) + offset;
  const char* src =
      static_cast<const char*>(base) + offset * static_cast<int64_t>(dtype_size(dtype));
  if (dtype == DType::bf16) {
    ToFloat(reinterpret_cast<const bf16*>(src), buffer, n);
  } else {
    tile_load(dtype, src, 1, buffer, n);
  }
  return buffer;
}
/// Where to write n f32 results for `offset`: the f32 memory itself, or `buffer`, which PutFloats
/// then converts.
HWY_INLINE float* FloatTarget(DType dtype, void* base, int64_t offset, float* buffer) {
  return dtype == DType::f32 ? static_cast<float*>(base) + offset : buffer;
}
HWY_INLINE void PutFloats(DType dtype, const float* src, void* base, int64_t offset, size_t n) {
  if (dtype == DType::f32) return;
  char* dst = static_cast<char*>(base) + offset * static_cast<int64_t>(dtype_size(dtype));
  if (dtype == DType::bf16) {
    FromFloat(src, reinterpret_cast<bf16*>(dst), n);
  } else {
    tile_store(dtype, src, dst, 1, n);
  }
}

/// A vector's worth of positions in a row: `Whole` lanes from i on, or only the first `count`.
struct Whole {
  size_t i;
  template <class T>
  HWY_INLINE VF Load(const T* p) const {
    return LoadVec(p + i);
  }
  HWY_INLINE void Store(VF v, float* p) const { StoreVec(v, p + i); }
};
struct Part {
  size_t i, count;
  template <class T>
  HWY_INLINE VF Load(const T* p) const {  ///< zero-filled
    return LoadPart(p + i, count);
  }
  HWY_INLINE void Store(VF v, float* p) const { StorePart(v, p + i, count); }
};
/// f(Whole or Part) over [0, n).
template <class F>
HWY_INLINE void ForVec(size_t n, F f) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) f(Whole{i});
  if (i < n) f(Part{i, n - i});
}

/// combine over map(x[i]) in four independent accumulators.
template <class Map, class Combine>
HWY_INLINE VF Accumulate(const float* x, size_t n, VF identity, Map map, Combine combine) {
  const size_t lanes = hn::Lanes(DF());
  VF a0 = identity, a1 = identity, a2 = identity, a3 = identity;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a0 = combine(a0, map(LoadVec(x + i)));
    a1 = combine(a1, map(LoadVec(x + i + lanes)));
    a2 = combine(a2, map(LoadVec(x + i + 2 * lanes)));
    a3 = combine(a3, map(LoadVec(x + i + 3 * lanes)));
  }
  for (; i + lanes <= n; i += lanes) a0 = combine(a0, map(LoadVec(x + i)));
  if (i < n) {
    const VF part = map(LoadPart(x + i, n - i));
    a1 = combine(a1, hn::IfThenElse(hn::FirstN(DF(), n - i), part, identity));
  }
  return combine(combine(a0, a1), combine(a2, a3));
}

/// Sum of all lanes as a scalar.
HWY_INLINE float SumLanes(VF v) { return hn::GetLane(hn::SumOfLanes(DF(), v)); }
HWY_INLINE float MaxLanesOf(VF v) { return hn::GetLane(hn::MaxOfLanes(DF(), v)); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#endif  // DS_CPU_KERNELS_SIMD_INL_H_
