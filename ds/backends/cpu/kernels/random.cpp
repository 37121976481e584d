// SPDX-License-Identifier: Apache-2.0
// The words of Philox in order, and what is made of them.
#include "ds/backends/cpu/kernels/random.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/random.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "ds/backends/cpu/kernels/math-inl.h"
#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/backends/cpu/kernels/philox-inl.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Blocks of a PhiloxState at most.
inline constexpr size_t kMaxBlocks = kPhiloxVectors * hn::MaxLanes(DU64());

/// The low half of `first` and, above it, that of `second`.
HWY_INLINE VU64 JoinHalves(VU64 first, VU64 second) {
  return hn::Or(hn::And(first, hn::Set(DU64(), 0xffffffffu)), hn::ShiftLeft<32>(second));
}

/// kPhiloxVectors vectors of blocks, whose numbers are in s.c[0]: their words in order.
HWY_INLINE void PhiloxBlocks(uint64_t key, uint64_t call, PhiloxState& s, uint32_t* out) {
  PhiloxRounds(key, call, s);
#pragma GCC unroll 2
  for (size_t i = 0; i < kPhiloxVectors; ++i, out += 4 * hn::Lanes(DU64()))
    hn::StoreInterleaved2(JoinHalves(s.c[0][i], s.c[1][i]), JoinHalves(s.c[2][i], s.c[3][i]),
                          DU64(), reinterpret_cast<uint64_t*>(out));
}

/// out[i] = word begin + i * stride of the stream.
void PhiloxStrided(uint64_t key, uint64_t call, int64_t begin, int64_t stride, uint32_t* out,
                   size_t n) {
  const DU64 d;
  const size_t lanes = kPhiloxVectors * hn::Lanes(d);
  uint64_t blocks[kMaxBlocks] = {};
  uint32_t words[4 * kMaxBlocks];
  for (size_t i = 0; i < n; i += lanes) {
    const size_t count = std::min(lanes, n - i);
    const auto word = [&](size_t k) {
      return static_cast<uint64_t>(begin + static_cast<int64_t>(i + k) * stride);
    };
    for (size_t k = 0; k < count; ++k) blocks[k] = word(k) / 4;
    PhiloxState s;
#pragma GCC unroll 2
    for (size_t v = 0; v < kPhiloxVectors; ++v) s.c[0][v] = hn::LoadU(d, blocks + v * hn::Lanes(d));
    PhiloxBlocks(key, call, s, words);
    for (size_t k = 0; k < count; ++k) out[i + k] = words[4 * k + word(k) % 4];
  }
}

void PhiloxWords(uint64_t key, uint64_t call, uint64_t begin, uint32_t* out, size_t n) {
  const DU64 d;
  const size_t batch = 4 * kPhiloxVectors * hn::Lanes(d);
  uint32_t buffer[4 * kMaxBlocks];
  size_t done = 0;
  while (done < n) {
    const uint64_t at = begin + done, block = at / 4;
    const size_t skip = at % 4;
    PhiloxState s;
#pragma GCC unroll 2
    for (size_t v = 0; v < kPhiloxVectors; ++v) s.c[0][v] = hn::Iota(d, block + v * hn::Lanes(d));
    if (skip == 0 && n - done >= batch) {
      PhiloxBlocks(key, call, s, out + done);
      done += batch;
      continue;
    }
    PhiloxBlocks(key, call, s, buffer);
    const size_t count = std::min(n - done, batch - skip);
    std::copy_n(buffer + skip, count, out + done);
    done += count;
  }
}

/// out[i] = word i without its last 8 bits, times 2^-24.
void Uniforms(const uint32_t* words, float* out, size_t n) {
  const DU d;
  const VF scale = Const(0x1p-24);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VU top = hn::ShiftRight<8>(hn::LoadU(d, words + i));
    StoreVec(hn::Mul(hn::ConvertTo(DF(), hn::BitCast(DI(), top)), scale), out + i);
  }
  for (; i < n; ++i) out[i] = philox_uniform_f32(words[i]);
}

void Keep(const uint32_t* words, uint32_t threshold, float* mask, size_t n) {
  const DU d;
  const size_t lanes = hn::Lanes(d);
  const auto limit = hn::Set(DI(), static_cast<int32_t>(threshold));
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI top = hn::BitCast(DI(), hn::ShiftRight<8>(hn::LoadU(d, words + i)));
    StoreVec(hn::IfThenZeroElse(hn::RebindMask(DF(), hn::Lt(top, limit)), Const(1)), mask + i);
  }
  for (; i < n; ++i) mask[i] = words[i] >> 8 >= threshold;
}

/// sin and cos of 2 pi v for v in [0, 1): the nearest quarter turn is taken off exactly.
HWY_INLINE void SinCosTurns(VF v, VF& sine, VF& cosine) {
  const VF quarters = hn::Round(hn::Mul(v, Const(4)));
  const VF rest = hn::NegMulAdd(quarters, Const(0.25), v);
  const VF angle = hn::Mul(rest, Const(6.283185307179586));
  const VF s = Sin(angle), c = Cos(angle);
  const VI q = hn::ConvertTo(DI(), quarters);
  const auto bit = [&](VI x, int32_t mask) HWY_ATTR {
    return hn::RebindMask(DF(), hn::Ne(hn::And(x, hn::Set(DI(), mask)), hn::Zero(DI())));
  };
  const auto swap = bit(q, 1);
  const VF s1 = hn::IfThenElse(swap, c, s), c1 = hn::IfThenElse(swap, s, c);
  sine = hn::IfThenElse(bit(q, 2), hn::Neg(s1), s1);
  cosine = hn::IfThenElse(bit(hn::Add(q, hn::Set(DI(), 1)), 2), hn::Neg(c1), c1);
}

/// Pairs of normals from pairs of words; n is even.
void Normals(const uint32_t* words, float* out, size_t n) {
  const DU d;
  const size_t lanes = hn::Lanes(d);
  uint32_t padded[2 * kMaxLanes] = {};
  float last[2 * kMaxLanes];
  for (size_t i = 0; i < n; i += 2 * lanes) {
    const bool whole = i + 2 * lanes <= n;
    if (!whole) std::copy_n(words + i, n - i, padded);
    VU w0, w1;
    hn::LoadInterleaved2(d, whole ? words + i : padded, w0, w1);
    const auto top = [](VU w) HWY_ATTR {
      return hn::ConvertTo(DF(), hn::BitCast(DI(), hn::ShiftRight<8>(w)));
    };
    const VF scale = Const(0x1p-24);
    const VF u = hn::Mul(hn::Add(top(w0), Const(1)), scale), v = hn::Mul(top(w1), scale);
    const VF radius = hn::Sqrt(hn::Mul(Const(-2), Log(u)));
    VF sine, cosine;
    SinCosTurns(v, sine, cosine);
    hn::StoreInterleaved2(hn::Mul(radius, cosine), hn::Mul(radius, sine), DF(),
                          whole ? out + i : last);
    if (!whole) std::copy_n(last, n - i, out + i);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(PhiloxWords);
HWY_EXPORT(PhiloxStrided);
HWY_EXPORT(Uniforms);
HWY_EXPORT(Keep);
HWY_EXPORT(Normals);
namespace {

constexpr int64_t kTile = 1024;     // words at a time: 4 KiB of the first-level cache
constexpr int64_t kGrainTiles = 8;  // a tile takes about a microsecond

/// Calls f(words, first element, elements) for tiles that cover the elements [0, count), an even
/// number of elements each but the last. `per_element` words make one element.
template <class F>
void for_tiles(const PhiloxStream& stream, int64_t count, int64_t per_element, F f) {
  const int64_t each = kTile / per_element, tiles = (count + each - 1) / each;
  parallel_for(tiles, kGrainTiles, [&](int64_t begin, int64_t end) {
    uint32_t words[kTile + 2];
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * each, n = std::min(each, count - first);
      // A pair of normals needs all its words even where only the first is wanted.
      const int64_t wanted = (n + 1) / 2 * 2 * per_element;
      philox_words(stream, static_cast<uint64_t>(first * per_element), words,
                   static_cast<size_t>(wanted));
      f(words, first, n);
    }
  });
}

uint64_t bits_at(const uint32_t* words, int64_t i) {
  return philox_join(words[2 * i], words[2 * i + 1]);
}

template <class T, class Convert>
void fill_words(const PhiloxStream& stream, void* dst, int64_t count, Convert convert) {
  T* out = static_cast<T*>(dst);
  for_tiles(stream, count, 1, [&](const uint32_t* words, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[first + i] = T(convert(words[i]));
  });
}

/// Halves round the exact value, so they are computed in f64.
template <class T>
void fill_normal_half(const PhiloxStream& stream, void* dst, int64_t count) {
  T* out = static_cast<T*>(dst);
  for_tiles(stream, count, 1, [&](const uint32_t* words, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i += 2) {
      const NormalPair pair = philox_normal_32(words[i], words[i + 1]);
      out[first + i] = rounded<T>(pair.first);
      if (i + 1 < n) out[first + i + 1] = rounded<T>(pair.second);
    }
  });
}

void fill_normal_f64(const PhiloxStream& stream, double* out, int64_t count) {
  for_tiles(stream, count, 2, [&](const uint32_t* words, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i += 2) {
      const NormalPair pair = philox_normal_64(bits_at(words, i), bits_at(words, i + 1));
      out[first + i] = pair.first;
      if (i + 1 < n) out[first + i + 1] = pair.second;
    }
  });
}

}  // namespace

void philox_words(const PhiloxStream& stream, uint64_t begin, uint32_t* out, size_t n) {
  HWY_DYNAMIC_DISPATCH(PhiloxWords)(stream.seed(), stream.call(), begin, out, n);
}

void random_uniform(const PhiloxStream& stream, DType dtype, void* dst, int64_t count) {
  if (dtype == DType::f16) return fill_words<f16>(stream, dst, count, philox_uniform_f16);
  if (dtype == DType::bf16) return fill_words<bf16>(stream, dst, count, philox_uniform_bf16);
  if (dtype == DType::f32) {
    auto* out = static_cast<float*>(dst);
    for_tiles(stream, count, 1, [&](const uint32_t* words, int64_t first, int64_t n) {
      HWY_DYNAMIC_DISPATCH(Uniforms)(words, out + first, static_cast<size_t>(n));
    });
    return;
  }
  DS_ASSERT(dtype == DType::f64, dtype);
  auto* out = static_cast<double*>(dst);
  for_tiles(stream, count, 2, [&](const uint32_t* words, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[first + i] = philox_uniform_f64(bits_at(words, i));
  });
}

void random_normal(const PhiloxStream& stream, DType dtype, void* dst, int64_t count) {
  if (dtype == DType::f16) return fill_normal_half<f16>(stream, dst, count);
  if (dtype == DType::bf16) return fill_normal_half<bf16>(stream, dst, count);
  if (dtype == DType::f64) return fill_normal_f64(stream, static_cast<double*>(dst), count);
  auto* out = static_cast<float*>(dst);
  for_tiles(stream, count, 1, [&](const uint32_t* words, int64_t first, int64_t n) {
    const int64_t even = n / 2 * 2;
    HWY_DYNAMIC_DISPATCH(Normals)(words, out + first, static_cast<size_t>(even));
    if (even == n) return;
    float pair[2];
    HWY_DYNAMIC_DISPATCH(Normals)(words + even, pair, 2);
    out[first + even] = pair[0];
  });
}

void random_bits(const PhiloxStream& stream, int64_t* dst, int64_t count) {
  for_tiles(stream, count, 2, [&](const uint32_t* words, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; ++i) dst[first + i] = philox_bits(bits_at(words, i));
  });
}

void dropout_mask(const PhiloxStream& stream, uint32_t threshold, int64_t begin, int64_t stride,
                  float* mask, size_t n) {
  uint32_t words[kTileSize];
  if (stride == 1) {
    philox_words(stream, static_cast<uint64_t>(begin), words, n);
  } else {
    HWY_DYNAMIC_DISPATCH(PhiloxStrided)
    (stream.seed(), stream.call(), begin, stride, words, n);
  }
  HWY_DYNAMIC_DISPATCH(Keep)(words, threshold, mask, n);
}

}  // namespace ds::cpu
#endif
