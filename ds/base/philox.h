// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) and what the
// random ops make of its words. This file is the definition: every backend produces these numbers,
// f32 and f64 normals up to the rounding of its log, sin and cos.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace ds {

using PhiloxBlock = std::array<uint32_t, 4>;

/// The block cipher: ten rounds over a counter under a key.
inline PhiloxBlock philox4x32(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(p0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// The stream of one call of a random op: the key is the seed's low and high word; block b of the
/// call has the counter (b low, b high, call low, call high) where call is the state's counter
/// (state[1]) plus the op's attribute `call`, modulo 2^64.
class PhiloxStream {
 public:
  /// `state` is the rng state i64[2] = seed, counter.
  PhiloxStream(const int64_t* state, int64_t call)
      : seed_(static_cast<uint64_t>(state[0])),
        call_(static_cast<uint64_t>(state[1]) + static_cast<uint64_t>(call)) {}

  uint64_t seed() const { return seed_; }
  uint64_t call() const { return call_; }

  PhiloxBlock block(uint64_t index) const {
    return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                       static_cast<uint32_t>(call_), static_cast<uint32_t>(call_ >> 32)},
                      static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32));
  }

 private:
  uint64_t seed_;
  uint64_t call_;
};

// Elements per block. 32-bit kinds (f32, f16 and bf16 numbers, dropout): element i uses word i % 4
// of block i / 4. 64-bit kinds (f64 numbers, random_bits): element i uses words 2 * (i % 2) (low)
// and 2 * (i % 2) + 1 (high) of block i / 2.
inline constexpr int64_t kPhiloxPerBlock32 = 4;
inline constexpr int64_t kPhiloxPerBlock64 = 2;

/// Two words as one number, `low` first.
inline uint64_t philox_join(uint32_t low, uint32_t high) {
  return static_cast<uint64_t>(high) << 32 | low;
}

// random_uniform: the top bits of the word, as many as the dtype's significand holds, so that no
// number rounds up to 1.
inline float philox_uniform_f32(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
inline float philox_uniform_f16(uint32_t word) { return static_cast<float>(word >> 21) * 0x1p-11f; }
inline float philox_uniform_bf16(uint32_t word) { return static_cast<float>(word >> 24) * 0x1p-8f; }
inline double philox_uniform_f64(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

/// random_bits: the joined words without the last bit.
inline int64_t philox_bits(uint64_t bits) { return static_cast<int64_t>(bits >> 1); }

/// random_normal by Box and Muller from u in (0, 1] and v in [0, 1):
/// first = sqrt(-2 log u) cos(2 pi v), second = sqrt(-2 log u) sin(2 pi v).
struct NormalPair {
  double first;
  double second;
};
inline NormalPair box_muller(double u, double v) {
  const double radius = std::sqrt(-2.0 * std::log(u));
  const double angle = 6.283185307179586476925286766559 * v;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}
/// Elements 2k and 2k+1 of f32, f16 and bf16 from their two words: u = (word0 >> 8 + 1) 2^-24 and
/// v = (word1 >> 8) 2^-24. 16-bit results are the exact value rounded.
inline NormalPair philox_normal_32(uint32_t word0, uint32_t word1) {
  return box_muller((static_cast<double>(word0 >> 8) + 1) * 0x1p-24,
                    static_cast<double>(word1 >> 8) * 0x1p-24);
}
/// Elements 2k and 2k+1 of f64 from the two 64-bit numbers of block k: u = (bits0 >> 11 + 1) 2^-53
/// and v = (bits1 >> 11) 2^-53.
inline NormalPair philox_normal_64(uint64_t bits0, uint64_t bits1) {
  return box_muller((static_cast<double>(bits0 >> 11) + 1) * 0x1p-53, philox_uniform_f64(bits1));
}

/// dropout keeps an element (whatever its dtype) when its f32 uniform is at least p, which is when
/// word >> 8 is at least this number.
inline uint32_t philox_dropout_threshold(double p) {
  return static_cast<uint32_t>(std::ceil(p * 0x1p24));
}

}  // namespace ds
