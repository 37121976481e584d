// SPDX-License-Identifier: Apache-2.0
// Softmax, log-softmax and the fused softmax cross-entropy. Views are contiguous; operands are f32,
// f16 or bf16, arithmetic is f32 with f64 row sums.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"

namespace ds::cpu {

/// dst = exp(src) / sum(exp(src)) along n of [outer, n, inner]; dst may be src when dtypes agree.
void softmax(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
             DType dst_dtype, void* dst);
/// dst = src - logsumexp(src).
void log_softmax(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                 DType dst_dtype, void* dst);

/// diff_src = dst * (diff_dst - sum(diff_dst * dst)), all of one dtype.
void softmax_backward(DType dtype, const void* diff_dst, const void* dst, int64_t outer, int64_t n,
                      int64_t inner, void* diff_src);
/// diff_src = diff_dst - exp(dst) * sum(diff_dst).
void log_softmax_backward(DType dtype, const void* diff_dst, const void* dst, int64_t outer,
                          int64_t n, int64_t inner, void* diff_src);

struct CrossEntropy {
  int64_t rows;
  int64_t classes;
  int64_t ignore_index = -100;
  float label_smoothing = 0;
};

/// logits [rows, classes], labels [rows] -> loss [rows] (0 where the label is ignore_index) and
/// logsumexp [rows] for the backward pass. With smoothing e the target is (1 - e) at the label plus
/// e / classes everywhere. IndexError for a label outside [0, classes).
void cross_entropy(const CrossEntropy& shape, DType dtype, const void* logits,
                   const int64_t* labels, float* loss, float* logsumexp);

/// diff_logits = diff_loss * (softmax - target), 0 for ignored rows. diff_loss is read with stride
/// diff_stride (0 for one value for all rows).
void cross_entropy_backward(const CrossEntropy& shape, DType dtype, const float* diff_loss,
                            int64_t diff_stride, const void* logits, const int64_t* labels,
                            const float* logsumexp, void* diff_logits);

}  // namespace ds::cpu
