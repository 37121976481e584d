// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_conv.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/ops.h"

namespace ds::nn {
namespace {

/// A tuple as Python prints it: (3, 3), or (3,).
std::string tuple_text(const PerDim& values, int dims) {
  const Shape& given = values.given();
  std::string text = "(";
  for (int i = 0; i < dims; ++i) text += str(i ? ", " : "", given[given.rank() == 1 ? 0 : i]);
  return text + (dims == 1 ? ",)" : ")");
}

/// One number when one was given, else a tuple: how PyTorch prints pooling arguments.
std::string plain_text(const PerDim& values) {
  return values.given().rank() == 1 ? std::to_string(values.given()[0])
                                    : tuple_text(values, values.given().rank());
}

/// A pooling argument: a tuple in AvgPool1d, else as it was given.
std::string pool_text(const PerDim& values, bool tuple) {
  return tuple ? tuple_text(values, 1) : plain_text(values);
}

bool is_all(const PerDim& values, int64_t value) {
  for (int64_t v : values.given())
    if (v != value) return false;
  return true;
}

Tensor conv(int dims, const Tensor& x, const Tensor& w, const OptionalTensor& b,
            const ConvOptions& o, const ConvPadding& padding) {
  if (dims == 1) return conv1d(x, w, b, o.stride, padding, o.dilation, o.groups);
  if (dims == 2) return conv2d(x, w, b, o.stride, padding, o.dilation, o.groups);
  return conv3d(x, w, b, o.stride, padding, o.dilation, o.groups);
}

/// Sizes for pad(), last dimension first, that `padding` stands for.
Shape pad_sizes(int dims, const ConvOptions& o) {
  const Shape kernel = o.kernel_size.over(dims, "conv", "kernel_size", 1);
  const Shape dilation = o.dilation.over(dims, "conv", "dilation", 1);
  Shape sizes;
  for (int i = dims - 1; i >= 0; --i) {
    if (o.padding.mode() == "same") {
      const int64_t total = dilation[i] * (kernel[i] - 1);
      sizes.push_back(total / 2);
      sizes.push_back(total - total / 2);
    } else {
      const int64_t p =
          o.padding.mode() == "valid" ? 0 : o.padding.over(dims, "conv", "padding", 0)[i];
      sizes.push_back(p);
      sizes.push_back(p);
    }
  }
  return sizes;
}

}  // namespace

ConvBase::ConvBase(int spatial_dims, bool transposed, ConvOptions options)
    : spatial_dims_(spatial_dims), transposed_(transposed), options_(std::move(options)) {
  const ConvOptions& o = options_;
  const std::string name = type_name();
  DS_CHECK(o.groups >= 1 && o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0,
           ValueError, name, ": groups ", o.groups, " must divide in_channels ", o.in_channels,
           " and out_channels ", o.out_channels);
  DS_CHECK(o.padding_mode == "zeros" ||
               (!transposed && (o.padding_mode == "reflect" || o.padding_mode == "replicate" ||
                                o.padding_mode == "circular")),
           ValueError, name, ": padding_mode '", o.padding_mode, "' is not available; use ",
           transposed ? "zeros" : "zeros, reflect, replicate or circular");
  const Shape kernel = o.kernel_size.over(spatial_dims, name.c_str(), "kernel_size", 1);
  Shape shape = transposed ? Shape{o.in_channels, o.out_channels / o.groups}
                           : Shape{o.out_channels, o.in_channels / o.groups};
  for (int64_t size : kernel) shape.push_back(size);
  register_parameter("weight", empty(shape));
  register_parameter("bias", o.bias ? empty({o.out_channels}) : Tensor());
  reset_parameters();
}

void ConvBase::reset_parameters() {
  const Tensor weight = parameter("weight"), bias = parameter("bias");
  init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (bias.defined() && weight.numel() > 0) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(init::fans(weight).in));
    init::uniform_(bias, -bound, bound);
  }
}

std::string ConvBase::type_name() const {
  return str("Conv", transposed_ ? "Transpose" : "", spatial_dims_, "d");
}

std::string ConvBase::extra_repr() const {
  const ConvOptions& o = options_;
  std::string text = str(o.in_channels, ", ", o.out_channels,
                         ", kernel_size=", tuple_text(o.kernel_size, spatial_dims_),
                         ", stride=", tuple_text(o.stride, spatial_dims_));
  if (!o.padding.mode().empty())
    text += ", padding=" + o.padding.mode();
  else if (!is_all(o.padding, 0))
    text += ", padding=" + tuple_text(o.padding, spatial_dims_);
  if (!is_all(o.dilation, 1)) text += ", dilation=" + tuple_text(o.dilation, spatial_dims_);
  if (!is_all(o.output_padding, 0))
    text += ", output_padding=" + tuple_text(o.output_padding, spatial_dims_);
  if (o.groups != 1) text += str(", groups=", o.groups);
  if (!o.bias) text += ", bias=False";
  if (o.padding_mode != "zeros") text += ", padding_mode=" + o.padding_mode;
  return text;
}

template <int D>
Tensor Conv<D>::forward(const Tensor& x) {
  const Tensor weight = parameter("weight");
  const std::optional<Tensor> bias = optional_parameter("bias");
  if (options_.padding_mode == "zeros") return conv(D, x, weight, bias, options_, options_.padding);
  return conv(D, pad(x, pad_sizes(D, options_), options_.padding_mode), weight, bias, options_, 0);
}

template <int D>
Tensor ConvTranspose<D>::forward(const Tensor& x, const std::optional<Shape>& output_size) {
  const ConvOptions& o = options_;
  PerDim extra = o.output_padding;
  if (output_size) {
    const std::string name = type_name();
    const Shape kernel = o.kernel_size.over(D, name.c_str(), "kernel_size", 1),
                stride = o.stride.over(D, name.c_str(), "stride", 1),
                padding = o.padding.over(D, name.c_str(), "padding", 0),
                dilation = o.dilation.over(D, name.c_str(), "dilation", 1);
    Shape sizes;
    for (int i = 0; i < D; ++i) {
      const int64_t least =
          (x.size(i - D) - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel[i] - 1) + 1;
      const int64_t wanted = (*output_size)[output_size->rank() - D + i];
      DS_CHECK(wanted >= least && wanted < least + stride[i], ValueError, name, ": output_size ",
               wanted, " at spatial dimension ", i, " is not in [", least, ", ",
               least + stride[i] - 1, "]");
      sizes.push_back(wanted - least);
    }
    extra = sizes;
  }
  const Tensor w = parameter("weight");
  const std::optional<Tensor> b = optional_parameter("bias");
  if constexpr (D == 1)
    return conv_transpose1d(x, w, b, o.stride, o.padding, extra, o.groups, o.dilation);
  if constexpr (D == 2)
    return conv_transpose2d(x, w, b, o.stride, o.padding, extra, o.groups, o.dilation);
  return conv_transpose3d(x, w, b, o.stride, o.padding, extra, o.groups, o.dilation);
}

template class Conv<1>;
template class Conv<2>;
template class Conv<3>;
template class ConvTranspose<1>;
template class ConvTranspose<2>;
template class ConvTranspose<3>;

template <int D>
Pool<D>::Pool(PoolKind kind, PoolOptions options) : kind_(kind), options_(std::move(options)) {}

template <int D>
std::string Pool<D>::type_name() const {
  return str(kind_ == PoolKind::max ? "Max" : "Avg", "Pool", D, "d");
}

template <int D>
std::string Pool<D>::extra_repr() const {
  const PoolOptions& o = options_;
  const bool tuple = D == 1 && kind_ == PoolKind::avg;
  std::string text = "kernel_size=" + pool_text(o.kernel_size, tuple) +
                     ", stride=" + pool_text(o.stride.empty() ? o.kernel_size : o.stride, tuple) +
                     ", padding=" + pool_text(o.padding, tuple);
  if (kind_ == PoolKind::max)
    text +=
        str(", dilation=", plain_text(o.dilation), ", ceil_mode=", o.ceil_mode ? "True" : "False");
  return text;
}

template <int D>
std::pair<Tensor, Tensor> Pool<D>::forward_with_indices(const Tensor& x) {
  const PoolOptions& o = options_;
  DS_CHECK(kind_ == PoolKind::max, ValueError, type_name(), ": only max pooling has indices");
  if constexpr (D == 1)
    return max_pool1d_with_indices(x, o.kernel_size, o.stride, o.padding, o.dilation, o.ceil_mode);
  if constexpr (D == 2)
    return max_pool2d_with_indices(x, o.kernel_size, o.stride, o.padding, o.dilation, o.ceil_mode);
  return max_pool3d_with_indices(x, o.kernel_size, o.stride, o.padding, o.dilation, o.ceil_mode);
}

template <int D>
Tensor Pool<D>::forward(const Tensor& x) {
  const PoolOptions& o = options_;
  if (kind_ == PoolKind::max) return forward_with_indices(x).first;
  if constexpr (D == 1)
    return avg_pool1d(x, o.kernel_size, o.stride, o.padding, o.ceil_mode, o.count_include_pad);
  if constexpr (D == 2)
    return avg_pool2d(x, o.kernel_size, o.stride, o.padding, o.ceil_mode, o.count_include_pad,
                      o.divisor_override);
  return avg_pool3d(x, o.kernel_size, o.stride, o.padding, o.ceil_mode, o.count_include_pad,
                    o.divisor_override);
}

template <int D>
AdaptivePool<D>::AdaptivePool(PoolKind kind, PerDim output_size)
    : output_size(std::move(output_size)), kind_(kind) {}

template <int D>
std::string AdaptivePool<D>::type_name() const {
  return str("Adaptive", kind_ == PoolKind::max ? "Max" : "Avg", "Pool", D, "d");
}

template <int D>
std::string AdaptivePool<D>::extra_repr() const {
  const Shape& sizes = output_size.given();
  if (sizes.rank() == 1) return str("output_size=", sizes[0]);
  std::string text;
  for (int64_t size : sizes)
    text += (text.empty() ? "" : ", ") + (size < 0 ? "None" : std::to_string(size));
  return "output_size=(" + text + ")";
}

template <int D>
std::pair<Tensor, Tensor> AdaptivePool<D>::forward_with_indices(const Tensor& x) {
  DS_CHECK(kind_ == PoolKind::max, ValueError, type_name(), ": only max pooling has indices");
  if constexpr (D == 1) return adaptive_max_pool1d(x, output_size);
  if constexpr (D == 2) return adaptive_max_pool2d(x, output_size);
  return adaptive_max_pool3d(x, output_size);
}

template <int D>
Tensor AdaptivePool<D>::forward(const Tensor& x) {
  if (kind_ == PoolKind::max) return forward_with_indices(x).first;
  if constexpr (D == 1) return adaptive_avg_pool1d(x, output_size);
  if constexpr (D == 2) return adaptive_avg_pool2d(x, output_size);
  return adaptive_avg_pool3d(x, output_size);
}

template class Pool<1>;
template class Pool<2>;
template class Pool<3>;
template class AdaptivePool<1>;
template class AdaptivePool<2>;
template class AdaptivePool<3>;

}  // namespace ds::nn
