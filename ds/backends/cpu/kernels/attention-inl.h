// SPDX-License-Identifier: Apache-2.0
// Per-target parts of attention. Queries are worked on in strips of two vectors: scores lie as
// [key][strip], so that the softmax needs no sum across lanes, and every product of tiles is
// "broadcast an element of the left operand times two vectors of the right one". With DotBf16 an
// element is a pair of bf16, and so queries, keys, values and weights are rounded to bf16 as the
// operands came, while scores and sums stay f32.

#if defined(DS_CPU_KERNELS_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DS_CPU_KERNELS_ATTENTION_INL_H_
#undef DS_CPU_KERNELS_ATTENTION_INL_H_
#else
#define DS_CPU_KERNELS_ATTENTION_INL_H_
#endif

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ds/backends/cpu/kernels/attention.h"
#include "ds/backends/cpu/kernels/dispatch.h"
#include "ds/backends/cpu/kernels/philox-inl.h"
#include "ds/backends/cpu/kernels/product-inl.h"
#include "ds/backends/cpu/kernels/random.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

// --- loading tiles -------------------------------------------------------------------------------

/// A matrix of f32 rows.
struct Rows {
  const float* at;
  size_t stride;
};

/// Rows of one head from `offset` on as f32: the memory itself where they follow each other, else a
/// copy in `buffer`. Rows of permuted heads are pages apart and share few cache sets.
HWY_INLINE Rows RowsOf(DType dtype, const void* base, int64_t offset, int64_t stride, size_t rows,
                       size_t cols, float* buffer) {
  if (dtype == DType::f32 && static_cast<size_t>(stride) == cols)
    return {static_cast<const float*>(base) + offset, cols};
  for (size_t r = 0; r < rows; ++r, offset += stride) {
    float* row = buffer + r * cols;
    if (dtype == DType::f32)
      MapRow(static_cast<const float*>(base) + offset, row, cols, [](VF v) HWY_ATTR { return v; });
    else
      AsFloats(dtype, base, offset, cols, row);
  }
  return {buffer, cols};
}

/// dst [(rows + 1) / 2][width] = pairs of the elements of rows 2r and 2r + 1, 0 beyond the last
/// row.
HWY_INLINE void PairRows(const bf16* src, int64_t stride, size_t rows, size_t cols, float* dst,
                         size_t width) {
  const size_t lanes = hn::Lanes(DF());
  const DU16 d;
  for (size_t r = 0; r < rows; r += 2, dst += width) {
    const auto* a = reinterpret_cast<const uint16_t*>(src + static_cast<int64_t>(r) * stride);
    const auto* b = r + 1 < rows ? a + stride : nullptr;
    size_t c = 0;
    for (; c + lanes <= cols; c += lanes)
      StoreVec(PairVec(hn::LoadU(d, a + c), b ? hn::LoadU(d, b + c) : hn::Zero(d)), dst + c);
    for (; c < cols; ++c) {
      const uint16_t pair[2] = {a[c], b ? b[c] : uint16_t{0}};
      std::memcpy(dst + c, pair, sizeof(pair));
    }
  }
}

/// rows [keys][kStrip] of f32 as pairs of queries [keys][kStrip / 2], in place.
template <class Dot>
HWY_INLINE void PairQueries(float* rows, size_t keys) {
  const float* src = rows;
  for (size_t i = 0; i < keys * kStrip; i += kMaxLanes)
    hn::StoreU(Dot::ToBf16(LoadVec(src + i)), DU16(), reinterpret_cast<uint16_t*>(rows) + i);
}

/// Rows of one head from `offset` on as lanes of Dot, in `buffer` where they are not in place.
template <class Dot>
HWY_INLINE Rows LanesOf(DType dtype, const void* base, int64_t offset, int64_t stride, size_t rows,
                        size_t cols, float* buffer) {
  if constexpr (Dot::kPacked == 1) return RowsOf(dtype, base, offset, stride, rows, cols, buffer);
  for (size_t r = 0; r < rows; ++r, offset += stride)
    std::memcpy(buffer + r * cols / 2, static_cast<const bf16*>(base) + offset,
                cols * sizeof(bf16));
  return {buffer, cols / 2};
}

/// Like LanesOf, but a lane of DotBf16 is one column of two rows.
template <class Dot>
HWY_INLINE Rows LanesAcross(DType dtype, const void* base, int64_t offset, int64_t stride,
                            size_t rows, size_t cols, float* buffer) {
  if constexpr (Dot::kPacked == 1) return RowsOf(dtype, base, offset, stride, rows, cols, buffer);
  PairRows(static_cast<const bf16*>(base) + offset, stride, rows, cols, buffer, cols);
  return {buffer, cols};
}

/// True if the products of this attention can use DotBf16.
HWY_INLINE bool FitsDotBf16(const AttentionShape& s) {
  return s.dtype == DType::bf16 && s.dim % 2 == 0 && s.v_dim % 2 == 0 && has_bf16_products();
}

/// panel [cols][kStrip] = scale rows^T, 0 in the columns beyond the `rows` that there are.
HWY_INLINE void PackStrip(Rows src, size_t rows, size_t cols, float scale, float* panel) {
  if (rows < kStrip) std::fill_n(panel, cols * kStrip, 0.0f);
  Transpose(src.at, src.stride, rows, cols, panel, kStrip);
  if (scale == 1) return;
  const VF factor = hn::Set(DF(), scale);
  for (size_t i = 0; i < cols * kStrip; i += kMaxLanes)
    StoreVec(hn::Mul(LoadVec(panel + i), factor), panel + i);
}

/// The inverse of PackStrip into rows of a dtype; `buffer` holds rows * cols floats.
HWY_INLINE void UnpackStrip(const float* panel, size_t rows, size_t cols, DType dtype, void* base,
                            int64_t offset, int64_t stride, float* buffer) {
  if (dtype == DType::f32) {
    Transpose(panel, kStrip, cols, rows, static_cast<float*>(base) + offset,
              static_cast<size_t>(stride));
    return;
  }
  Transpose(panel, kStrip, cols, rows, buffer, cols);
  for (size_t r = 0; r < rows; ++r)
    PutFloats(dtype, buffer + r * cols, base, offset + static_cast<int64_t>(r) * stride, cols);
}

/// Aligned memory of a thread, cut into pieces.
class Scratch {
 public:
  explicit Scratch(std::initializer_list<std::pair<float**, size_t>> pieces) {
    constexpr size_t kCacheLine = 16;  // in floats
    size_t total = 0;
    for (const auto& piece : pieces) total += hwy::RoundUpTo(piece.second, kCacheLine);
    memory_ = hwy::AllocateAligned<float>(total);
    float* next = memory_.get();
    for (const auto& piece : pieces) {
      *piece.first = next;
      next += hwy::RoundUpTo(piece.second, kCacheLine);
    }
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> memory_;
};

// --- scores --------------------------------------------------------------------------------------

/// exp of a difference to the largest score, d <= 0 or small: 2^n e^r with |r| <= ln(2) / 2, the
/// polynomial our own minimax fit (0.05 ULP). Below e^-87 the result is 0; NaN stays.
HWY_INLINE VF ExpScore(VF d) {
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  const VF magic = hn::Set(DF(), 12582912.0f);
  const VF shifted = hn::MulAdd(d, Const(1.4426950408889634), magic);
  const VF r = hn::NegMulAdd(hn::Sub(shifted, magic), Const(0.6931471805599453), d);
  VF p = Const(0.001381459878757596);
  p = hn::MulAdd(p, r, Const(0.008368716575205326));
  p = hn::MulAdd(p, r, Const(0.04166838899254799));
  p = hn::MulAdd(p, r, Const(0.1666652113199234));
  p = hn::MulAdd(p, r, Const(0.4999999403953552));
  p = hn::MulAdd(p, r, Const(1));
  p = hn::MulAdd(p, r, Const(1));
  const VI exponent = hn::ShiftLeft<23>(hn::BitCast(DI(), shifted));
  const VF y = hn::BitCast(DF(), hn::Add(hn::BitCast(DI(), p), exponent));
  return hn::IfThenZeroElse(hn::Lt(d, Const(-87)), y);
}

/// One strip of queries of one head, and the tile of keys it meets.
struct StripPlace {
  int64_t batch, head;
  size_t query, queries;  // the first one and how many there are
  size_t key, keys;
};

/// Keys of the tile that some query of the strip sees.
HWY_INLINE size_t SeenKeys(const AttentionShape& s, const StripPlace& p) {
  if (!s.causal) return p.keys;
  const size_t end = p.query + kStrip;
  return end <= p.key ? 0 : std::min(p.keys, end - p.key);
}

/// Applies causality to scores [p.keys][kStrip].
HWY_INLINE void HideFuture(const StripPlace& p, float* scores) {
  const VF first = hn::Iota(DF(), 0), second = hn::Iota(DF(), kMaxLanes), hidden = hn::Neg(Inf());
  const size_t from = p.query + 1 > p.key ? p.query + 1 - p.key : 0;
  for (size_t j = from; j < p.keys; ++j) {
    const VF at = hn::Set(DF(), static_cast<float>(p.key + j - p.query));
    float* row = scores + j * kStrip;
    StoreVec(hn::IfThenElse(hn::Lt(first, at), hidden, LoadVec(row)), row);
    StoreVec(hn::IfThenElse(hn::Lt(second, at), hidden, LoadVec(row + kMaxLanes)), row + kMaxLanes);
  }
}

/// Applies the mask to scores [p.keys][kStrip]; `buffer` holds 2 * p.keys * kStrip floats.
inline void ApplyMask(const AttentionShape& s, const void* mask, const StripPlace& p, float* scores,
                      float* buffer) {
  const auto load = [&](size_t i, float* row) {
    const int64_t offset = p.batch * s.mask[0] + p.head * s.mask[1] +
                           static_cast<int64_t>(p.query + i) * s.mask[2] +
                           static_cast<int64_t>(p.key) * s.mask[3];
    const auto size = static_cast<int64_t>(dtype_size(s.mask_dtype));
    tile_load(s.mask_dtype, static_cast<const char*>(mask) + offset * size, s.mask[3], row, p.keys);
  };
  const bool additive = s.mask_dtype != DType::bool_;
  const auto apply = [additive](VF m, float* at) HWY_ATTR {
    const VF score = LoadVec(at);
    StoreVec(additive ? hn::Add(score, m) : hn::IfThenElse(IsZero(m), hn::Neg(Inf()), score), at);
  };
  if (s.mask[2] == 0) {
    load(0, buffer);
    for (size_t j = 0; j < p.keys; ++j) {
      const VF m = hn::Set(DF(), buffer[j]);
      apply(m, scores + j * kStrip);
      apply(m, scores + j * kStrip + kMaxLanes);
    }
    return;
  }
  float* turned = buffer + p.keys * kStrip;
  for (size_t i = 0; i < p.queries; ++i) load(i, buffer + i * p.keys);
  PackStrip({buffer, p.keys}, p.queries, p.keys, 1, turned);
  for (size_t i = 0; i < p.keys * kStrip; i += kMaxLanes) apply(LoadVec(turned + i), scores + i);
}

#if HWY_TARGET != HWY_SCALAR
/// KeptWeights where rows begin with a block: a lane draws the four weights of a block of its
/// query.
inline void KeptBlocks(const PhiloxStream& stream, int32_t threshold, float scale, uint64_t row,
                       uint64_t row_blocks, const StripPlace& p, float* kept) {
  const DU64 d;
  const VI limit = hn::Set(DI(), threshold);
  for (size_t h = 0; h < kStrip; h += kMaxLanes, row += kMaxLanes) {
    uint64_t first[kMaxLanes];
    for (size_t i = 0; i < kMaxLanes; ++i) first[i] = (row + i) * row_blocks + p.key / 4;
    VU64 low = hn::LoadU(d, first), high = hn::LoadU(d, first + hn::Lanes(d));
    for (size_t j = 0; j < p.keys; j += 4) {
      PhiloxState state;
      state.c[0][0] = low;
      state.c[0][1] = high;
      PhiloxRounds(stream.seed(), stream.call(), state);
      for (size_t w = 0; w < 4; ++w) {
        const VU words = hn::ConcatEven(DU(), hn::BitCast(DU(), state.c[w][1]),
                                        hn::BitCast(DU(), state.c[w][0]));
        const VI top = hn::BitCast(DI(), hn::ShiftRight<8>(words));
        const MF dropped = hn::RebindMask(DF(), hn::Lt(top, limit));
        StoreVec(hn::IfThenZeroElse(dropped, hn::Set(DF(), scale)), kept + (j + w) * kStrip + h);
      }
      low = hn::Add(low, hn::Set(d, 1));
      high = hn::Add(high, hn::Set(d, 1));
    }
  }
}
#endif

/// kept [p.keys][kStrip] = what the weights are multiplied by: 0 where they are dropped. `buffer`
/// holds p.keys * kStrip floats.
inline void KeptWeights(const AttentionShape& s, const PhiloxStream& stream, const StripPlace& p,
                        float* kept, float* buffer) {
  const uint32_t threshold = philox_dropout_threshold(s.dropout);
  const float scale = s.dropout < 1 ? static_cast<float>(1 / (1 - s.dropout)) : 0;
  const int64_t row = (p.batch * s.heads + p.head) * s.queries + static_cast<int64_t>(p.query);
#if HWY_TARGET != HWY_SCALAR
  if (s.keys % kPhiloxPerBlock32 == 0)
    return KeptBlocks(stream, static_cast<int32_t>(threshold), scale, static_cast<uint64_t>(row),
                      static_cast<uint64_t>(s.keys / kPhiloxPerBlock32), p, kept);
#endif
  for (size_t i = 0; i < p.queries; ++i)
    dropout_mask(stream, threshold,
                 (row + static_cast<int64_t>(i)) * s.keys + static_cast<int64_t>(p.key), 1,
                 buffer + i * p.keys, p.keys);
  PackStrip({buffer, p.keys}, p.queries, p.keys, scale, kept);
}

/// x where it is kept, times `kept`; else 0, whatever it was.
HWY_INLINE VF TimesKept(VF x, VF kept) {
  return hn::IfThenZeroElse(IsZero(kept), hn::Mul(x, kept));
}

/// scores [p.keys][kStrip] = scale k q^T, masked; q is a panel [dim / kPacked][kStrip], which holds
/// the scale if it is f32.
template <class Dot>
HWY_INLINE void Scores(const AttentionShape& s, const void* mask, const StripPlace& p, Rows k,
                       const float* q, float* scores, float* buffer) {
  Product<false, Dot>(p.keys, static_cast<size_t>(s.dim) / Dot::kPacked, {k.at, k.stride},
                      {q, kStrip}, scores, kStrip, false);
  if constexpr (Dot::kPacked == 2) {
    const VF scale = hn::Set(DF(), s.scale);
    for (size_t i = 0; i < p.keys * kStrip; i += kMaxLanes)
      StoreVec(hn::Mul(LoadVec(scores + i), scale), scores + i);
  }
  if (mask) ApplyMask(s, mask, p, scores, buffer);
  if (s.causal) HideFuture(p, scores);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#endif  // DS_CPU_KERNELS_ATTENTION_INL_H_
