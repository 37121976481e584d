// SPDX-License-Identifier: Apache-2.0
// The convolutions of ops_nn.h.
#include <utility>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_nn.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// input with a batch dimension; `batched` says whether it had one.
Tensor with_batch_dim(const Tensor& input, int spatial, const Tensor& weight, const char* op,
                      bool& batched) {
  batched = input.dim() == spatial + 2;
  DS_CHECK((batched || input.dim() == spatial + 1) && weight.dim() == spatial + 2, ShapeError, op,
           ": input ", input.type(), " and weight ", weight.type(), " need ", spatial + 1, " or ",
           spatial + 2, " and ", spatial + 2, " dimensions");
  DS_CHECK(input.dtype() == weight.dtype() || autocast(), DTypeError, op, ": input ", input.type(),
           " and weight ", weight.type(),
           " differ in dtype; convert one with to() or use autocast");
  if (batched) return input;
  Shape shape = input.shape();
  shape.insert(0, 1);
  return reshaped(input, shape);
}

Tensor finished(const Tensor& out, const OptionalTensor& bias, int64_t channels, bool batched,
                const char* op) {
  Tensor y = out;
  if (present(bias)) {
    DS_CHECK(bias->shape() == Shape{channels}, ShapeError, op, ": bias ", bias->type(),
             " must have ", channels, " elements, one per output channel");
    Shape shape = Shape::filled(out.dim(), 1);
    shape[1] = channels;
    y = y + reshaped(autocast() ? to_dtype(*bias, out.dtype()) : *bias, shape);
  }
  return batched ? y : reshaped(y, Shape(y.shape().begin() + 1, y.shape().end()));
}

/// What a convolution's kernel does along its spatial dimensions.
struct Window {
  Shape step, low, high, gap;
};

/// The one of two sides that the kernel covers whole, 0 or 1; -1 when it covers none or both.
int whole_side(const Tensor& x, const Tensor& weight, const Window& window) {
  const auto whole = [&](int i) {
    return weight.shape()[i + 2] == x.shape()[i + 2] && window.low[i] == 0 && window.high[i] == 0 &&
           window.gap[i] == 1;
  };
  return whole(0) == whole(1) ? -1 : whole(0) ? 0 : 1;
}

/// Few channels, and a kernel as high (or as wide) as the image that only moves the other way: text
/// as an image of its embeddings, or spectra over time. What it covers are channels then, which is
/// faster by far: kernels of convolutions have their loops inside over channels.
bool spans_a_side(const Tensor& x, const Tensor& weight, const Window& window, int64_t groups) {
  constexpr int64_t kFewChannels = 16;  // a block of kernels in AVX-512
  if (x.dim() != 4 || groups != 1 || x.shape()[1] >= kFewChannels) return false;
  const int side = whole_side(x, weight, window), other = 1 - side;
  if (side < 0 || weight.shape()[side + 2] <= 1 || weight.shape()[other + 2] <= 1) return false;
  // One that does not fit is to fail as it is.
  return window.gap[other] * (weight.shape()[other + 2] - 1) <
         x.shape()[other + 2] + window.low[other] + window.high[other];
}

/// [N, C, H, W] as [N, C * side, 1, rest].
Tensor side_as_channels(const Tensor& x, int side) {
  const Shape& shape = x.shape();
  const Shape flat{shape[0], shape[1] * shape[side + 2], 1, shape[3 - side]};
  return reshaped(side == 0 ? x : transpose(x, 2, 3), flat);
}

Tensor over_one_side(const Tensor& x, const Tensor& weight, Window window) {
  const int side = whole_side(x, weight, window);
  for (Shape* sizes : {&window.step, &window.low, &window.high, &window.gap})
    if (side == 1) std::swap((*sizes)[0], (*sizes)[1]);
  const Tensor y =
      record(Op::convolution_, {side_as_channels(x, side), side_as_channels(weight, side)},
             {window.step, window.low, window.high, window.gap, int64_t{1}});
  return side == 0 ? y : transpose(y, 2, 3);
}

Tensor conv(int spatial, const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
            const PerDim& stride, const ConvPadding& padding, const PerDim& dilation,
            int64_t groups, const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, weight, op, batched);
  const Shape step = stride.over(spatial, op, "stride", 1);
  const Shape gap = dilation.over(spatial, op, "dilation", 1);
  Shape low, high;
  if (padding.mode() == "same") {
    for (int i = 0; i < spatial; ++i) {
      DS_CHECK(step[i] == 1, ValueError, op, ": padding 'same' needs stride 1, it is ", step);
      const int64_t total = gap[i] * (weight.shape()[i + 2] - 1);
      low.push_back(total / 2);
      high.push_back(total - total / 2);
    }
  } else {
    DS_CHECK(padding.mode().empty() || padding.mode() == "valid", ValueError, op, ": padding '",
             padding.mode(), "' is unknown; use 'same', 'valid' or numbers");
    low = padding.mode().empty() ? padding.over(spatial, op, "padding", 0)
                                 : Shape::filled(spatial, 0);
    high = low;
  }
  DS_CHECK(groups >= 1 && x.shape()[1] == weight.shape()[1] * groups, ShapeError, op, ": input ",
           input.type(), " has ", x.shape()[1], " channels, weight ", weight.type(),
           " with groups ", groups, " expects ", weight.shape()[1] * groups);
  const Window window{step, low, high, gap};
  const Tensor y = spans_a_side(x, weight, window, groups)
                       ? over_one_side(x, weight, window)
                       : record(Op::convolution_, {x, weight}, {step, low, high, gap, groups});
  return finished(y, bias, weight.shape()[0], batched, op);
}

/// The gradient of a convolution for its source, as a layer.
Tensor conv_transpose(int spatial, const Tensor& input, const Tensor& weight,
                      const OptionalTensor& bias, const PerDim& stride, const PerDim& padding,
                      const PerDim& output_padding, int64_t groups, const PerDim& dilation,
                      const char* op) {
  bool batched;
  const Tensor x = with_batch_dim(input, spatial, weight, op, batched);
  const Shape step = stride.over(spatial, op, "stride", 1);
  const Shape gap = dilation.over(spatial, op, "dilation", 1);
  const Shape low = padding.over(spatial, op, "padding", 0);
  const Shape extra = output_padding.over(spatial, op, "output_padding", 0);
  DS_CHECK(groups >= 1 && x.shape()[1] == weight.shape()[0] && x.shape()[1] % groups == 0,
           ShapeError, op, ": input ", input.type(), " has ", x.shape()[1], " channels, weight ",
           weight.type(), " with groups ", groups, " expects ", weight.shape()[0]);
  Shape sizes, high = low, tail;
  bool has_tail = false;
  for (int i = 0; i < spatial; ++i) {
    DS_CHECK(extra[i] < std::max(step[i], gap[i]), ValueError, op, ": output_padding ", extra,
             " must be smaller than stride ", step, " or dilation ", gap);
    // Output that the strides leave open is less cropping at the high end, then zeros.
    int64_t zeros = 0, grown = extra[i];
    if (extra[i] >= step[i]) {
      high[i] = std::max<int64_t>(low[i] - extra[i], 0);
      zeros = std::max<int64_t>(extra[i] - low[i], 0);
      grown = extra[i] - zeros;
    }
    tail.push_back(zeros);
    has_tail = has_tail || zeros > 0;
    sizes.push_back((x.shape()[i + 2] - 1) * step[i] - 2 * low[i] +
                    gap[i] * (weight.shape()[i + 2] - 1) + 1 + grown);
    DS_CHECK(sizes.back() >= 1, ShapeError, op, ": input ", input.type(), " with padding ", low,
             " gives no output");
  }
  Tensor y = record(Op::conv_diff_src_, {x, weight}, {sizes, step, low, high, gap, groups});
  if (has_tail) {
    Shape border = tail;
    border.insert(0, 0);
    border.insert(0, 0);
    y = record(Op::pad_, {y}, {Shape::filled(spatial + 2, 0), border, 0.0});
  }
  return finished(y, bias, weight.shape()[1] * groups, batched, op);
}

}  // namespace

Tensor conv1d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
              const PerDim& stride, const ConvPadding& padding, const PerDim& dilation,
              int64_t groups) {
  return conv(1, input, weight, bias, stride, padding, dilation, groups, "conv1d");
}
Tensor conv2d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
              const PerDim& stride, const ConvPadding& padding, const PerDim& dilation,
              int64_t groups) {
  return conv(2, input, weight, bias, stride, padding, dilation, groups, "conv2d");
}
Tensor conv3d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
              const PerDim& stride, const ConvPadding& padding, const PerDim& dilation,
              int64_t groups) {
  return conv(3, input, weight, bias, stride, padding, dilation, groups, "conv3d");
}

Tensor conv_transpose1d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                        const PerDim& stride, const PerDim& padding, const PerDim& output_padding,
                        int64_t groups, const PerDim& dilation) {
  return conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation,
                        "conv_transpose1d");
}
Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                        const PerDim& stride, const PerDim& padding, const PerDim& output_padding,
                        int64_t groups, const PerDim& dilation) {
  return conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation,
                        "conv_transpose2d");
}
Tensor conv_transpose3d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                        const PerDim& stride, const PerDim& padding, const PerDim& output_padding,
                        int64_t groups, const PerDim& dilation) {
  return conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation,
                        "conv_transpose3d");
}

}  // namespace ds
