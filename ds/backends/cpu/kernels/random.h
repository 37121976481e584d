// SPDX-License-Identifier: Apache-2.0
// Philox numbers in vectors. ds/base/philox.h defines every number.
#pragma once

#include <cstdint>

#include "ds/base/philox.h"
#include "ds/ir/dtype.h"

namespace ds::cpu {

/// Words [begin, begin + n) of a call's stream: word i is word i % 4 of block i / 4.
void philox_words(const PhiloxStream& stream, uint64_t begin, uint32_t* out, size_t n);

/// dst[0, count) of a floating dtype: uniform in [0, 1), bit for bit as defined.
void random_uniform(const PhiloxStream& stream, DType dtype, void* dst, int64_t count);
/// Standard normal; f32 is within a few units in the last place, others as ref.
void random_normal(const PhiloxStream& stream, DType dtype, void* dst, int64_t count);
/// Non-negative 63-bit numbers.
void random_bits(const PhiloxStream& stream, int64_t* dst, int64_t count);

/// mask[k] = 1 where dropout keeps element begin + k * stride of a call, else 0.
void dropout_mask(const PhiloxStream& stream, uint32_t threshold, int64_t begin, int64_t stride,
                  float* mask, size_t n);

}  // namespace ds::cpu
