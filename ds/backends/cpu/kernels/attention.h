// SPDX-License-Identifier: Apache-2.0
// Scaled dot product attention by tiles of keys with a running softmax, after FlashAttention (Dao
// et al. 2022): the scores of [queries, keys] are never in memory as a whole. Operands are f32, f16
// or bf16, arithmetic is f32; where the processor multiplies pairs of bf16, products of bf16
// operands take the weights and their gradients rounded to bf16 too.
#pragma once

#include <cstdint>
#include <optional>

#include "ds/base/philox.h"
#include "ds/ir/dtype.h"

namespace ds::cpu {

/// How [B, H, T, D] lies in memory, in elements; neighbours along D are contiguous.
struct HeadStrides {
  int64_t batch, head, row;
};

/// q [B, H, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv] of one dtype; no size is 0, Hk divides H.
struct AttentionShape {
  DType dtype;
  int64_t batch, heads, kv_heads, queries, keys, dim, v_dim;
  bool causal;  // query i sees the keys j <= i only
  float scale;
  double dropout;  // probability of a weight to be 0
  HeadStrides q, k, v;
  /// Of the mask along B, H, Tq and Tk, 0 where it repeats; bool (true is seen) or additive.
  DType mask_dtype = DType::bool_;
  int64_t mask[4] = {};
};

struct AttentionInputs {
  const void *q, *k, *v;
  const void* mask;  // null for none
  /// Decides which elements [b, h, i, j] of the weights are dropped; empty for none.
  std::optional<PhiloxStream> stream;
};

/// out [B, H, Tq, Dv] = dropout(softmax(scale q k^T + mask)) v and logsumexp [B, H, Tq], row-major.
/// A query that sees no key gets 0 and -inf.
void attention(const AttentionShape& shape, const AttentionInputs& in, void* out,
               const HeadStrides& out_strides, float* logsumexp);

/// What the backward pass reads beside the inputs, and what it writes, as the forward pass has it.
struct AttentionGradients {
  const void *diff_out, *out;
  HeadStrides diff_out_strides, out_strides;
  const float* logsumexp;
  void *diff_q, *diff_k, *diff_v;
  HeadStrides diff_q_strides, diff_k_strides, diff_v_strides;
};

/// Gradients of q, k and v; the weights come back from the scores and logsumexp. One thread works
/// on all heads that share keys, so results do not depend on the number of threads.
void attention_backward(const AttentionShape& shape, const AttentionInputs& in,
                        const AttentionGradients& grads);

}  // namespace ds::cpu
