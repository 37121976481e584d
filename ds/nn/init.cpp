// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/init.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::nn::init {
namespace {

Tensor fill(const Tensor& tensor, const Tensor& value) {
  const GradMode no_grad(false);
  return ds::assign(tensor, value);
}

Tensor random_uniform(const Tensor& like, double a, double b) {
  return add(mul(rand(like.shape(), like.dtype(), like.device()), b - a), a);
}

Tensor random_normal(const Tensor& like, double mean, double std) {
  return add(mul(randn(like.shape(), like.dtype(), like.device()), std), mean);
}

double fan(const Tensor& tensor, const std::string& mode) {
  DS_CHECK(mode == "fan_in" || mode == "fan_out", ValueError, "kaiming: mode '", mode,
           "' is unknown; use fan_in or fan_out");
  const Fans f = fans(tensor);
  return static_cast<double>(mode == "fan_in" ? f.in : f.out);
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

Fans fans(const Tensor& tensor) {
  DS_CHECK(tensor.dim() >= 2, ShapeError, "init: the tensor is ", tensor.type(),
           "; fan in and fan out need at least 2 dimensions");
  int64_t field = 1;
  for (int i = 2; i < tensor.dim(); ++i) field *= tensor.shape()[i];
  return {tensor.shape()[1] * field, tensor.shape()[0] * field};
}

double calculate_gain(const std::string& nonlinearity, double param) {
  if (nonlinearity == "tanh") return 5.0 / 3.0;
  if (nonlinearity == "relu") return std::sqrt(2.0);
  if (nonlinearity == "leaky_relu") return std::sqrt(2.0 / (1.0 + param * param));
  if (nonlinearity == "selu") return 0.75;
  for (const char* linear : {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
                             "conv_transpose2d", "conv_transpose3d", "sigmoid"})
    if (nonlinearity == linear) return 1.0;
  throw ValueError(str("calculate_gain: nonlinearity '", nonlinearity,
                       "' is unknown; use linear, sigmoid, tanh, relu, leaky_relu or selu"));
}

Tensor uniform_(const Tensor& tensor, double a, double b) {
  return fill(tensor, random_uniform(tensor, a, b));
}
Tensor normal_(const Tensor& tensor, double mean, double std) {
  return fill(tensor, random_normal(tensor, mean, std));
}

Tensor trunc_normal_(const Tensor& tensor, double mean, double std, double a, double b) {
  const double low = 2 * normal_cdf((a - mean) / std) - 1;
  const double high = 2 * normal_cdf((b - mean) / std) - 1;
  const Tensor inverse = erfinv(random_uniform(tensor, low, high));
  return fill(tensor, clamp(add(mul(inverse, std * std::sqrt(2.0)), mean), a, b));
}

Tensor constant_(const Tensor& tensor, double value) {
  return fill(tensor, full(tensor.shape(), value, tensor.dtype(), tensor.device()));
}
Tensor zeros_(const Tensor& tensor) { return constant_(tensor, 0.0); }
Tensor ones_(const Tensor& tensor) { return constant_(tensor, 1.0); }

Tensor eye_(const Tensor& tensor) {
  DS_CHECK(tensor.dim() == 2, ShapeError, "eye_: the tensor is ", tensor.type(),
           "; it must be 2-d");
  return fill(tensor, eye(tensor.size(0), tensor.size(1), tensor.dtype(), tensor.device()));
}

Tensor dirac_(const Tensor& tensor, int64_t groups) {
  DS_CHECK(tensor.dim() >= 3 && tensor.dim() <= 5, ShapeError, "dirac_: the tensor is ",
           tensor.type(), "; it must have 3 to 5 dimensions");
  DS_CHECK(groups >= 1 && tensor.size(0) % groups == 0, ValueError, "dirac_: ", groups,
           " groups do not divide ", tensor.size(0), " output channels");
  const int64_t out = tensor.size(0) / groups, in = tensor.size(1), all = tensor.numel();
  const int64_t field = all / (tensor.size(0) * in);
  int64_t centre = 0;  // offset of the middle of the kernel
  for (int i = 2; i < tensor.dim(); ++i)
    centre = centre * tensor.shape()[i] + tensor.shape()[i] / 2;
  std::vector<float> values(static_cast<size_t>(all), 0.0f);
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = 0; i < std::min(out, in); ++i)
      values[static_cast<size_t>(((g * out + i) * in + i) * field + centre)] = 1.0f;
  return fill(tensor,
              Tensor::from_host(values.data(), {DType::f32, tensor.shape()}, tensor.device()));
}

Tensor xavier_uniform_(const Tensor& tensor, double gain) {
  const Fans f = fans(tensor);
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(f.in + f.out));
  return uniform_(tensor, -bound, bound);
}
Tensor xavier_normal_(const Tensor& tensor, double gain) {
  const Fans f = fans(tensor);
  return normal_(tensor, 0.0, gain * std::sqrt(2.0 / static_cast<double>(f.in + f.out)));
}
Tensor kaiming_uniform_(const Tensor& tensor, double a, const std::string& mode,
                        const std::string& nonlinearity) {
  if (tensor.numel() == 0) return tensor;
  const double bound = calculate_gain(nonlinearity, a) * std::sqrt(3.0 / fan(tensor, mode));
  return uniform_(tensor, -bound, bound);
}
Tensor kaiming_normal_(const Tensor& tensor, double a, const std::string& mode,
                       const std::string& nonlinearity) {
  if (tensor.numel() == 0) return tensor;
  return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / std::sqrt(fan(tensor, mode)));
}

Tensor orthogonal_(const Tensor& tensor, double gain) {
  DS_CHECK(tensor.dim() >= 2, ShapeError, "orthogonal_: the tensor is ", tensor.type(),
           "; it must have at least 2 dimensions");
  if (tensor.numel() == 0) return tensor;
  const int64_t rows = tensor.size(0), cols = tensor.numel() / rows;
  Tensor flat =
      randn({std::max(rows, cols), std::min(rows, cols)}, tensor.dtype(), tensor.device());
  const auto [q, r] = qr(flat);
  // Multiplying by the signs of r's diagonal makes the distribution uniform (Mezzadri, 2006).
  Tensor unit = mul(q, sign(diagonal(r)));
  if (rows < cols) unit = transpose(unit, 0, 1);
  return fill(tensor, mul(reshape(unit, tensor.shape()), gain));
}

Tensor sparse_(const Tensor& tensor, double sparsity, double std) {
  DS_CHECK(tensor.dim() == 2, ShapeError, "sparse_: the tensor is ", tensor.type(),
           "; it must be 2-d");
  const auto zeros =
      static_cast<int64_t>(std::ceil(sparsity * static_cast<double>(tensor.size(0))));
  // The rank of a random number within its column says which rows become zero.
  const Tensor order = argsort(argsort(rand(tensor.shape(), DType::f32, tensor.device()), 0), 0);
  const Tensor keep = to_dtype(ge(order, zeros), tensor.dtype());
  return fill(tensor, mul(random_normal(tensor, 0.0, std), keep));
}

}  // namespace ds::nn::init
