// SPDX-License-Identifier: Apache-2.0
// Forward attention.
#include "ds/backends/cpu/kernels/attention.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/attention.cpp"
#include <hwy/foreach_target.h>

#include "ds/backends/cpu/kernels/attention-inl.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Strips that share a tile of keys, so that it is read (and converted) once for all of them, and
/// keys of a tile: scores of 256 keys x 16 queries fill half of a 32 KiB first-level cache.
inline constexpr size_t kForwardStrips = 8, kForwardKeys = 256;

/// What a thread works with.
struct ForwardScratch {
  float *q, *out;        // kForwardStrips panels [dim][kStrip] and [v_dim][kStrip]
  float *largest, *sum;  // kForwardStrips x kStrip
  float *scores, *mask;  // [kForwardKeys][kStrip], twice that
  float *k, *v, *rows;   // copied tiles of keys and values, rows of a strip
  Scratch memory;

  ForwardScratch(size_t dim, size_t v_dim)
      : memory({{&q, kForwardStrips * dim * kStrip},
                {&out, kForwardStrips * v_dim * kStrip},
                {&largest, kForwardStrips * kStrip},
                {&sum, kForwardStrips * kStrip},
                {&scores, kForwardKeys * kStrip},
                {&mask, 2 * kForwardKeys * kStrip},
                {&k, kForwardKeys * dim},
                {&v, kForwardKeys * v_dim},
                {&rows, kStrip * std::max(dim, v_dim)}}) {}
};

/// Scores become weights exp(score - largest); `largest`, `sum` and the panel of the output follow.
HWY_INLINE void RunningSoftmax(size_t keys, bool first, float* scores, float* largest, float* sum,
                               float* out, size_t v_dim) {
  const VF low = hn::Neg(Inf());
  VF m[2], total[2], shift[2];
  for (size_t h = 0; h < 2; ++h) {
    const VF before = first ? low : LoadVec(largest + h * kMaxLanes);
    m[h] = before;
    for (size_t j = 0; j < keys; ++j)
      m[h] = hn::Max(m[h], LoadVec(scores + j * kStrip + h * kMaxLanes));
    StoreVec(m[h], largest + h * kMaxLanes);
    // A query that has seen no key yet: -inf - 0 gives weights of 0.
    shift[h] = hn::IfThenZeroElse(hn::Eq(m[h], low), m[h]);
    total[h] = hn::Zero(DF());
    if (first) continue;
    const VF decay = ExpScore(hn::Sub(before, shift[h]));
    StoreVec(hn::Mul(LoadVec(sum + h * kMaxLanes), decay), sum + h * kMaxLanes);
    for (size_t c = 0; c < v_dim; ++c) {
      float* at = out + c * kStrip + h * kMaxLanes;
      StoreVec(hn::Mul(LoadVec(at), decay), at);
    }
  }
  for (size_t j = 0; j < keys; ++j) {
    float* row = scores + j * kStrip;
    const VF p0 = ExpScore(hn::Sub(LoadVec(row), shift[0]));
    const VF p1 = ExpScore(hn::Sub(LoadVec(row + kMaxLanes), shift[1]));
    StoreVec(p0, row);
    StoreVec(p1, row + kMaxLanes);
    total[0] = hn::Add(total[0], p0);
    total[1] = hn::Add(total[1], p1);
  }
  for (size_t h = 0; h < 2; ++h) {
    float* at = sum + h * kMaxLanes;
    StoreVec(first ? total[h] : hn::Add(LoadVec(at), total[h]), at);
  }
}

/// Dropout of weights [p.keys][kStrip]; `buffer` holds 2 * p.keys * kStrip floats.
HWY_INLINE void DropWeights(const AttentionShape& s, const PhiloxStream& stream,
                            const StripPlace& p, float* weights, float* buffer) {
  KeptWeights(s, stream, p, buffer, buffer + p.keys * kStrip);
  for (size_t i = 0; i < p.keys * kStrip; i += kMaxLanes)
    StoreVec(TimesKept(LoadVec(weights + i), LoadVec(buffer + i)), weights + i);
}

/// Writes a finished strip: out = panel^T / sum, logsumexp = largest + log(sum).
HWY_INLINE void FinishStrip(const AttentionShape& s, size_t queries, float* panel, float* largest,
                            float* sum, float* rows, void* out, int64_t offset, int64_t stride,
                            float* logsumexp) {
  const auto v_dim = static_cast<size_t>(s.v_dim);
  for (size_t h = 0; h < kStrip; h += kMaxLanes) {
    const VF total = LoadVec(sum + h);
    const VF scale = hn::IfThenZeroElse(IsZero(total), hn::Div(Const(1), total));
    for (size_t c = 0; c < v_dim; ++c)
      StoreVec(hn::Mul(LoadVec(panel + c * kStrip + h), scale), panel + c * kStrip + h);
    StoreVec(hn::Add(LoadVec(largest + h), Log(total)), largest + h);
  }
  std::copy_n(largest, queries, logsumexp);
  UnpackStrip(panel, queries, v_dim, s.dtype, out, offset, stride, rows);
}

/// Queries [first, first + kForwardStrips * kStrip) of one head.
template <class Dot>
void ForwardBlock(const AttentionShape& s, const AttentionInputs& in, int64_t batch, int64_t head,
                  int64_t first, void* out, const HeadStrides& o, float* logsumexp,
                  ForwardScratch& x) {
  const auto dim = static_cast<size_t>(s.dim), v_dim = static_cast<size_t>(s.v_dim);
  const auto queries = static_cast<size_t>(
      std::min<int64_t>(s.queries - first, static_cast<int64_t>(kForwardStrips * kStrip)));
  const int64_t kv_head = head / (s.heads / s.kv_heads);
  const auto strip_queries = [&](size_t i) { return std::min(kStrip, queries - i); };
  for (size_t i = 0; i < queries; i += kStrip) {
    const int64_t row = first + static_cast<int64_t>(i);
    const Rows q = LanesOf<Dot>(s.dtype, in.q, batch * s.q.batch + head * s.q.head + row * s.q.row,
                                s.q.row, strip_queries(i), dim, x.rows);
    PackStrip(q, strip_queries(i), dim / Dot::kPacked, Dot::kPacked == 1 ? s.scale : 1,
              x.q + i * dim);
  }
  StripPlace p{batch, head, 0, 0, 0, 0};
  for (int64_t key = 0; key < s.keys; key += static_cast<int64_t>(kForwardKeys)) {
    if (s.causal && key >= first + static_cast<int64_t>(queries)) break;
    const size_t keys = std::min(kForwardKeys, static_cast<size_t>(s.keys - key));
    const Rows k =
        LanesOf<Dot>(s.dtype, in.k, batch * s.k.batch + kv_head * s.k.head + key * s.k.row, s.k.row,
                     keys, dim, x.k);
    const Rows v =
        LanesAcross<Dot>(s.dtype, in.v, batch * s.v.batch + kv_head * s.v.head + key * s.v.row,
                         s.v.row, keys, v_dim, x.v);
    for (size_t i = 0; i < queries; i += kStrip) {
      p = {batch, head, static_cast<size_t>(first) + i, strip_queries(i), static_cast<size_t>(key),
           keys};
      p.keys = SeenKeys(s, p);
      if (p.keys == 0) continue;
      Scores<Dot>(s, in.mask, p, k, x.q + i * dim, x.scores, x.mask);
      RunningSoftmax(p.keys, key == 0, x.scores, x.largest + i, x.sum + i, x.out + i * v_dim,
                     v_dim);
      if (in.stream) DropWeights(s, *in.stream, p, x.scores, x.mask);
      if constexpr (Dot::kPacked == 2) PairStrip<Dot>(x.scores, p.keys, x.scores);
      Product<true, Dot>(v_dim, (p.keys + Dot::kPacked - 1) / Dot::kPacked, {v.at, v.stride},
                         {x.scores, kStrip}, x.out + i * v_dim, kStrip, key > 0);
    }
  }
  for (size_t i = 0; i < queries; i += kStrip) {
    const int64_t row = first + static_cast<int64_t>(i);
    FinishStrip(s, strip_queries(i), x.out + i * v_dim, x.largest + i, x.sum + i, x.rows, out,
                batch * o.batch + head * o.head + row * o.row, o.row,
                logsumexp + (batch * s.heads + head) * s.queries + row);
  }
}

template <class Dot>
void ForwardBlocksOf(const AttentionShape& s, const AttentionInputs& in, void* out,
                     const HeadStrides& o, float* logsumexp) {
  constexpr auto kQueries = static_cast<int64_t>(kForwardStrips * kStrip);
  const int64_t blocks = (s.queries + kQueries - 1) / kQueries;
  const int64_t work = std::min(kQueries, s.queries) * s.keys * (s.dim + s.v_dim + 8);
  parallel_for(s.batch * s.heads * blocks, std::max<int64_t>(1, (1 << 18) / work),
               [&](int64_t begin, int64_t end) {
                 ForwardScratch scratch(static_cast<size_t>(s.dim), static_cast<size_t>(s.v_dim));
                 for (int64_t i = begin; i < end; ++i)
                   ForwardBlock<Dot>(s, in, i / blocks / s.heads, i / blocks % s.heads,
                                     i % blocks * kQueries, out, o, logsumexp, scratch);
               });
}

void ForwardBlocks(const AttentionShape& s, const AttentionInputs& in, void* out,
                   const HeadStrides& o, float* logsumexp) {
#if HWY_TARGET == HWY_AVX3
  if (FitsDotBf16(s)) return ForwardBlocksOf<DotBf16>(s, in, out, o, logsumexp);
#endif
  ForwardBlocksOf<DotF32>(s, in, out, o, logsumexp);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(ForwardBlocks);

void attention(const AttentionShape& shape, const AttentionInputs& in, void* out,
               const HeadStrides& out_strides, float* logsumexp) {
  HWY_DYNAMIC_DISPATCH(ForwardBlocks)(shape, in, out, out_strides, logsumexp);
}

}  // namespace ds::cpu
#endif  // HWY_ONCE
