// SPDX-License-Identifier: Apache-2.0
// Mixing of 64-bit hashes (the finaliser of splitmix64, Steele et al. 2014).
#pragma once

#include <cstdint>

namespace ds {

inline uint64_t hash_mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// The hash of a sequence extended by one value; depends on the order.
inline uint64_t hash_combine(uint64_t seed, uint64_t value) {
  return hash_mix(seed * 0x9e3779b97f4a7c15ull + value + 0x7f4a7c15ull);
}

}  // namespace ds
