// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_activation.h"

#include "ds/base/error.h"
#include "ds/tensor/ops.h"

namespace ds::nn {

#define DS_PLAIN(Name, function) \
  Name::Name() : Activation(#Name, "", [](const Tensor& x) { return function(x); }) {}
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

GELU::GELU(const std::string& approximate)
    : Activation("GELU", "approximate='" + approximate + "'",
                 [approximate](const Tensor& x) { return gelu(x, approximate); }) {}
LeakyReLU::LeakyReLU(double slope)
    : Activation("LeakyReLU", str("negative_slope=", slope),
                 [=](const Tensor& x) { return leaky_relu(x, slope); }) {}
ELU::ELU(double alpha)
    : Activation("ELU", str("alpha=", alpha), [=](const Tensor& x) { return elu(x, alpha); }) {}
CELU::CELU(double alpha)
    : Activation("CELU", str("alpha=", alpha), [=](const Tensor& x) { return celu(x, alpha); }) {}
Softplus::Softplus(double beta, double threshold)
    : Activation("Softplus", str("beta=", beta, ", threshold=", threshold),
                 [=](const Tensor& x) { return softplus(x, beta, threshold); }) {}
Hardtanh::Hardtanh(double low, double high)
    : Activation("Hardtanh", str("min_val=", low, ", max_val=", high),
                 [=](const Tensor& x) { return hardtanh(x, low, high); }) {}
Hardshrink::Hardshrink(double lambd)
    : Activation("Hardshrink", str(lambd), [=](const Tensor& x) { return hardshrink(x, lambd); }) {}
Softshrink::Softshrink(double lambd)
    : Activation("Softshrink", str(lambd), [=](const Tensor& x) { return softshrink(x, lambd); }) {}
Threshold::Threshold(double limit, double value)
    : Activation("Threshold", str("threshold=", limit, ", value=", value),
                 [=](const Tensor& x) { return threshold(x, limit, value); }) {}
GLU::GLU(int64_t dim)
    : Activation("GLU", str("dim=", dim), [=](const Tensor& x) { return glu(x, dim); }) {}
Softmax::Softmax(int64_t dim)
    : Activation("Softmax", str("dim=", dim), [=](const Tensor& x) { return softmax(x, dim); }) {}
LogSoftmax::LogSoftmax(int64_t dim)
    : Activation("LogSoftmax", str("dim=", dim),
                 [=](const Tensor& x) { return log_softmax(x, dim); }) {}
Softmin::Softmin(int64_t dim)
    : Activation("Softmin", str("dim=", dim), [=](const Tensor& x) { return softmin(x, dim); }) {}

PReLU::PReLU(int64_t num_parameters, double init) {
  register_parameter("weight", clone(full({num_parameters}, init, DType::f32)));
}
std::string PReLU::extra_repr() const {
  return str("num_parameters=", parameter("weight").numel());
}
Tensor PReLU::forward(const Tensor& x) { return prelu(x, parameter("weight")); }

PixelShuffle::PixelShuffle(int64_t factor)
    : Activation("PixelShuffle", str("upscale_factor=", factor),
                 [=](const Tensor& x) { return pixel_shuffle(x, factor); }) {}
PixelUnshuffle::PixelUnshuffle(int64_t factor)
    : Activation("PixelUnshuffle", str("downscale_factor=", factor),
                 [=](const Tensor& x) { return pixel_unshuffle(x, factor); }) {}

Upsample::Upsample(std::optional<Shape> size, std::vector<double> scale_factor, std::string mode,
                   std::optional<bool> align_corners)
    : size_(std::move(size)),
      scale_factor_(std::move(scale_factor)),
      mode_(std::move(mode)),
      align_corners_(align_corners) {
  DS_CHECK(size_.has_value() != !scale_factor_.empty(), ValueError,
           "Upsample: give either size or scale_factor");
}
std::string Upsample::extra_repr() const {
  return (size_ ? str("size=", *size_) : str("scale_factor=", scale_factor_[0])) + ", mode='" +
         mode_ + "'";
}
Tensor Upsample::forward(const Tensor& x) {
  return interpolate(x, size_ ? std::optional<PerDim>(*size_) : std::nullopt, scale_factor_, mode_,
                     align_corners_);
}

}  // namespace ds::nn
