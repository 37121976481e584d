// SPDX-License-Identifier: Apache-2.0
// Backward attention. With P the weights: dV = P^T dO, dS = P (dO V^T - rowsum(dO O)),
// dQ = scale dS K, dK = scale dS^T Q. With dropout the P of dV and the dO V^T of dS are multiplied
// by what it keeps.
#include "ds/backends/cpu/kernels/attention.h"
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/attention_backward.cpp"
#include <hwy/foreach_target.h>

#include "ds/backends/cpu/kernels/attention-inl.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Strips of a block of queries and keys of a tile. P and dS of 4 strips x 128 keys, the tiles of
/// k, v and their gradients and the block's rows are 270 KiB for heads of 64: they stay in a 512
/// KiB second-level cache.
inline constexpr size_t kBackwardStrips = 4, kBackwardKeys = 128;
inline constexpr size_t kBackwardQueries = kBackwardStrips * kStrip;
/// From one strip's P or dS [kBackwardKeys][kStrip] to the next.
inline constexpr size_t kPanel = kBackwardKeys * kStrip;

/// What a thread works with. Rows are padded to whole strips with zeros.
struct BackwardScratch {
  size_t q_width, v_width;               // padded sizes of a head
  float *q_rows, *diff_rows;             // of q and diff_out
  float *q, *diff, *diff_q;              // the same and diff_q as panels [dim][kStrip]
  float *logsumexp, *delta;              // one per query
  float *weights, *diff_score;           // kBackwardStrips panels
  float *mask, *k, *k_across, *v, *row;  // buffers of ApplyMask and of copies
  float *diff_k, *diff_v;                // of all keys
  Scratch memory;

  /// `across` says whether keys are needed as pairs of rows too.
  BackwardScratch(size_t keys, size_t dim, size_t v_dim, bool across)
      : q_width(hwy::RoundUpTo(dim, kStrip)),
        v_width(hwy::RoundUpTo(v_dim, kStrip)),
        memory({{&q_rows, kBackwardQueries * q_width},
                {&diff_rows, kBackwardQueries * v_width},
                {&q, kBackwardQueries * dim},
                {&diff, kBackwardQueries * v_dim},
                {&diff_q, kBackwardQueries * dim},
                {&logsumexp, kBackwardQueries},
                {&delta, kBackwardQueries},
                {&weights, kBackwardStrips * kPanel},
                {&diff_score, kBackwardStrips * kPanel},
                {&mask, 2 * kPanel},
                {&k, kBackwardKeys * dim},
                {&k_across, across ? kBackwardKeys * dim : 0},
                {&v, kBackwardKeys * v_dim},
                {&row, kStrip * std::max(dim, v_dim)},
                {&diff_k, keys * q_width},
                {&diff_v, keys * v_width}}) {}
};

/// A block of queries of one head.
struct BackwardBlock {
  int64_t batch, head, kv_head, first;
  size_t queries;

  int64_t row(const HeadStrides& s, int64_t of_head, int64_t at) const {
    return batch * s.batch + of_head * s.head + at * s.row;
  }
};

/// rows [queries / kPacked][width] = the rows of a head, 0 beyond their end, and scale times them
/// as panels; `buffer` holds kStrip rows.
template <class Dot>
void LoadQueries(const BackwardBlock& b, DType dtype, const void* base, const HeadStrides& strides,
                 size_t dim, size_t width, float scale, float* rows, float* panels, float* buffer) {
  std::fill_n(rows, kBackwardQueries / Dot::kPacked * width, 0.0f);
  for (size_t i = 0; i < b.queries; i += kStrip) {
    const int64_t offset = b.row(strides, b.head, b.first + static_cast<int64_t>(i));
    const size_t queries = std::min(kStrip, b.queries - i);
    float* strip = rows + i / Dot::kPacked * width;
    if constexpr (Dot::kPacked == 2)
      PairRows(static_cast<const bf16*>(base) + offset, strides.row, queries, dim, strip, width);
    const Rows lanes = LanesOf<Dot>(dtype, base, offset, strides.row, queries, dim, buffer);
    PackStrip(lanes, queries, dim / Dot::kPacked, scale, panels + i * dim);
    if constexpr (Dot::kPacked == 1)
      for (size_t r = 0; r < queries; ++r)
        std::copy_n(lanes.at + r * lanes.stride, dim, strip + r * width);
  }
}

/// logsumexp and rowsum(diff_out out) of the block's queries. Padding and queries that see no key
/// get a logsumexp of inf, which makes their weights 0.
void LoadStatistics(const AttentionShape& s, const AttentionGradients& g, const BackwardBlock& b,
                    BackwardScratch& x) {
  const float* logsumexp = g.logsumexp + (b.batch * s.heads + b.head) * s.queries + b.first;
  for (size_t i = 0; i < kBackwardQueries; ++i) {
    const bool real = i < b.queries;
    x.logsumexp[i] = real && logsumexp[i] != -HUGE_VALF ? logsumexp[i] : HUGE_VALF;
    x.delta[i] = 0;
    if (!real) continue;
    const auto v_dim = static_cast<size_t>(s.v_dim);
    const int64_t at = b.first + static_cast<int64_t>(i);
    const float* out = AsFloats(s.dtype, g.out, b.row(g.out_strides, b.head, at), v_dim, x.row);
    const float* diff =
        AsFloats(s.dtype, g.diff_out, b.row(g.diff_out_strides, b.head, at), v_dim, x.row + v_dim);
    x.delta[i] = static_cast<float>(RowDot(out, diff, v_dim));
  }
}

/// Turns scores and dO V^T, both [keys][kStrip], into P, as it stands before V, and dS; `kept` is
/// null without dropout.
HWY_INLINE void WeightsAndGradient(size_t keys, const float* logsumexp, const float* delta,
                                   const float* kept, float* weights, float* diff) {
  for (size_t h = 0; h < kStrip; h += kMaxLanes) {
    const VF lse = LoadVec(logsumexp + h), row = LoadVec(delta + h);
    for (size_t i = h; i < keys * kStrip; i += kStrip) {
      const VF p = ExpScore(hn::Sub(LoadVec(weights + i), lse));
      const VF grad = LoadVec(diff + i);
      if (!kept) {
        StoreVec(p, weights + i);
        StoreVec(hn::Mul(p, hn::Sub(grad, row)), diff + i);
        continue;
      }
      const VF keep = LoadVec(kept + i);
      StoreVec(TimesKept(p, keep), weights + i);
      StoreVec(hn::Mul(p, hn::Sub(TimesKept(grad, keep), row)), diff + i);
    }
  }
}

/// Adds P^T rows to the gradient of keys [0, keys), or with dS in the place of P.
template <class Dot>
void AddKeyGradient(const AttentionShape& s, const BackwardBlock& b, int64_t key, size_t keys,
                    const float* panels, const float* rows, size_t width, float* diff) {
  constexpr size_t kRows = 6, kLanes = kStrip / Dot::kPacked;  // lanes along the queries of a strip
  const size_t strips = (b.queries + kStrip - 1) / kStrip;
  for (size_t j = 0; j < keys; j += kRows) {
    const int64_t ahead = key + static_cast<int64_t>(j) - b.first;
    // Strips of earlier queries do not see these keys.
    const size_t skip = s.causal && ahead > 0 ? static_cast<size_t>(ahead) / kStrip : 0;
    if (skip >= strips) return;
    const Left left{panels + skip * kPanel + j * kLanes, kLanes, strips - skip, kPanel};
    for (size_t c = 0; c < width; c += kStrip)
      Product<false, Dot>(std::min(kRows, keys - j), kLanes, left,
                          {rows + skip * kLanes * width + c, width}, diff + j * width + c, width,
                          true);
  }
}

/// One tile of keys: adds to the block's diff_q and to the tile's diff_k and diff_v.
template <class Dot>
void BackwardTile(const AttentionShape& s, const AttentionInputs& in, const BackwardBlock& b,
                  int64_t key, BackwardScratch& x) {
  const auto dim = static_cast<size_t>(s.dim), v_dim = static_cast<size_t>(s.v_dim);
  const size_t keys = std::min(kBackwardKeys, static_cast<size_t>(s.keys - key));
  const int64_t k_offset = b.row(s.k, b.kv_head, key);
  const Rows k = LanesOf<Dot>(s.dtype, in.k, k_offset, s.k.row, keys, dim, x.k);
  const Rows v = LanesOf<Dot>(s.dtype, in.v, b.row(s.v, b.kv_head, key), s.v.row, keys, v_dim, x.v);
  Rows k_across = k;
  if constexpr (Dot::kPacked == 2)
    k_across = LanesAcross<Dot>(s.dtype, in.k, k_offset, s.k.row, keys, dim, x.k_across);
  for (size_t i = 0; i < b.queries; i += kStrip) {
    float* weights = x.weights + i * kBackwardKeys;
    float* diff = x.diff_score + i * kBackwardKeys;
    StripPlace p{b.batch,
                 b.head,
                 static_cast<size_t>(b.first) + i,
                 std::min(kStrip, b.queries - i),
                 static_cast<size_t>(key),
                 keys};
    const size_t seen = p.keys = SeenKeys(s, p);
    if (seen > 0) {
      Scores<Dot>(s, in.mask, p, k, x.q + i * dim, weights, x.mask);
      Product<false, Dot>(seen, v_dim / Dot::kPacked, {v.at, v.stride},
                          {x.diff + i * v_dim, kStrip}, diff, kStrip, false);
      if (in.stream) KeptWeights(s, *in.stream, p, x.mask, x.mask + kPanel);
      WeightsAndGradient(seen, x.logsumexp + i, x.delta + i, in.stream ? x.mask : nullptr, weights,
                         diff);
      const float* right = diff;
      if constexpr (Dot::kPacked == 2) {
        PairStrip<Dot>(diff, seen, x.mask);
        right = x.mask;
        PairQueries<Dot>(weights, seen);
        PairQueries<Dot>(diff, seen);
      }
      Product<true, Dot>(dim, (seen + Dot::kPacked - 1) / Dot::kPacked,
                         {k_across.at, k_across.stride}, {right, kStrip}, x.diff_q + i * dim,
                         kStrip, key > 0);
    }
    // AddKeyGradient takes keys by six and so may read some that this strip does not see.
    constexpr size_t kLanes = kStrip / Dot::kPacked;
    const size_t rest = std::min(keys - seen, size_t{5}) * kLanes;
    std::fill_n(weights + seen * kLanes, rest, 0.0f);
    std::fill_n(diff + seen * kLanes, rest, 0.0f);
  }
  const auto at = static_cast<size_t>(key);
  AddKeyGradient<Dot>(s, b, key, keys, x.weights, x.diff_rows, x.v_width,
                      x.diff_v + at * x.v_width);
  AddKeyGradient<Dot>(s, b, key, keys, x.diff_score, x.q_rows, x.q_width,
                      x.diff_k + at * x.q_width);
}

/// One block of queries against all keys.
template <class Dot>
void BackwardQueries(const AttentionShape& s, const AttentionInputs& in,
                     const AttentionGradients& g, const BackwardBlock& b, BackwardScratch& x) {
  const auto dim = static_cast<size_t>(s.dim), v_dim = static_cast<size_t>(s.v_dim);
  LoadQueries<Dot>(b, s.dtype, in.q, s.q, dim, x.q_width, Dot::kPacked == 1 ? s.scale : 1, x.q_rows,
                   x.q, x.row);
  LoadQueries<Dot>(b, s.dtype, g.diff_out, g.diff_out_strides, v_dim, x.v_width, 1, x.diff_rows,
                   x.diff, x.row);
  LoadStatistics(s, g, b, x);
  for (int64_t key = 0; key < s.keys; key += static_cast<int64_t>(kBackwardKeys)) {
    if (s.causal && key >= b.first + static_cast<int64_t>(b.queries)) break;
    BackwardTile<Dot>(s, in, b, key, x);
  }
  const VF scale = hn::Set(DF(), s.scale);
  for (size_t i = 0; i < b.queries; i += kStrip) {
    float* panel = x.diff_q + i * dim;
    MapRow(panel, panel, dim * kStrip, [scale](VF v) HWY_ATTR { return hn::Mul(v, scale); });
    UnpackStrip(panel, std::min(kStrip, b.queries - i), dim, s.dtype, g.diff_q,
                b.row(g.diff_q_strides, b.head, b.first + static_cast<int64_t>(i)),
                g.diff_q_strides.row, x.row);
  }
}

/// Writes scale times the finished gradient of the keys or values of one head.
void StoreKeyGradient(const AttentionShape& s, const BackwardBlock& b, float* diff, size_t width,
                      size_t dim, float scale, void* out, const HeadStrides& strides) {
  const VF factor = hn::Set(DF(), scale);
  for (int64_t j = 0; j < s.keys; ++j) {
    const int64_t offset = b.row(strides, b.kv_head, j);
    float* row = diff + static_cast<size_t>(j) * width;
    if (scale != 1) MapRow(row, row, dim, [factor](VF v) HWY_ATTR { return hn::Mul(v, factor); });
    if (s.dtype == DType::f32)
      std::copy_n(row, dim, static_cast<float*>(out) + offset);
    else
      PutFloats(s.dtype, row, out, offset, dim);
  }
}

template <class Dot>
void BackwardHeadsOf(const AttentionShape& s, const AttentionInputs& in,
                     const AttentionGradients& g) {
  const auto keys = static_cast<size_t>(s.keys), dim = static_cast<size_t>(s.dim);
  const auto v_dim = static_cast<size_t>(s.v_dim);
  const int64_t group = s.heads / s.kv_heads;
  const int64_t work = group * s.queries * s.keys * (s.dim + s.v_dim + 8);
  parallel_for(
      s.batch * s.kv_heads, std::max<int64_t>(1, (1 << 17) / work),
      [&](int64_t begin, int64_t end) {
        BackwardScratch x(keys, dim, v_dim, Dot::kPacked == 2);
        for (int64_t i = begin; i < end; ++i) {
          BackwardBlock b{i / s.kv_heads, 0, i % s.kv_heads, 0, 0};
          std::fill_n(x.diff_k, keys * x.q_width, 0.0f);
          std::fill_n(x.diff_v, keys * x.v_width, 0.0f);
          for (b.head = b.kv_head * group; b.head < (b.kv_head + 1) * group; ++b.head)
            for (b.first = 0; b.first < s.queries; b.first += kBackwardQueries) {
              b.queries = std::min(kBackwardQueries, static_cast<size_t>(s.queries - b.first));
              BackwardQueries<Dot>(s, in, g, b, x);
            }
          StoreKeyGradient(s, b, x.diff_k, x.q_width, dim, s.scale, g.diff_k, g.diff_k_strides);
          StoreKeyGradient(s, b, x.diff_v, x.v_width, v_dim, 1, g.diff_v, g.diff_v_strides);
        }
      });
}

void BackwardHeads(const AttentionShape& s, const AttentionInputs& in,
                   const AttentionGradients& g) {
#if HWY_TARGET == HWY_AVX3
  if (FitsDotBf16(s)) return BackwardHeadsOf<DotBf16>(s, in, g);
#endif
  BackwardHeadsOf<DotF32>(s, in, g);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(BackwardHeads);

void attention_backward(const AttentionShape& shape, const AttentionInputs& in,
                        const AttentionGradients& grads) {
  HWY_DYNAMIC_DISPATCH(BackwardHeads)(shape, in, grads);
}

}  // namespace ds::cpu
#endif  // HWY_ONCE
