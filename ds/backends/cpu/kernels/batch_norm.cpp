// SPDX-License-Identifier: Apache-2.0
// Batch normalisation. Channels last, a run of pixels with period c is one long row whose
// parameters are repeated; channels first, a row has one channel's parameters.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/batch_norm.cpp"
#include <hwy/foreach_target.h>

#include <cmath>
#include <vector>

#include "ds/backends/cpu/kernels/norm_affine.h"
#include "ds/backends/cpu/kernels/reduce.h"
#include "ds/backends/cpu/kernels/row-inl.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Elements converted at a time; a multiple of every vector length.
constexpr int64_t kNormBlock = 1024;

/// A per-channel parameter: one for a whole row, or one per element.
template <bool kPerElement>
struct Parameter {
  const float* values;
  VF one;
  HWY_INLINE explicit Parameter(const float* p) : values(p), one(hn::Set(DF(), *p)) {}
  template <class At>
  HWY_INLINE VF Get(At at) const {
    if constexpr (kPerElement) {
      return at.Load(values);
    } else {
      return one;
    }
  }
};

/// y = (x - mean) * scale + beta (+ residual) (ReLU) for one block.
template <bool kPerElement>
HWY_INLINE void ApplyBlock(const float* x, const float* mean, const float* scale, const float* beta,
                           const float* residual, bool relu, size_t n, float* y) {
  const Parameter<kPerElement> m(mean), a(scale), b(beta);
  const VF floor = relu ? hn::Zero(DF()) : hn::Neg(Inf());
  if (residual) {
    ForVec(n, [&](auto at) HWY_ATTR {
      VF v = hn::MulAdd(hn::Sub(at.Load(x), m.Get(at)), a.Get(at), b.Get(at));
      v = hn::Add(v, at.Load(residual));
      at.Store(KeepNan(v, hn::Max(v, floor)), y);
    });
  } else {
    ForVec(n, [&](auto at) HWY_ATTR {
      const VF v = hn::MulAdd(hn::Sub(at.Load(x), m.Get(at)), a.Get(at), b.Get(at));
      at.Store(KeepNan(v, hn::Max(v, floor)), y);
    });
  }
}

void ApplyRow(DType dtype, const void* x, int64_t offset, int64_t n, bool per_element,
              const float* mean, const float* scale, const float* beta, const void* residual,
              bool relu, void* y) {
  float in[kNormBlock], rest[kNormBlock];
  for (int64_t i = 0; i < n; i += kNormBlock) {
    const size_t len = static_cast<size_t>(std::min(kNormBlock, n - i));
    const float* src = AsFloats(dtype, x, offset + i, len, in);
    const float* add = residual ? AsFloats(dtype, residual, offset + i, len, rest) : nullptr;
    float* dst = FloatTarget(dtype, y, offset + i, in);
    if (per_element) {
      ApplyBlock<true>(src, mean + i, scale + i, beta + i, add, relu, len, dst);
    } else {
      ApplyBlock<false>(src, mean, scale, beta, add, relu, len, dst);
    }
    PutFloats(dtype, dst, y, offset + i, len);
  }
}

/// dy where y > 0 (everywhere without y).
template <class At>
HWY_INLINE VF Masked(At at, const float* dy, const float* y) {
  const VF d = at.Load(dy);
  return y ? hn::IfThenElseZero(hn::Lt(hn::Zero(DF()), at.Load(y)), d) : d;
}

struct BackwardBuffers {
  float dy[kNormBlock], x[kNormBlock], y[kNormBlock], dx[kNormBlock];
};

/// Adds dy and dy * (x - mean) of a row of up to kNormBlock elements to per-element f32 sums.
void SumColumns(DType dtype, const void* dy, const void* x, const void* y, int64_t offset, size_t n,
                const float* mean, float* sum, float* dot) {
  BackwardBuffers b;
  const float* d = AsFloats(dtype, dy, offset, n, b.dy);
  const float* src = AsFloats(dtype, x, offset, n, b.x);
  const float* out = y ? AsFloats(dtype, y, offset, n, b.y) : nullptr;
  ForVec(n, [&](auto at) HWY_ATTR {
    const VF g = Masked(at, d, out);
    at.Store(hn::Add(at.Load(sum), g), sum);
    at.Store(hn::MulAdd(g, hn::Sub(at.Load(src), at.Load(mean)), at.Load(dot)), dot);
  });
}

/// The same for four rows `step` apart at a time.
template <class T>
HWY_INLINE void SumFour(const T* dy, const T* x, int64_t step, size_t n, const float* mean,
                        float* sum, float* dot) {
  AddFourProducts(n, sum, dot, [=](auto at, int64_t row, VF& u, VF& v) HWY_ATTR {
    hwy::Prefetch(dy + (row + 4) * step + at.i);
    hwy::Prefetch(x + (row + 4) * step + at.i);
    u = at.Load(dy + row * step);
    v = hn::Sub(at.Load(x + row * step), at.Load(mean));
  });
}
void SumFourRows(DType dtype, const void* dy, const void* x, int64_t offset, int64_t step, size_t n,
                 const float* mean, float* sum, float* dot) {
  const auto run = [&]<class T>(const T* d) HWY_ATTR {
    SumFour(d + offset, static_cast<const T*>(x) + offset, step, n, mean, sum, dot);
  };
  dtype == DType::bf16 ? run(static_cast<const bf16*>(dy)) : run(static_cast<const float*>(dy));
}

void FlushColumns(float* sum, float* dot, double* wide_sum, double* wide_dot, size_t n) {
  AddWide(sum, wide_sum, n);
  AddWide(dot, wide_dot, n);
}

/// The same sums over a row of one channel, in f64.
void SumRow(DType dtype, const void* dy, const void* x, const void* y, int64_t offset, int64_t n,
            float mean, double* sum, double* dot) {
  BackwardBuffers b;
  const VF m = hn::Set(DF(), mean);
  for (int64_t i = 0; i < n; i += kNormBlock) {
    const size_t len = static_cast<size_t>(std::min(kNormBlock, n - i));
    const float* d = AsFloats(dtype, dy, offset + i, len, b.dy);
    const float* src = AsFloats(dtype, x, offset + i, len, b.x);
    const float* out = y ? AsFloats(dtype, y, offset + i, len, b.y) : nullptr;
    VF part_sum = hn::Zero(DF()), part_dot = part_sum;
    ForVec(len, [&](auto at) HWY_ATTR {
      const VF g = Masked(at, d, out);
      part_sum = hn::Add(part_sum, g);
      part_dot = hn::MulAdd(g, hn::Sub(at.Load(src), m), part_dot);
    });
    *sum += SumLanes(part_sum);
    *dot += SumLanes(part_dot);
  }
}

/// dx = dy * scale - offset - (x - mean) * slope for one block, dresidual = masked dy.
template <bool kPerElement>
HWY_INLINE void BackwardBlock(const float* dy, const float* x, const float* y, const float* mean,
                              const float* scale, const float* offset, const float* slope, size_t n,
                              float* dx, float* dresidual) {
  const Parameter<kPerElement> m(mean), a(scale), o(offset), s(slope);
  ForVec(n, [&](auto at) HWY_ATTR {
    const VF g = Masked(at, dy, y);
    const VF centered = hn::Sub(at.Load(x), m.Get(at));
    at.Store(hn::NegMulAdd(centered, s.Get(at), hn::MulSub(g, a.Get(at), o.Get(at))), dx);
    if (dresidual) at.Store(g, dresidual);
  });
}

void BackwardRow(DType dtype, const void* dy, const void* x, const void* y, int64_t offset,
                 int64_t n, bool per_element, const float* mean, const float* scale,
                 const float* shift, const float* slope, void* dx, void* dresidual) {
  BackwardBuffers b;
  for (int64_t i = 0; i < n; i += kNormBlock) {
    const size_t len = static_cast<size_t>(std::min(kNormBlock, n - i));
    const float* d = AsFloats(dtype, dy, offset + i, len, b.dy);
    const float* src = AsFloats(dtype, x, offset + i, len, b.x);
    const float* out = y ? AsFloats(dtype, y, offset + i, len, b.y) : nullptr;
    float* dst = FloatTarget(dtype, dx, offset + i, b.dx);
    float* rest = dresidual ? FloatTarget(dtype, dresidual, offset + i, b.dy) : nullptr;
    if (per_element) {
      BackwardBlock<true>(d, src, out, mean + i, scale + i, shift + i, slope + i, len, dst, rest);
    } else {
      BackwardBlock<false>(d, src, out, mean, scale, shift, slope, len, dst, rest);
    }
    PutFloats(dtype, dst, dx, offset + i, len);
    if (dresidual) PutFloats(dtype, rest, dresidual, offset + i, len);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(ApplyRow);
HWY_EXPORT(SumColumns);
HWY_EXPORT(SumFourRows);
HWY_EXPORT(FlushColumns);
HWY_EXPORT(SumRow);
HWY_EXPORT(BackwardRow);

namespace {

/// How many pixels make one long row when channels are last.
int64_t pixels_per_row(BatchShape shape) {
  return std::clamp<int64_t>(512 / shape.c, 1, std::max<int64_t>(1, shape.n * shape.s));
}

/// values [c] repeated `times`; a null pointer stands for `otherwise`.
std::vector<float> repeated(const float* values, int64_t c, int64_t times, float otherwise) {
  std::vector<float> out(c * times, otherwise);
  if (values) {
    for (int64_t t = 0; t < times; ++t) std::copy_n(values, c, out.begin() + t * c);
  }
  return out;
}

/// gamma / sqrt(var + eps)
std::vector<float> scales(const BatchNorm& norm, int64_t c) {
  std::vector<float> out(c);
  for (int64_t i = 0; i < c; ++i) {
    const double rstd = 1 / std::sqrt(static_cast<double>(norm.var[i]) + norm.eps);
    out[i] = static_cast<float>(rstd * (norm.gamma ? norm.gamma[i] : 1));
  }
  return out;
}

/// body(offset, length, channel) for every row; channel is -1 for long rows of repeated channels.
template <class Body>
void each_row(BatchShape shape, Body body) {
  if (shape.n * shape.c * shape.s == 0) return;
  if (!shape.channels_last) {
    parallel_for(shape.n * shape.c, std::max<int64_t>(1, 16384 / shape.s),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = begin; r < end; ++r) body(r * shape.s, shape.s, r % shape.c);
                 });
    return;
  }
  const int64_t total = shape.n * shape.s * shape.c, width = pixels_per_row(shape) * shape.c;
  parallel_for((total + width - 1) / width, std::max<int64_t>(1, 16384 / width),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   body(r * width, std::min(width, total - r * width), int64_t{-1});
                 }
               });
}

/// Sums of dy and dy * (x - mean) per channel, channels last.
void sum_channels_last(DType dtype, const void* dy, const void* x, const void* y, BatchShape shape,
                       const float* mean, double* sum, double* dot) {
  constexpr int64_t kBlock = 1024;
  const auto columns = HWY_DYNAMIC_DISPATCH(SumColumns);
  const auto four_rows = HWY_DYNAMIC_DISPATCH(SumFourRows);
  const auto flush = HWY_DYNAMIC_DISPATCH(FlushColumns);
  const bool by_fours = (dtype == DType::f32 || dtype == DType::bf16) && !y;
  const int64_t group = pixels_per_row(shape), width = group * shape.c;
  const int64_t total = shape.n * shape.s * shape.c, rows = (total + width - 1) / width;
  const int64_t pieces = std::clamp<int64_t>(rows / 32, 1, 64);
  const std::vector<float> means = repeated(mean, shape.c, group, 0);
  std::vector<double> sums(pieces * shape.c), dots(pieces * shape.c);
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> run_sum(width), run_dot(width);
    std::vector<double> wide_sum(width), wide_dot(width);
    for (int64_t p = begin; p < end; ++p) {
      std::fill(wide_sum.begin(), wide_sum.end(), 0.0);
      std::fill(wide_dot.begin(), wide_dot.end(), 0.0);
      const int64_t first = rows * p / pieces, last = rows * (p + 1) / pieces;
      for (int64_t r = first; r < last;) {
        const int64_t from = r;
        if (by_fours && r + 4 <= last && (r + 4) * width <= total) {
          four_rows(dtype, dy, x, r * width, width, run_sum.size(), means.data(), run_sum.data(),
                    run_dot.data());
          r += 4;
        } else {
          const int64_t len = std::min(width, total - r * width);
          for (int64_t i = 0; i < len; i += kBlock) {
            columns(dtype, dy, x, y, r * width + i, static_cast<size_t>(std::min(kBlock, len - i)),
                    means.data() + i, run_sum.data() + i, run_dot.data() + i);
          }
          ++r;
        }
        // Runs of 32 rows in f32.
        if ((r - first) / 32 != (from - first) / 32 || r == last)
          flush(run_sum.data(), run_dot.data(), wide_sum.data(), wide_dot.data(), run_sum.size());
      }
      for (int64_t g = 0; g < width; g += shape.c)
        for (int64_t i = 0; i < shape.c; ++i) {
          sums[p * shape.c + i] += wide_sum[g + i];
          dots[p * shape.c + i] += wide_dot[g + i];
        }
    }
  });
  for (int64_t p = 0; p < pieces; ++p) {
    for (int64_t i = 0; i < shape.c; ++i) {
      sum[i] += sums[p * shape.c + i];
      dot[i] += dots[p * shape.c + i];
    }
  }
}

void sum_channels_first(DType dtype, const void* dy, const void* x, const void* y, BatchShape shape,
                        const float* mean, double* sum, double* dot) {
  const auto row = HWY_DYNAMIC_DISPATCH(SumRow);
  const int64_t rows = shape.n * shape.c;
  std::vector<double> sums(rows), dots(rows);
  parallel_for(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(shape.s, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   row(dtype, dy, x, y, r * shape.s, shape.s, mean[r % shape.c], &sums[r],
                       &dots[r]);
                 }
               });
  for (int64_t r = 0; r < rows; ++r) {
    sum[r % shape.c] += sums[r];
    dot[r % shape.c] += dots[r];
  }
}

/// A value near the mean of each channel: the average of a few pixels spread over the batch.
std::vector<float> rough_means(DType dtype, const void* x, BatchShape shape) {
  constexpr int64_t kSamples = 8;
  const char* base = static_cast<const char*>(x);
  const int64_t size = static_cast<int64_t>(dtype_size(dtype)), pixels = shape.n * shape.s;
  std::vector<float> out(shape.c), sample(shape.c);
  for (int64_t k = 0; k < kSamples; ++k) {
    const int64_t pixel = pixels * k / kSamples;
    const int64_t offset = shape.channels_last
                               ? pixel * shape.c
                               : pixel / shape.s * shape.c * shape.s + pixel % shape.s;
    tile_load(dtype, base + offset * size, shape.channels_last ? 1 : shape.s, sample.data(),
              sample.size());
    for (int64_t i = 0; i < shape.c; ++i) out[i] += sample[i] / kSamples;
  }
  for (float& v : out) v = std::isfinite(v) ? v : 0;
  return out;
}

}  // namespace

void batch_norm_statistics(DType dtype, const void* x, BatchShape shape, float* mean, float* var) {
  const int64_t count = shape.n * shape.s;
  if (count == 0) {
    std::fill_n(mean, shape.c, std::nanf(""));
    std::fill_n(var, shape.c, std::nanf(""));
    return;
  }
  const std::vector<float> shift = rough_means(dtype, x, shape);
  const int64_t times = shape.channels_last ? 1 : shape.n;
  const std::vector<float> shifts = repeated(shift.data(), shape.c, times, 0);
  std::vector<double> sum(times * shape.c), squares(times * shape.c);
  if (shape.channels_last) {
    reduce_moments(dtype, x, 1, count, shape.c, shifts.data(), sum.data(), squares.data());
  } else {
    reduce_moments(dtype, x, shape.n * shape.c, shape.s, 1, shifts.data(), sum.data(),
                   squares.data());
  }
  for (int64_t i = 0; i < shape.c; ++i) {
    double s = 0, q = 0;
    for (int64_t t = 0; t < times; ++t) {
      s += sum[t * shape.c + i];
      q += squares[t * shape.c + i];
    }
    const double delta = s / static_cast<double>(count);
    mean[i] = static_cast<float>(shift[i] + delta);
    const double variance = q / static_cast<double>(count) - delta * delta;
    var[i] = static_cast<float>(variance < 0 ? 0 : variance);
  }
}

void affine_apply(DType dtype, const void* x, BatchShape shape, const float* mean,
                  const float* scale, const float* beta, const void* residual, bool relu, void* y) {
  const int64_t times = shape.channels_last ? pixels_per_row(shape) : 1;
  const std::vector<float> m = repeated(mean, shape.c, times, 0);
  const std::vector<float> a = repeated(scale, shape.c, times, 1);
  const std::vector<float> b = repeated(beta, shape.c, times, 0);
  const auto row = HWY_DYNAMIC_DISPATCH(ApplyRow);
  each_row(shape, [&](int64_t offset, int64_t n, int64_t channel) {
    const int64_t c = std::max<int64_t>(channel, 0);
    row(dtype, x, offset, n, channel < 0, m.data() + c, a.data() + c, b.data() + c, residual, relu,
        y);
  });
}

void affine_sums(DType dtype, const void* dy, const void* x, const void* y, BatchShape shape,
                 const float* mean, double* sum, double* dot) {
  if (shape.channels_last) {
    sum_channels_last(dtype, dy, x, y, shape, mean, sum, dot);
  } else {
    sum_channels_first(dtype, dy, x, y, shape, mean, sum, dot);
  }
}

void affine_backward(DType dtype, const void* dy, const void* x, const void* y, BatchShape shape,
                     const float* mean, const float* scale, const float* offset, const float* slope,
                     void* dx, void* dresidual) {
  const int64_t times = shape.channels_last ? pixels_per_row(shape) : 1;
  const std::vector<float> m = repeated(mean, shape.c, times, 0);
  const std::vector<float> a = repeated(scale, shape.c, times, 1);
  const std::vector<float> o = repeated(offset, shape.c, times, 0);
  const std::vector<float> k = repeated(slope, shape.c, times, 0);
  const auto row = HWY_DYNAMIC_DISPATCH(BackwardRow);
  each_row(shape, [&](int64_t at, int64_t n, int64_t channel) {
    const int64_t c = std::max<int64_t>(channel, 0);
    row(dtype, dy, x, y, at, n, channel < 0, m.data() + c, a.data() + c, o.data() + c, k.data() + c,
        dx, dresidual);
  });
}

void batch_norm_apply(DType dtype, const void* x, BatchShape shape, const BatchNorm& norm,
                      const void* residual, bool relu, void* y) {
  affine_apply(dtype, x, shape, norm.mean, scales(norm, shape.c).data(), norm.beta, residual, relu,
               y);
}

void batch_norm_backward_reduce(DType dtype, const void* dy, const void* x, const void* y,
                                BatchShape shape, const BatchNorm& norm, float* dgamma,
                                float* dbeta) {
  std::vector<double> sum(shape.c), dot(shape.c);
  affine_sums(dtype, dy, x, y, shape, norm.mean, sum.data(), dot.data());
  for (int64_t i = 0; i < shape.c; ++i) {
    const double rstd = 1 / std::sqrt(static_cast<double>(norm.var[i]) + norm.eps);
    dgamma[i] = static_cast<float>(dot[i] * rstd);
    dbeta[i] = static_cast<float>(sum[i]);
  }
}

void batch_norm_backward_apply(DType dtype, const void* dy, const void* x, const void* y,
                               BatchShape shape, const BatchNorm& norm, const float* dgamma,
                               const float* dbeta, bool fixed_statistics, void* dx,
                               void* dresidual) {
  const double count = static_cast<double>(shape.n * shape.s);
  const std::vector<float> scale = scales(norm, shape.c);
  std::vector<float> offset(shape.c), slope(shape.c);
  for (int64_t i = 0; i < shape.c && !fixed_statistics; ++i) {
    const double rstd = 1 / std::sqrt(static_cast<double>(norm.var[i]) + norm.eps);
    offset[i] = static_cast<float>(scale[i] * (dbeta[i] / count));
    slope[i] = static_cast<float>(scale[i] * (dgamma[i] * rstd / count));
  }
  affine_backward(dtype, dy, x, y, shape, norm.mean, scale.data(), offset.data(), slope.data(), dx,
                  dresidual);
}

}  // namespace ds::cpu
#endif
