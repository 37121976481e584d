// SPDX-License-Identifier: Apache-2.0
// Per-target parts of matrix products: a few rows of sums in registers, and small transposes.

#if defined(DS_CPU_KERNELS_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DS_CPU_KERNELS_PRODUCT_INL_H_
#undef DS_CPU_KERNELS_PRODUCT_INL_H_
#else
#define DS_CPU_KERNELS_PRODUCT_INL_H_
#endif

#include <algorithm>

#include "ds/backends/cpu/kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Columns that a product computes at once.
inline constexpr size_t kStrip = 2 * kMaxLanes;

// --- products of tiles ---------------------------------------------------------------------------

/// How a product adds up: lanes are f32.
struct DotF32 {
  static constexpr size_t kPacked = 1;  // elements along the contraction that a lane holds
  static HWY_INLINE VF MulAdd(VF a, VF b, VF c) { return hn::MulAdd(a, b, c); }
};
#if HWY_TARGET == HWY_AVX3
/// Lanes hold two bf16 that follow each other along the contraction: twice the products of f32 in
/// the same time, where the processor has AVX512_BF16. In assembly, because the flags of this
/// target do not have the instruction; it takes subnormals for zeros.
struct DotBf16 {
  static constexpr size_t kPacked = 2;
  static HWY_INLINE VF MulAdd(VF a, VF b, VF c) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(c.raw) : "v"(a.raw), "v"(b.raw));
    return c;
  }
  static HWY_INLINE hn::Vec<DU16> ToBf16(VF v) {
    hn::Vec<DU16> bits;
    asm("vcvtneps2bf16 %1, %0" : "=v"(bits.raw) : "v"(v.raw));
    return bits;
  }
};
#endif

/// Running sums of M rows by kStrip columns, meant to stay in registers: 6 x 2 of them, two vectors
/// of the right operand and one broadcast fill the 16 registers of AVX2.
template <class Dot, size_t M>
struct Sums {
  Sums<Dot, M - 1> above;
  VF x0, x1;

  HWY_INLINE void Clear() {
    above.Clear();
    x0 = x1 = hn::Zero(DF());
  }
  HWY_INLINE void Load(const float* c, size_t stride) {
    above.Load(c, stride);
    x0 = LoadVec(c + (M - 1) * stride);
    x1 = LoadVec(c + (M - 1) * stride + kMaxLanes);
  }
  HWY_INLINE void Add(const float* c, size_t stride) {
    above.Add(c, stride);
    x0 = hn::Add(x0, LoadVec(c + (M - 1) * stride));
    x1 = hn::Add(x1, LoadVec(c + (M - 1) * stride + kMaxLanes));
  }
  HWY_INLINE void Store(float* c, size_t stride) const {
    above.Store(c, stride);
    StoreVec(x0, c + (M - 1) * stride);
    StoreVec(x1, c + (M - 1) * stride + kMaxLanes);
  }
  HWY_INLINE void MulAdd(const float* a, size_t step, VF b0, VF b1) {
    above.MulAdd(a, step, b0, b1);
    const VF left = hn::Set(DF(), a[(M - 1) * step]);
    x0 = Dot::MulAdd(left, b0, x0);
    x1 = Dot::MulAdd(left, b1, x1);
  }
};
template <class Dot>
struct Sums<Dot, 0> {
  HWY_INLINE void Clear() {}
  HWY_INLINE void Load(const float*, size_t) {}
  HWY_INLINE void Add(const float*, size_t) {}
  HWY_INLINE void Store(float*, size_t) const {}
  HWY_INLINE void MulAdd(const float*, size_t, VF, VF) {}
};

/// The left operand of a product: element (m, k) is at[m * stride + k], or with kAcross
/// at[m + k * stride]. `panels` such matrices, `panel_stride` apart, follow each other along k.
struct Left {
  const float* at;
  size_t stride;
  size_t panels = 1;
  size_t panel_stride = 0;
};
/// A matrix whose rows hold at least kStrip contiguous elements.
struct Right {
  const float* at;
  size_t stride;
};

/// Rows that a product computes at once.
inline constexpr size_t kProductRows = 6;

template <class Dot, size_t M, bool kAcross>
HWY_INLINE void ProductBlock(size_t k, Left a, Right b, float* c, size_t c_stride, bool add) {
  Sums<Dot, M> sums;
  if (add)
    sums.Load(c, c_stride);
  else
    sums.Clear();
  const float* right = b.at;
  for (size_t p = 0; p < a.panels; ++p) {
    const float* left = a.at + p * a.panel_stride;
    for (size_t i = 0; i < k; ++i, right += b.stride) {
      sums.MulAdd(left, kAcross ? 1 : a.stride, LoadVec(right), LoadVec(right + kMaxLanes));
      left += kAcross ? a.stride : 1;
    }
  }
  sums.Store(c, c_stride);
}

/// c [m, kStrip] = a [m, panels * k] b [panels * k, kStrip], added to what c holds when `add`; k
/// counts lanes of Dot.
template <bool kAcross, class Dot = DotF32>
void Product(size_t m, size_t k, Left a, Right b, float* c, size_t c_stride, bool add) {
  size_t i = 0;
  const auto rest = [&] {
    return Left{a.at + i * (kAcross ? 1 : a.stride), a.stride, a.panels, a.panel_stride};
  };
  for (; i + kProductRows <= m; i += kProductRows)
    ProductBlock<Dot, kProductRows, kAcross>(k, rest(), b, c + i * c_stride, c_stride, add);
  c += i * c_stride;
  switch (m - i) {
    case 5: return ProductBlock<Dot, 5, kAcross>(k, rest(), b, c, c_stride, add);
    case 4: return ProductBlock<Dot, 4, kAcross>(k, rest(), b, c, c_stride, add);
    case 3: return ProductBlock<Dot, 3, kAcross>(k, rest(), b, c, c_stride, add);
    case 2: return ProductBlock<Dot, 2, kAcross>(k, rest(), b, c, c_stride, add);
    case 1: return ProductBlock<Dot, 1, kAcross>(k, rest(), b, c, c_stride, add);
    default: return;
  }
}

// --- pairs of bf16 -------------------------------------------------------------------------------

/// A lane whose halves are bf16 that follow each other along a contraction.
HWY_INLINE VF PairVec(hn::Vec<DU16> first, hn::Vec<DU16> second) {
  const VU high = hn::ShiftLeft<16>(hn::PromoteTo(DU(), second));
  return hn::BitCast(DF(), hn::Or(hn::PromoteTo(DU(), first), high));
}

/// rows [depth][kStrip] of f32 as pairs of rows [(depth + 1) / 2][kStrip] in dst, which may be
/// rows.
template <class Dot>
HWY_INLINE void PairStrip(const float* rows, size_t depth, float* dst) {
  for (size_t k = 0; k < depth; k += 2, rows += 2 * kStrip, dst += kStrip)
    for (size_t h = 0; h < kStrip; h += kMaxLanes) {
      const VF second = k + 1 < depth ? LoadVec(rows + kStrip + h) : hn::Zero(DF());
      StoreVec(PairVec(Dot::ToBf16(LoadVec(rows + h)), Dot::ToBf16(second)), dst + h);
    }
}

/// A row of f32 as pairs of elements that follow each other [(depth + 1) / 2], 0 beyond the last.
template <class Dot>
HWY_INLINE void PairAlong(const float* row, size_t depth, float* dst) {
  auto* pairs = reinterpret_cast<uint16_t*>(dst);
  const size_t lanes = hn::Lanes(DF());
  size_t k = 0;
  for (; k + lanes <= depth; k += lanes)
    hn::StoreU(Dot::ToBf16(LoadVec(row + k)), DU16(), pairs + k);
  if (k == depth) return;
  uint16_t rest[kMaxLanes];
  hn::StoreU(Dot::ToBf16(LoadPart(row + k, depth - k)), DU16(), rest);  // 0 beyond the last
  std::memcpy(pairs + k, rest, (depth - k + 1) / 2 * 2 * sizeof(uint16_t));
}

// --- transposes ----------------------------------------------------------------------------------

#if HWY_TARGET == HWY_SCALAR
inline constexpr size_t kTurned = 1;
HWY_INLINE void TransposeBlock(const float* src, size_t, float* dst, size_t) { *dst = *src; }
#else
/// Rows and columns that TransposeBlock turns in registers.
inline constexpr size_t kTurned = 4;
HWY_INLINE void TransposeBlock(const float* src, size_t src_stride, float* dst, size_t dst_stride) {
  const hn::FixedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> pairs;
  const auto a0 = hn::LoadU(d, src), a1 = hn::LoadU(d, src + src_stride);
  const auto a2 = hn::LoadU(d, src + 2 * src_stride), a3 = hn::LoadU(d, src + 3 * src_stride);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, a0, a1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, a2, a3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, a0, a1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, a2, a3));
  const auto put = [d, dst, dst_stride](size_t c, auto v)
                       HWY_ATTR { hn::StoreU(hn::BitCast(d, v), d, dst + c * dst_stride); };
  put(0, hn::InterleaveLower(pairs, low01, low23));
  put(1, hn::InterleaveUpper(pairs, low01, low23));
  put(2, hn::InterleaveLower(pairs, high01, high23));
  put(3, hn::InterleaveUpper(pairs, high01, high23));
}
#endif

/// dst[c][r] = src[r][c] for r < rows, c < cols.
inline void Transpose(const float* src, size_t src_stride, size_t rows, size_t cols, float* dst,
                      size_t dst_stride) {
  for (size_t r = 0; r < rows; r += kTurned)
    for (size_t c = 0; c < cols; c += kTurned) {
      const size_t r_end = std::min(r + kTurned, rows), c_end = std::min(c + kTurned, cols);
      if (r_end - r == kTurned && c_end - c == kTurned) {
        TransposeBlock(src + r * src_stride + c, src_stride, dst + c * dst_stride + r, dst_stride);
        continue;
      }
      for (size_t i = r; i < r_end; ++i)
        for (size_t j = c; j < c_end; ++j) dst[j * dst_stride + i] = src[i * src_stride + j];
    }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#endif
