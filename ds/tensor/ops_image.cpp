// SPDX-License-Identifier: Apache-2.0
// The functions of ops_shape.h that rearrange images: shuffles, im2col and col2im.
#include "ds/base/error.h"
#include "ds/ir/infer.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// The sliding windows of a [N, C, H, W] image with borders, as a strided view of it.
struct Windows {
  Shape image;    // [N, C, H + 2 ph, W + 2 pw]
  Shape shape;    // [N, C, kh, kw, OH, OW]
  Shape strides;  // of the view
  Shape kernel;
  Shape padding;
};

Windows windows(int64_t n, int64_t c, const Shape& size, const PerDim& kernel_size,
                const PerDim& dilation, const PerDim& padding, const PerDim& stride,
                const char* op) {
  Windows w;
  w.kernel = kernel_size.over(2, op, "kernel_size", 1);
  w.padding = padding.over(2, op, "padding", 0);
  const Shape gap = dilation.over(2, op, "dilation", 1);
  const Shape step = stride.over(2, op, "stride", 1);
  w.image = {n, c, size[0] + 2 * w.padding[0], size[1] + 2 * w.padding[1]};
  const Shape base = contiguous_strides(w.image);
  w.shape = {n, c, w.kernel[0], w.kernel[1], 0, 0};
  w.strides = {base[0], base[1], gap[0] * base[2], gap[1], step[0] * base[2], step[1]};
  for (int i = 0; i < 2; ++i) {
    w.shape[4 + i] =
        window_output(size[i], w.kernel[i], step[i], w.padding[i], w.padding[i], gap[i]);
    DS_CHECK(w.shape[4 + i] > 0, ShapeError, op, ": a kernel of ", w.kernel,
             " does not fit into an image of ", size, " with padding ", w.padding);
  }
  return w;
}

}  // namespace

Tensor pixel_shuffle(const Tensor& input, int64_t upscale_factor) {
  const int64_t r = upscale_factor;
  DS_CHECK(input.dim() >= 3 && r > 0 && input.shape()[input.dim() - 3] % (r * r) == 0, ShapeError,
           "pixel_shuffle: input ", input.type(), " must be [..., C*", r, "*", r, ", H, W]");
  const int lead = input.dim() - 3;
  const int64_t c = input.shape()[lead], h = input.shape()[lead + 1], w = input.shape()[lead + 2];
  const int64_t n = c == 0 || h == 0 || w == 0 ? 0 : input.numel() / (c * h * w);
  const Tensor split = reshaped(input, {n, c / (r * r), r, r, h, w});
  Shape out = input.shape();
  out[lead] = c / (r * r);
  out[lead + 1] = h * r;
  out[lead + 2] = w * r;
  return reshaped(permuted(split, {0, 1, 4, 2, 5, 3}), out);
}

Tensor pixel_unshuffle(const Tensor& input, int64_t downscale_factor) {
  const int64_t r = downscale_factor;
  DS_CHECK(input.dim() >= 3 && r > 0 && input.shape().back() % r == 0 &&
               input.shape()[input.dim() - 2] % r == 0,
           ShapeError, "pixel_unshuffle: input ", input.type(), " must be [..., C, H*", r, ", W*",
           r, "]");
  const int lead = input.dim() - 3;
  const int64_t c = input.shape()[lead], h = input.shape()[lead + 1] / r,
                w = input.shape()[lead + 2] / r;
  const int64_t n = input.numel() == 0 ? 0 : input.numel() / (c * h * w * r * r);
  const Tensor split = reshaped(input, {n, c, h, r, w, r});
  Shape out = input.shape();
  out[lead] = c * r * r;
  out[lead + 1] = h;
  out[lead + 2] = w;
  return reshaped(permuted(split, {0, 1, 3, 5, 2, 4}), out);
}

Tensor channel_shuffle(const Tensor& input, int64_t groups) {
  DS_CHECK(input.dim() >= 3 && groups > 0 && input.shape()[1] % groups == 0, ShapeError,
           "channel_shuffle: the channels of input ", input.type(), " do not divide into ", groups,
           " groups");
  const Shape& s = input.shape();
  const int64_t rest = input.numel() == 0 ? 0 : input.numel() / (s[0] * s[1]);
  const Tensor split = reshaped(input, {s[0], groups, s[1] / groups, rest});
  return reshaped(permuted(split, {0, 2, 1, 3}), s);
}

Tensor im2col(const Tensor& input, const PerDim& kernel_size, const PerDim& dilation,
              const PerDim& padding, const PerDim& stride) {
  DS_CHECK(input.dim() == 4 || input.dim() == 3, ShapeError, "unfold: input ", input.type(),
           " must be [N, C, H, W] or [C, H, W]");
  const bool batched = input.dim() == 4;
  const Shape& s = input.shape();
  const int c = batched ? 1 : 0;
  const Windows w = windows(batched ? s[0] : 1, s[c], {s[c + 1], s[c + 2]}, kernel_size, dilation,
                            padding, stride, "unfold");
  const Tensor image = pad(input, {w.padding[1], w.padding[1], w.padding[0], w.padding[0]});
  const Tensor view = record(Op::as_strided_, {image}, {w.shape, w.strides, int64_t{0}});
  Shape out = {w.shape[0], s[c] * w.kernel.numel(), w.shape[4] * w.shape[5]};
  if (!batched) out.erase(0);
  return reshaped(view, out);
}

Tensor col2im(const Tensor& input, const PerDim& output_size, const PerDim& kernel_size,
              const PerDim& dilation, const PerDim& padding, const PerDim& stride) {
  DS_CHECK(input.dim() == 3 || input.dim() == 2, ShapeError, "fold: input ", input.type(),
           " must be [N, C*kh*kw, L] or [C*kh*kw, L]");
  const bool batched = input.dim() == 3;
  const int64_t n = batched ? input.shape()[0] : 1;
  const int64_t rows = input.shape()[batched ? 1 : 0];
  const Shape size = output_size.over(2, "fold", "output_size", 1);
  const int64_t per_channel = kernel_size.over(2, "fold", "kernel_size", 1).numel();
  DS_CHECK(rows % per_channel == 0, ShapeError, "fold: the ", rows, " rows of input ", input.type(),
           " are no multiple of the kernel's ", per_channel, " elements");
  const Windows w =
      windows(n, rows / per_channel, size, kernel_size, dilation, padding, stride, "fold");
  DS_CHECK(input.shape().back() == w.shape[4] * w.shape[5], ShapeError, "fold: input ",
           input.type(), " has ", input.shape().back(), " columns, an image of ", size, " needs ",
           w.shape[4] * w.shape[5]);
  const Tensor image =
      record(Op::as_strided_add_, {reshaped(input, w.shape)}, {w.image, w.strides, int64_t{0}});
  const Tensor inner = sliced(sliced(image, 2, w.padding[0], size[0]), 3, w.padding[1], size[1]);
  return batched ? inner : reshaped(inner, {rows / per_channel, size[0], size[1]});
}

}  // namespace ds
