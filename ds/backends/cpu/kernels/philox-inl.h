// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 on as many blocks at once as a vector has 64-bit lanes. Words stay in the low
// halves of their lanes, where the wide products of the next round find them: nothing is shuffled
// between rounds. Re-included per target.

#if defined(DS_CPU_KERNELS_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DS_CPU_KERNELS_PHILOX_INL_H_
#undef DS_CPU_KERNELS_PHILOX_INL_H_
#else
#define DS_CPU_KERNELS_PHILOX_INL_H_
#endif

#include "ds/backends/cpu/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

using DU64 = hn::ScalableTag<uint64_t>;
using VU64 = hn::Vec<DU64>;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE VU64 MulLowHalves(VU64 a, VU64 b) {
  const VU64 low = hn::Set(DU64(), 0xffffffffu);
  return hn::Mul(hn::And(a, low), hn::And(b, low));
}
HWY_INLINE VU64 Xor3(VU64 a, VU64 b, VU64 c) { return hn::Xor(hn::Xor(a, b), c); }
#else
/// The product of the low halves of each lane.
HWY_INLINE VU64 MulLowHalves(VU64 a, VU64 b) {
  return hn::MulEven(hn::BitCast(DU(), a), hn::BitCast(DU(), b));
}
HWY_INLINE VU64 Xor3(VU64 a, VU64 b, VU64 c) { return hn::Xor3(a, b, c); }
#endif

/// Vectors of blocks whose rounds are interleaved, as the products of one wait for each other.
inline constexpr size_t kPhiloxVectors = 2;

/// The state of kPhiloxVectors vectors of blocks.
struct PhiloxState {
  VU64 c[4][kPhiloxVectors];
};

/// s.c[0] holds the numbers of blocks; in the end the low halves of s.c[w] are word w of each.
HWY_INLINE void PhiloxRounds(uint64_t key, uint64_t call, PhiloxState& s) {
  const DU64 d;
#pragma GCC unroll 2
  for (size_t i = 0; i < kPhiloxVectors; ++i) {
    s.c[1][i] = hn::ShiftRight<32>(s.c[0][i]);
    s.c[2][i] = hn::Set(d, call);
    s.c[3][i] = hn::Set(d, call >> 32);
  }
  VU64 k0 = hn::Set(d, key), k1 = hn::Set(d, key >> 32);
  const VU64 m0 = hn::Set(d, 0xD2511F53u), m1 = hn::Set(d, 0xCD9E8D57u);
  const VU64 step0 = hn::Set(d, 0x9E3779B9u), step1 = hn::Set(d, 0xBB67AE85u);
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 2
    for (size_t i = 0; i < kPhiloxVectors; ++i) {
      const VU64 p0 = MulLowHalves(s.c[0][i], m0), p1 = MulLowHalves(s.c[2][i], m1);
      s.c[0][i] = Xor3(hn::ShiftRight<32>(p1), s.c[1][i], k0);
      s.c[2][i] = Xor3(hn::ShiftRight<32>(p0), s.c[3][i], k1);
      s.c[1][i] = p1;
      s.c[3][i] = p0;
    }
    k0 = hn::Add(k0, step0);
    k1 = hn::Add(k1, step1);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#endif  // DS_CPU_KERNELS_PHILOX_INL_H_
