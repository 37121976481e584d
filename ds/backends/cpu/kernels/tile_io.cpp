// SPDX-License-Identifier: Apache-2.0
// Loads of any dtype into f32 tiles and stores back.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/tile_io.cpp"
#include <hwy/foreach_target.h>

#include <type_traits>

#include "ds/backends/cpu/kernels/simd-inl.h"
#include "ds/backends/cpu/kernels/tile.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

using DU8 = hn::Rebind<uint8_t, DF>;

/// Bytes to f32; with `truth` to 0 or 1.
HWY_INLINE void LoadBytes(const uint8_t* src, float* out, size_t n, bool truth) {
  const size_t lanes = hn::Lanes(DF());
  const VF cap = hn::Set(DF(), truth ? 1.0f : 255.0f);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI wide = hn::PromoteTo(DI(), hn::LoadU(DU8(), src + i));
    StoreVec(hn::Min(hn::ConvertTo(DF(), wide), cap), out + i);
  }
  for (; i < n; ++i) out[i] = truth ? (src[i] != 0) : src[i];
}

HWY_INLINE void StoreBools(const float* src, uint8_t* dst, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  const VI one = hn::Set(DI(), 1);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const MF zero = hn::Eq(LoadVec(src + i), hn::Zero(DF()));
    const VI bits = hn::IfThenZeroElse(hn::RebindMask(DI(), zero), one);
    hn::StoreU(hn::DemoteTo(DU8(), bits), DU8(), dst + i);
  }
  for (; i < n; ++i) dst[i] = src[i] != 0;
}

inline int64_t ToInteger(float v) {
  if (v >= 0x1p63f) return INT64_MAX;
  if (v < -0x1p63f) return INT64_MIN;
  return v == v ? static_cast<int64_t>(v) : 0;
}

HWY_INLINE void Fill(float value, float* out, size_t n) {
  const VF v = hn::Set(DF(), value);
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreVec(v, out + i);
  for (; i < n; ++i) out[i] = value;
}

template <class T>
void LoadTyped(const void* pointer, int64_t stride, float* out, size_t n) {
  const T* src = static_cast<const T*>(pointer);
  if (stride == 0) {
    Fill(static_cast<float>(src[0]), out, n);
  } else if (stride != 1) {
    for (size_t i = 0; i < n; ++i) {
      out[i] = static_cast<float>(src[static_cast<int64_t>(i) * stride]);
    }
  } else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, f16> ||
                       std::is_same_v<T, bf16>) {
    ToFloat(src, out, n);
  } else if constexpr (std::is_same_v<T, uint8_t>) {
    LoadBytes(src, out, n, /*truth=*/false);
  } else {
    for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(src[i]);
  }
}

/// Bytes other than 0 and 1 are no bool for the compiler, so a bool is read as a byte.
void LoadBool(const void* pointer, int64_t stride, float* out, size_t n) {
  const uint8_t* src = static_cast<const uint8_t*>(pointer);
  if (stride == 1) return LoadBytes(src, out, n, /*truth=*/true);
  if (stride == 0) return Fill(src[0] != 0, out, n);
  for (size_t i = 0; i < n; ++i) out[i] = src[static_cast<int64_t>(i) * stride] != 0;
}

/// Floats as integers by way of i32, as far as they are below 2^31 in magnitude, whole vectors at a
/// time; returns how far.
template <class T>
HWY_INLINE size_t StoreIntegers(const float* src, T* dst, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  const VF limit = hn::Set(DF(), 0x1p31f);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF v = LoadVec(src + i);
    if (!hn::AllTrue(DF(), hn::Lt(hn::Abs(v), limit))) break;
    int32_t numbers[kMaxLanes];
    hn::StoreU(hn::ConvertTo(DI(), v), DI(), numbers);
    for (size_t k = 0; k < lanes; ++k) dst[i + k] = static_cast<T>(numbers[k]);
  }
  return i;
}

template <class T>
void StoreTyped(const float* src, void* pointer, int64_t stride, size_t n) {
  T* dst = static_cast<T*>(pointer);
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    if (stride == 1) return FromFloat(src, dst, n);
  }
  size_t i = 0;
  if constexpr (std::is_same_v<T, double>) {
    if (stride == 1)
      for (; i < n; ++i) dst[i] = src[i];
  } else if constexpr (std::is_integral_v<T>) {
    if (stride == 1) i = StoreIntegers(src, dst, n);
  }
  for (; i < n; ++i) {
    T& to = dst[static_cast<int64_t>(i) * stride];
    if constexpr (std::is_integral_v<T>) {
      to = static_cast<T>(ToInteger(src[i]));
    } else {
      to = static_cast<T>(src[i]);
    }
  }
}

void StoreBool(const float* src, void* pointer, int64_t stride, size_t n) {
  uint8_t* dst = static_cast<uint8_t*>(pointer);
  if (stride == 1) return StoreBools(src, dst, n);
  for (size_t i = 0; i < n; ++i) dst[static_cast<int64_t>(i) * stride] = src[i] != 0;
}

void TileLoad(DType dtype, const void* src, int64_t stride, float* out, size_t n) {
  if (n == 0) return;
  switch (dtype) {
    case DType::f64: return LoadTyped<double>(src, stride, out, n);
    case DType::f32: return LoadTyped<float>(src, stride, out, n);
    case DType::f16: return LoadTyped<f16>(src, stride, out, n);
    case DType::bf16: return LoadTyped<bf16>(src, stride, out, n);
    case DType::i64: return LoadTyped<int64_t>(src, stride, out, n);
    case DType::i32: return LoadTyped<int32_t>(src, stride, out, n);
    case DType::i16: return LoadTyped<int16_t>(src, stride, out, n);
    case DType::i8: return LoadTyped<int8_t>(src, stride, out, n);
    case DType::u8: return LoadTyped<uint8_t>(src, stride, out, n);
    case DType::bool_: return LoadBool(src, stride, out, n);
  }
}

void TileStore(DType dtype, const float* src, void* dst, int64_t stride, size_t n) {
  switch (dtype) {
    case DType::f64: return StoreTyped<double>(src, dst, stride, n);
    case DType::f32: return StoreTyped<float>(src, dst, stride, n);
    case DType::f16: return StoreTyped<f16>(src, dst, stride, n);
    case DType::bf16: return StoreTyped<bf16>(src, dst, stride, n);
    case DType::i64: return StoreTyped<int64_t>(src, dst, stride, n);
    case DType::i32: return StoreTyped<int32_t>(src, dst, stride, n);
    case DType::i16: return StoreTyped<int16_t>(src, dst, stride, n);
    case DType::i8: return StoreTyped<int8_t>(src, dst, stride, n);
    case DType::u8: return StoreTyped<uint8_t>(src, dst, stride, n);
    case DType::bool_: return StoreBool(src, dst, stride, n);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(TileLoad);
HWY_EXPORT(TileStore);

void tile_load(DType dtype, const void* src, int64_t stride, float* out, size_t n) {
  HWY_DYNAMIC_DISPATCH(TileLoad)(dtype, src, stride, out, n);
}
void tile_store(DType dtype, const float* src, void* dst, int64_t stride, size_t n) {
  HWY_DYNAMIC_DISPATCH(TileStore)(dtype, src, dst, stride, n);
}
}  // namespace ds::cpu
#endif
