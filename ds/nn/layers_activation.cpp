// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_activation.h"

#include "ds/base/error.h"
#include "ds/nn/repr_text.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::nn {

Tensor Activation::forward(const Tensor& x) {
  const Tensor y = apply_to(x);
  return inplace ? ds::assign(x, y) : y;
}

#define DS_PLAIN(Name, function)                                                 \
  std::string Name::extra_repr() const { return inplace ? "inplace=True" : ""; } \
  Tensor Name::apply_to(const Tensor& x) const { return ds::function(x); }
DS_PLAIN(ReLU, relu)
DS_PLAIN(ReLU6, relu6)
DS_PLAIN(SiLU, silu)
DS_PLAIN(Mish, mish)
DS_PLAIN(SELU, selu)
DS_PLAIN(Sigmoid, sigmoid)
DS_PLAIN(Tanh, tanh)
DS_PLAIN(Softsign, softsign)
DS_PLAIN(Tanhshrink, tanhshrink)
DS_PLAIN(LogSigmoid, logsigmoid)
DS_PLAIN(Hardswish, hardswish)
DS_PLAIN(Hardsigmoid, hardsigmoid)
#undef DS_PLAIN

#define DS_WITH(Name, text, result)                                                         \
  std::string Name::extra_repr() const { return text + (inplace ? ", inplace=True" : ""); } \
  Tensor Name::apply_to(const Tensor& x) const { return result; }
DS_WITH(GELU, "approximate='" + approximate + "'", gelu(x, approximate))
DS_WITH(LeakyReLU, "negative_slope=" + py_float(negative_slope), leaky_relu(x, negative_slope))
DS_WITH(ELU, "alpha=" + py_float(alpha), elu(x, alpha))
DS_WITH(CELU, "alpha=" + py_float(alpha), celu(x, alpha))
DS_WITH(Softplus, "beta=" + py_float(beta) + ", threshold=" + py_float(threshold),
        softplus(x, beta, threshold))
DS_WITH(Hardtanh, "min_val=" + py_float(min_val) + ", max_val=" + py_float(max_val),
        hardtanh(x, min_val, max_val))
DS_WITH(Hardshrink, py_float(lambd), hardshrink(x, lambd))
DS_WITH(Softshrink, py_float(lambd), softshrink(x, lambd))
DS_WITH(Threshold, "threshold=" + py_float(threshold) + ", value=" + py_float(value),
        ds::threshold(x, threshold, value))
DS_WITH(GLU, str("dim=", dim), glu(x, dim))
DS_WITH(RReLU, "lower=" + py_float(lower) + ", upper=" + py_float(upper),
        rrelu(x, lower, upper, is_training()))
DS_WITH(Softmax2d, std::string(), softmax(x, -3))
DS_WITH(PixelShuffle, str("upscale_factor=", upscale_factor), pixel_shuffle(x, upscale_factor))
DS_WITH(PixelUnshuffle, str("downscale_factor=", downscale_factor),
        pixel_unshuffle(x, downscale_factor))
DS_WITH(ChannelShuffle, str("groups=", groups), channel_shuffle(x, groups))
#undef DS_WITH

std::string SoftmaxBase::extra_repr() const { return dim ? str("dim=", *dim) : "dim=None"; }
int64_t SoftmaxBase::dim_for(const Tensor& x) const {
  return dim.value_or(x.dim() == 0 || x.dim() == 1 || x.dim() == 3 ? 0 : 1);
}
Tensor Softmax::apply_to(const Tensor& x) const { return softmax(x, dim_for(x)); }
Tensor LogSoftmax::apply_to(const Tensor& x) const { return log_softmax(x, dim_for(x)); }
Tensor Softmin::apply_to(const Tensor& x) const { return softmin(x, dim_for(x)); }

PReLU::PReLU(int64_t num_parameters, double init) : num_parameters(num_parameters), init(init) {
  register_parameter("weight", clone(full({num_parameters}, init, default_dtype())));
}
std::string PReLU::extra_repr() const { return str("num_parameters=", num_parameters); }
Tensor PReLU::forward(const Tensor& x) { return prelu(x, parameter("weight")); }

Upsample::Upsample(std::optional<Shape> given_size, std::vector<double> factors, std::string mode,
                   std::optional<bool> align_corners)
    : size(std::move(given_size)),
      scale_factor(std::move(factors)),
      mode(std::move(mode)),
      align_corners(align_corners) {
  DS_CHECK(size.has_value() != !scale_factor.empty(), ValueError,
           "Upsample: give either size or scale_factor");
}
std::string Upsample::extra_repr() const {
  std::string text;
  if (scale_factor.size() == 1) {
    text = "scale_factor=" + py_float(scale_factor[0]);
  } else if (!scale_factor.empty()) {
    for (double factor : scale_factor)
      text += (text.empty() ? "scale_factor=(" : ", ") + py_float(factor);
    text += ")";
  } else {
    text = "size=" + (size->rank() == 1 ? std::to_string((*size)[0]) : py_tuple(*size));
  }
  return text + ", mode='" + mode + "'";
}
Tensor Upsample::forward(const Tensor& x) {
  return interpolate(x, size ? std::optional<PerDim>(*size) : std::nullopt, scale_factor, mode,
                     align_corners);
}

}  // namespace ds::nn
