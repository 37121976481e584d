// SPDX-License-Identifier: Apache-2.0
// Softmax family along rows (inner == 1) and along columns.
#include "ds/backends/cpu/kernels/softmax.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/softmax.cpp"
#include <hwy/foreach_target.h>

#include <cmath>
#include <vector>

#include "ds/backends/cpu/kernels/row-inl.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// One row of n; `in` and `out` are n floats of scratch that conversions use.
void SoftmaxRow(bool log, DType src_dtype, const void* src, DType dst_dtype, void* dst,
                int64_t offset, size_t n, float* in, float* out) {
  const float* x = AsFloats(src_dtype, src, offset, n, in);
  float* y = FloatTarget(dst_dtype, dst, offset, out);
  const float max = RowMax(x, n);
  const VF m = hn::Set(DF(), max);
  if (log) {
    const VF log_sum = hn::Set(DF(), static_cast<float>(std::log(RowSumExp(x, n, max))));
    MapRow(x, y, n, [m, log_sum](VF v) HWY_ATTR { return hn::Sub(hn::Sub(v, m), log_sum); });
  } else {
    MapRow(x, y, n, [m](VF v) HWY_ATTR { return Exp(hn::Sub(v, m)); });
    const VF scale = hn::Set(DF(), static_cast<float>(1 / RowSum(y, n)));
    MapRow(y, y, n, [scale](VF v) HWY_ATTR { return hn::Mul(v, scale); });
  }
  PutFloats(dst_dtype, y, dst, offset, n);
}

void SoftmaxBackwardRow(bool log, DType dtype, const void* diff_dst, const void* dst,
                        void* diff_src, int64_t offset, size_t n, float* in, float* out) {
  const float* y = AsFloats(dtype, dst, offset, n, in);
  const float* dy = AsFloats(dtype, diff_dst, offset, n, out);
  float* dx = FloatTarget(dtype, diff_src, offset, out);
  if (log) {
    const VF sum = hn::Set(DF(), static_cast<float>(RowSum(dy, n)));
    MapRow(y, dy, dx, n, [sum](VF p, VF d) HWY_ATTR { return hn::NegMulAdd(Exp(p), sum, d); });
  } else {
    const VF sum = hn::Set(DF(), static_cast<float>(RowDot(dy, y, n)));
    MapRow(y, dy, dx, n, [sum](VF p, VF d) HWY_ATTR { return hn::Mul(p, hn::Sub(d, sum)); });
  }
  PutFloats(dtype, dx, diff_src, offset, n);
}

/// Accumulators of a block of neighbouring columns.
struct SoftmaxColumns {
  float max[kRowBlock], sum[kRowBlock], lost[kRowBlock], in[kRowBlock], diff[kRowBlock],
      out[kRowBlock];

  /// sum += v with Kahan's compensation, v a vector at i of m.
  HWY_INLINE void Add(size_t i, VF v) {
    const VF y = hn::Sub(v, LoadVec(lost + i));
    const VF s = LoadVec(sum + i);
    const VF t = hn::Add(s, y);
    StoreVec(hn::Sub(hn::Sub(t, s), y), lost + i);
    StoreVec(t, sum + i);
  }
};

/// Reads a vector at i of a row of m, zeros beyond its end.
HWY_INLINE VF At(const float* x, size_t i, size_t m) {
  return i + hn::Lanes(DF()) <= m ? LoadVec(x + i) : LoadPart(x + i, m - i);
}

/// Columns [offset, offset + m) of n rows that are `step` apart; m <= kRowBlock - kMaxLanes.
void SoftmaxColumnBlock(bool log, DType src_dtype, const void* src, DType dst_dtype, void* dst,
                        int64_t offset, int64_t n, int64_t step, size_t m) {
  SoftmaxColumns c;
  const size_t lanes = hn::Lanes(DF());
  std::fill_n(c.max, kRowBlock, -HUGE_VALF);
  std::fill_n(c.sum, kRowBlock, 0.0f);
  std::fill_n(c.lost, kRowBlock, 0.0f);
  for (int64_t r = 0; r < n; ++r) {
    const float* x = AsFloats(src_dtype, src, offset + r * step, m, c.in);
    MapRow(x, c.max, c.max, m, [](VF v, VF a) HWY_ATTR { return Maximum(v, a); });
  }
  for (int64_t r = 0; r < n; ++r) {
    const float* x = AsFloats(src_dtype, src, offset + r * step, m, c.in);
    for (size_t i = 0; i < m; i += lanes) {
      c.Add(i, Exp(hn::Sub(At(x, i, m), LoadVec(c.max + i))));
    }
  }
  for (size_t i = 0; i < m; ++i) c.sum[i] = log ? std::log(c.sum[i]) : 1 / c.sum[i];
  for (int64_t r = 0; r < n; ++r) {
    const int64_t at = offset + r * step;
    const float* x = AsFloats(src_dtype, src, at, m, c.in);
    float* y = FloatTarget(dst_dtype, dst, at, c.out);
    if (log) {
      MapRow(x, c.max, c.sum, y, m,
             [](VF v, VF a, VF s) HWY_ATTR { return hn::Sub(hn::Sub(v, a), s); });
    } else {
      MapRow(x, c.max, c.sum, y, m,
             [](VF v, VF a, VF s) HWY_ATTR { return hn::Mul(Exp(hn::Sub(v, a)), s); });
    }
    PutFloats(dst_dtype, y, dst, at, m);
  }
}

void SoftmaxBackwardColumnBlock(bool log, DType dtype, const void* diff_dst, const void* dst,
                                void* diff_src, int64_t offset, int64_t n, int64_t step, size_t m) {
  SoftmaxColumns c;
  const size_t lanes = hn::Lanes(DF());
  std::fill_n(c.sum, kRowBlock, 0.0f);
  std::fill_n(c.lost, kRowBlock, 0.0f);
  for (int64_t r = 0; r < n; ++r) {
    const float* dy = AsFloats(dtype, diff_dst, offset + r * step, m, c.diff);
    const float* y = AsFloats(dtype, dst, offset + r * step, m, c.in);
    for (size_t i = 0; i < m; i += lanes) {
      const VF d = At(dy, i, m);
      c.Add(i, log ? d : hn::Mul(d, At(y, i, m)));
    }
  }
  for (int64_t r = 0; r < n; ++r) {
    const int64_t at = offset + r * step;
    const float* dy = AsFloats(dtype, diff_dst, at, m, c.diff);
    const float* y = AsFloats(dtype, dst, at, m, c.in);
    float* dx = FloatTarget(dtype, diff_src, at, c.out);
    if (log) {
      MapRow(y, dy, c.sum, dx, m,
             [](VF p, VF d, VF s) HWY_ATTR { return hn::NegMulAdd(Exp(p), s, d); });
    } else {
      MapRow(y, dy, c.sum, dx, m,
             [](VF p, VF d, VF s) HWY_ATTR { return hn::Mul(p, hn::Sub(d, s)); });
    }
    PutFloats(dtype, dx, diff_src, at, m);
  }
}

/// Loss and logsumexp of one row.
void CrossEntropyRow(const CrossEntropy& shape, DType dtype, const void* logits, int64_t row,
                     int64_t label, float* loss, float* logsumexp, float* in) {
  const size_t n = static_cast<size_t>(shape.classes);
  const float* x = AsFloats(dtype, logits, row * shape.classes, n, in);
  const float max = RowMax(x, n);
  const double log_sum = std::log(RowSumExp(x, n, max));
  *logsumexp = static_cast<float>(max + log_sum);
  *loss = 0;
  if (label == shape.ignore_index) return;
  const double e = shape.label_smoothing;
  // Differences from the maximum first: two large numbers that nearly cancel.
  double value = log_sum - (static_cast<double>(x[label]) - max);
  if (e != 0) {
    const double mean = RowSum(x, n) / static_cast<double>(shape.classes);
    value = (1 - e) * value + e * (log_sum - (mean - max));
  }
  *loss = static_cast<float>(value);
}

void CrossEntropyBackwardRow(const CrossEntropy& shape, DType dtype, float diff_loss,
                             const void* logits, int64_t row, int64_t label, float logsumexp,
                             void* diff_logits, float* in) {
  const size_t n = static_cast<size_t>(shape.classes);
  const int64_t offset = row * shape.classes;
  float* dx = FloatTarget(dtype, diff_logits, offset, in);
  if (label == shape.ignore_index) {
    std::fill_n(dx, n, 0.0f);
  } else {
    const float* x = AsFloats(dtype, logits, offset, n, in);
    const VF scale = hn::Set(DF(), diff_loss);
    const VF lse = hn::Set(DF(), logsumexp);
    const VF even = hn::Set(DF(), shape.label_smoothing / static_cast<float>(n));
    const float at_label = x[label];
    MapRow(x, dx, n, [scale, lse, even](VF v) HWY_ATTR {
      return hn::Mul(scale, hn::Sub(Exp(hn::Sub(v, lse)), even));
    });
    // p - 1 through expm1, so that a confident prediction keeps its small gradient.
    const float rest = std::expm1(at_label - logsumexp) + shape.label_smoothing -
                       shape.label_smoothing / static_cast<float>(n);
    dx[label] = diff_loss * rest;
  }
  PutFloats(dtype, dx, diff_logits, offset, n);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(SoftmaxBackwardRow);
HWY_EXPORT(SoftmaxColumnBlock);
HWY_EXPORT(SoftmaxBackwardColumnBlock);
HWY_EXPORT(CrossEntropyRow);
HWY_EXPORT(CrossEntropyBackwardRow);

namespace {

/// row(offset, in, out) for every row, in parallel, with two rows of scratch each.
template <class Row>
void each_row(int64_t rows, int64_t n, Row row) {
  parallel_for(rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(n, 1)),
               [&](int64_t begin, int64_t end) {
                 std::vector<float> scratch(2 * n);
                 for (int64_t r = begin; r < end; ++r) {
                   row(r * n, scratch.data(), scratch.data() + n);
                 }
               });
}

/// block(offset, columns) for every piece of columns of [outer, n, inner].
template <class Block>
void each_column_block(int64_t outer, int64_t n, int64_t inner, Block block) {
  // A piece is swept three times: small enough for the second-level cache, but a few cache lines.
  const int64_t width =
      std::min(inner, std::clamp<int64_t>(32768 / std::max<int64_t>(n, 1) / 16 * 16, 64, 960));
  const int64_t blocks = (inner + width - 1) / width;
  parallel_for(outer * blocks, std::max<int64_t>(1, 8192 / std::max<int64_t>(n * width, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t u = begin; u < end; ++u) {
                   const int64_t col = u % blocks * width;
                   block(u / blocks * n * inner + col,
                         static_cast<size_t>(std::min(width, inner - col)));
                 }
               });
}

void softmax_forward(bool log, DType src_dtype, const void* src, int64_t outer, int64_t n,
                     int64_t inner, DType dst_dtype, void* dst) {
  if (n == 0 || inner == 0) return;
  if (inner == 1) {
    const auto row = HWY_DYNAMIC_DISPATCH(SoftmaxRow);
    each_row(outer, n, [&](int64_t offset, float* in, float* out) {
      row(log, src_dtype, src, dst_dtype, dst, offset, static_cast<size_t>(n), in, out);
    });
    return;
  }
  const auto block = HWY_DYNAMIC_DISPATCH(SoftmaxColumnBlock);
  each_column_block(outer, n, inner, [&](int64_t offset, size_t m) {
    block(log, src_dtype, src, dst_dtype, dst, offset, n, inner, m);
  });
}

void backward(bool log, DType dtype, const void* diff_dst, const void* dst, int64_t outer,
              int64_t n, int64_t inner, void* diff_src) {
  if (n == 0 || inner == 0) return;
  if (inner == 1) {
    const auto row = HWY_DYNAMIC_DISPATCH(SoftmaxBackwardRow);
    each_row(outer, n, [&](int64_t offset, float* in, float* out) {
      row(log, dtype, diff_dst, dst, diff_src, offset, static_cast<size_t>(n), in, out);
    });
    return;
  }
  const auto block = HWY_DYNAMIC_DISPATCH(SoftmaxBackwardColumnBlock);
  each_column_block(outer, n, inner, [&](int64_t offset, size_t m) {
    block(log, dtype, diff_dst, dst, diff_src, offset, n, inner, m);
  });
}

void check_labels(const CrossEntropy& shape, const int64_t* labels) {
  for (int64_t i = 0; i < shape.rows; ++i) {
    DS_CHECK(labels[i] == shape.ignore_index || (labels[i] >= 0 && labels[i] < shape.classes),
             IndexError, "softmax_cross_entropy: label ", labels[i], " is outside [0, ", shape.classes, "); the logits have ", shape.classes, " classes");
  }
}

}  // namespace

void softmax(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
             DType dst_dtype, void* dst) {
  softmax_forward(false, src_dtype, src, outer, n, inner, dst_dtype, dst);
}
void log_softmax(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                 DType dst_dtype, void* dst) {
  softmax_forward(true, src_dtype, src, outer, n, inner, dst_dtype, dst);
}
void softmax_backward(DType dtype, const void* diff_dst, const void* dst, int64_t outer, int64_t n,
                      int64_t inner, void* diff_src) {
  backward(false, dtype, diff_dst, dst, outer, n, inner, diff_src);
}
void log_softmax_backward(DType dtype, const void* diff_dst, const void* dst, int64_t outer,
                          int64_t n, int64_t inner, void* diff_src) {
  backward(true, dtype, diff_dst, dst, outer, n, inner, diff_src);
}

void cross_entropy(const CrossEntropy& shape, DType dtype, const void* logits,
                   const int64_t* labels, float* loss, float* logsumexp) {
  check_labels(shape, labels);
  const auto row = HWY_DYNAMIC_DISPATCH(CrossEntropyRow);
  each_row(shape.rows, shape.classes, [&](int64_t offset, float* in, float*) {
    const int64_t r = offset / shape.classes;
    row(shape, dtype, logits, r, labels[r], loss + r, logsumexp + r, in);
  });
}

void cross_entropy_backward(const CrossEntropy& shape, DType dtype, const float* diff_loss,
                            int64_t diff_stride, const void* logits, const int64_t* labels,
                            const float* logsumexp, void* diff_logits) {
  check_labels(shape, labels);
  const auto row = HWY_DYNAMIC_DISPATCH(CrossEntropyBackwardRow);
  each_row(shape.rows, shape.classes, [&](int64_t offset, float* in, float*) {
    const int64_t r = offset / shape.classes;
    row(shape, dtype, diff_loss[r * diff_stride], logits, r, labels[r], logsumexp[r], diff_logits,
        in);
  });
}

}  // namespace ds::cpu
#endif
