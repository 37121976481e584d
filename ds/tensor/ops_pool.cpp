// SPDX-License-Identifier: Apache-2.0
// The pooling functions of ops_nn.h.
#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_activation.h"
#include "ds/tensor/ops_nn.h"

namespace ds {
namespace {

/// input [N, C, ...]; `batched` says whether N was there.
Tensor with_batch_dim(const Tensor& input, int spatial, const char* op, bool& batched) {
  batched = input.dim() == spatial + 2;
  DS_CHECK(batched || input.dim() == spatial + 1, ShapeError, op, ": input ", input.type(),
           " must have ", spatial + 1, " or ", spatial + 2, " dimensions");
  for (int i = batched ? 1 : 0; i < input.dim(); ++i)
    DS_CHECK(input.shape()[i] > 0, ShapeError, op, ": input ", input.type(),
             " is empty; only the batch may have size 0");
  if (batched) return input;
  Shape shape = input.shape();
  shape.insert(0, 1);
  return reshaped(input, shape);
}

Tensor without_batch_dim(const Tensor& x, bool batched) {
  return batched ? x : reshaped(x, Shape(x.shape().begin() + 1, x.shape().end()));
}

struct Window {
  Shape kernel, stride, low, high, dilation;
};

Window window(const Tensor& x, const PerDim& kernel_size, const PerDim& stride,
              const PerDim& padding, const PerDim& dilation, bool ceil_mode, const char* op) {
  const int spatial = x.dim() - 2;
  Window w;
  w.kernel = kernel_size.over(spatial, op, "kernel_size", 1);
  w.stride = stride.empty() ? w.kernel : stride.over(spatial, op, "stride", 1);
  w.low = w.high = padding.over(spatial, op, "padding", 0);
  w.dilation = dilation.over(spatial, op, "dilation", 1);
  for (int i = 0; i < spatial; ++i) {
    const int64_t reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
    DS_CHECK(w.low[i] <= reach / 2, ValueError, op, ": padding ", w.low,
             " must be at most half of kernel_size ", w.kernel);
    const int64_t size = x.shape()[i + 2];
    if (!ceil_mode || size + 2 * w.low[i] < reach) continue;
    int64_t out = (size + 2 * w.low[i] - reach + w.stride[i] - 1) / w.stride[i] + 1;
    if ((out - 1) * w.stride[i] >= size + w.low[i]) --out;  // the last window starts inside
    w.high[i] = std::max(w.low[i], (out - 1) * w.stride[i] + reach - size - w.low[i]);
  }
  return w;
}

std::pair<Tensor, Tensor> max_pool(int spatial, const Tensor& input, const PerDim& kernel_size,
                                   const PerDim& stride, const PerDim& padding,
                                   const PerDim& dilation, bool ceil_mode, const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, op, batched);
  const Window w = window(x, kernel_size, stride, padding, dilation, ceil_mode, op);
  const std::vector<Tensor> out =
      record_all(Op::max_pool_, {x}, {w.kernel, w.stride, w.low, w.high, w.dilation});
  return {without_batch_dim(out[0], batched), without_batch_dim(out[1], batched)};
}

Tensor avg_pool(int spatial, const Tensor& input, const PerDim& kernel_size, const PerDim& stride,
                const PerDim& padding, bool ceil_mode, bool count_include_pad,
                std::optional<int64_t> divisor, const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, op, batched);
  DS_CHECK(!divisor || *divisor != 0, ValueError, op, ": divisor_override is 0");
  const Window w = window(x, kernel_size, stride, padding, 1, ceil_mode, op);
  return without_batch_dim(
      record(Op::avg_pool_, {x},
             {w.kernel, w.stride, w.low, w.high, count_include_pad, divisor.value_or(0)}),
      batched);
}

/// -1 keeps the input's size.
Shape adaptive_size(const Tensor& x, const PerDim& output_size, const char* op) {
  Shape size = output_size.over(x.dim() - 2, op, "output_size", -1);
  for (int i = 0; i < size.rank(); ++i)
    if (size[i] == -1) size[i] = x.shape()[i + 2];
  return size;
}

Tensor adaptive_avg_pool(int spatial, const Tensor& input, const PerDim& output_size,
                         const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, op, batched);
  return without_batch_dim(record(Op::adaptive_avg_pool_, {x}, {adaptive_size(x, output_size, op)}),
                           batched);
}

std::pair<Tensor, Tensor> adaptive_max_pool(int spatial, const Tensor& input,
                                            const PerDim& output_size, const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, op, batched);
  const std::vector<Tensor> out =
      record_all(Op::adaptive_max_pool_, {x}, {adaptive_size(x, output_size, op)});
  return {without_batch_dim(out[0], batched), without_batch_dim(out[1], batched)};
}

Tensor lp_pool(int spatial, const Tensor& input, double p, const PerDim& kernel_size,
               const PerDim& stride, bool ceil_mode, const char* op) {
  const Tensor mean =
      avg_pool(spatial, pow(input, p), kernel_size, stride, 0, ceil_mode, true, std::nullopt, op);
  const int64_t count = kernel_size.over(spatial, op, "kernel_size", 1).numel();
  return pow(sign(mean) * relu(abs(mean)) * static_cast<double>(count), 1.0 / p);
}

Tensor max_unpool(int spatial, const Tensor& input, const Tensor& indices,
                  const PerDim& kernel_size, const PerDim& stride, const PerDim& padding,
                  const std::optional<Shape>& output_size, const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, op, batched);
  DS_CHECK(indices.shape() == input.shape(), ShapeError, op, ": indices ", indices.type(),
           " must have the shape of input ", input.type());
  const Shape kernel = kernel_size.over(spatial, op, "kernel_size", 1);
  const Shape step = stride.empty() ? kernel : stride.over(spatial, op, "stride", 1);
  const Shape low = padding.over(spatial, op, "padding", 0);
  Shape out{x.shape()[0], x.shape()[1]};
  for (int i = 0; i < spatial; ++i) {
    const int64_t usual = (x.shape()[i + 2] - 1) * step[i] - 2 * low[i] + kernel[i];
    const int64_t size = output_size ? (*output_size)[output_size->rank() - spatial + i] : usual;
    DS_CHECK(size > usual - step[i] && size < usual + step[i], ValueError, op, ": output_size ",
             size, " at spatial dimension ", i, " must be between ", usual - step[i] + 1, " and ",
             usual + step[i] - 1);
    out.push_back(size);
  }
  const int64_t plane = Shape(out.begin() + 2, out.end()).numel();
  const int64_t values = Shape(x.shape().begin() + 2, x.shape().end()).numel();
  const Tensor zeros = constant({out[0], out[1], plane}, 0, x.dtype(), x.device());
  const Tensor place = reshaped(as_index(indices, op), {out[0], out[1], values});
  const Tensor filled = record(Op::scatter_, {zeros, place, reshaped(x, {out[0], out[1], values})},
                               {2, std::string("set")});
  return without_batch_dim(reshaped(filled, out), batched);
}

}  // namespace

#define DS_POOL(N)                                                                                 \
  std::pair<Tensor, Tensor> max_pool##N##d_with_indices(                                           \
      const Tensor& input, const PerDim& kernel_size, const PerDim& stride, const PerDim& padding, \
      const PerDim& dilation, bool ceil_mode) {                                                    \
    return max_pool(N, input, kernel_size, stride, padding, dilation, ceil_mode,                   \
                    "max_pool" #N "d");                                                            \
  }                                                                                                \
  Tensor max_pool##N##d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride,      \
                        const PerDim& padding, const PerDim& dilation, bool ceil_mode) {           \
    return max_pool##N##d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)   \
        .first;                                                                                    \
  }                                                                                                \
  Tensor lp_pool##N##d(const Tensor& input, double norm_type, const PerDim& kernel_size,           \
                       const PerDim& stride, bool ceil_mode) {                                     \
    return lp_pool(N, input, norm_type, kernel_size, stride, ceil_mode, "lp_pool" #N "d");         \
  }                                                                                                \
  Tensor adaptive_avg_pool##N##d(const Tensor& input, const PerDim& output_size) {                 \
    return adaptive_avg_pool(N, input, output_size, "adaptive_avg_pool" #N "d");                   \
  }                                                                                                \
  std::pair<Tensor, Tensor> adaptive_max_pool##N##d(const Tensor& input,                           \
                                                    const PerDim& output_size) {                   \
    return adaptive_max_pool(N, input, output_size, "adaptive_max_pool" #N "d");                   \
  }                                                                                                \
  Tensor max_unpool##N##d(const Tensor& input, const Tensor& indices, const PerDim& kernel_size,   \
                          const PerDim& stride, const PerDim& padding,                             \
                          const std::optional<Shape>& output_size) {                               \
    return max_unpool(N, input, indices, kernel_size, stride, padding, output_size,                \
                      "max_unpool" #N "d");                                                        \
  }
DS_POOL(1)
DS_POOL(2)
DS_POOL(3)
#undef DS_POOL

Tensor avg_pool1d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride,
                  const PerDim& padding, bool ceil_mode, bool count_include_pad) {
  return avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                  std::nullopt, "avg_pool1d");
}
Tensor avg_pool2d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride,
                  const PerDim& padding, bool ceil_mode, bool count_include_pad,
                  std::optional<int64_t> divisor_override) {
  return avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                  divisor_override, "avg_pool2d");
}
Tensor avg_pool3d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride,
                  const PerDim& padding, bool ceil_mode, bool count_include_pad,
                  std::optional<int64_t> divisor_override) {
  return avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                  divisor_override, "avg_pool3d");
}

}  // namespace ds
