// SPDX-License-Identifier: Apache-2.0
// The normalisation functions of ops_nn.h. Statistics, weight and bias are f32 for half inputs.
#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/function.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_nn.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

DType statistics_dtype(const Tensor& x) { return is_half(x.dtype()) ? DType::f32 : x.dtype(); }

/// A scale or shift in the statistics' dtype; the constant `otherwise` when there is none.
Tensor factor(const OptionalTensor& given, const Shape& shape, double otherwise, const Tensor& x,
              const char* op) {
  if (!present(given)) return constant(shape, otherwise, statistics_dtype(x), x.device());
  DS_CHECK(given->shape() == shape, ShapeError, op, ": weight or bias ", given->type(), " must be ",
           shape, " for input ", x.type());
  return to_dtype(*given, statistics_dtype(x));
}

/// [C] as [1, C, 1, ...].
Tensor per_channel(const Tensor& x, int rank) {
  Shape shape = Shape::filled(rank, 1);
  shape[1] = x.numel();
  return reshaped(x, shape);
}

void check_channels(const Tensor& input, const char* op) {
  DS_CHECK(input.dim() >= 2, ShapeError, op, ": input ", input.type(), " must be [N, C, ...]");
  DS_CHECK(is_floating(input.dtype()), DTypeError, op, ": input ", input.type(),
           " must be floating");
}

/// running = (1 - momentum) * running + momentum * now, in place.
void update_running(const OptionalTensor& running, const Tensor& now, double momentum,
                    const char* op) {
  if (!present(running)) return;
  DS_CHECK(running->shape() == now.shape(), ShapeError, op, ": running statistics ",
           running->type(), " must be ", now.shape());
  const GradMode no_grad(false);
  assign(*running, to_dtype(*running, now.dtype()) * (1 - momentum) + now * momentum);
}

/// By statistics that are given: one scale and one shift per channel.
Tensor normalized_by(const Tensor& input, const OptionalTensor& mean, const OptionalTensor& var,
                     const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                     const char* op) {
  DS_CHECK(present(mean) && present(var), ValueError, op,
           ": evaluation needs running_mean and running_var; pass them or train");
  std::vector<Tensor> inputs{input, *mean, *var};
  for (const OptionalTensor& given : {weight, bias})
    if (present(given)) inputs.push_back(*given);
  const std::vector<double> numbers{eps, present(weight) ? 1.0 : 0.0, present(bias) ? 1.0 : 0.0};
  return call_function("normalized", numbers, inputs, [&](const std::vector<Tensor>& in) {
    const Shape channels{in[0].shape()[1]};
    size_t next = 3;
    const auto given = [&](const OptionalTensor& one) {
      return present(one) ? OptionalTensor(in[next++]) : OptionalTensor();
    };
    const OptionalTensor gamma = given(weight), beta = given(bias);
    const Tensor scale =
        factor(gamma, channels, 1, in[0], op) * rsqrt(factor(in[2], channels, 1, in[0], op) + eps);
    const Tensor shift =
        factor(beta, channels, 0, in[0], op) - factor(in[1], channels, 0, in[0], op) * scale;
    const Tensor x = to_dtype(in[0], statistics_dtype(in[0]));
    return std::vector<Tensor>{
        to_dtype(x * per_channel(scale, x.dim()) + per_channel(shift, x.dim()), in[0].dtype())};
  })[0];
}

int64_t per_channel_count(const Tensor& x) {
  return x.shape()[1] == 0 ? 0 : x.numel() / x.shape()[1];
}

Shape trailing(const Tensor& input, const Shape& normalized_shape, const char* op) {
  const int n = normalized_shape.rank();
  DS_CHECK(n >= 1 && input.dim() >= n &&
               Shape(input.shape().end() - n, input.shape().end()) == normalized_shape,
           ShapeError, op, ": input ", input.type(), " must end with normalized_shape ",
           normalized_shape);
  return normalized_shape;
}

/// y, mean and variance of `groups` groups of channels.
std::vector<Tensor> grouped(const Tensor& x, int64_t groups, const OptionalTensor& weight,
                            const OptionalTensor& bias, double eps, const char* op) {
  const Shape channels{x.shape()[1]};
  return record_all(Op::group_norm_,
                    {x, factor(weight, channels, 1, x, op), factor(bias, channels, 0, x, op)},
                    {groups, eps});
}

}  // namespace

Tensor batch_norm(const Tensor& input, const OptionalTensor& running_mean,
                  const OptionalTensor& running_var, const OptionalTensor& weight,
                  const OptionalTensor& bias, bool training, double momentum, double eps) {
  check_channels(input, "batch_norm");
  if (!training)
    return normalized_by(input, running_mean, running_var, weight, bias, eps, "batch_norm");
  const int64_t count = per_channel_count(input);
  DS_CHECK(count != 1, ValueError, "batch_norm: input ", input.type(),
           " has 1 value per channel; training needs more");
  const Shape channels{input.shape()[1]};
  const std::vector<Tensor> out =
      record_all(Op::batch_norm_,
                 {input, factor(weight, channels, 1, input, "batch_norm"),
                  factor(bias, channels, 0, input, "batch_norm")},
                 {eps});
  update_running(running_mean, out[1], momentum, "batch_norm");
  const double unbiased =
      count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1;
  update_running(running_var, out[2] * unbiased, momentum, "batch_norm");
  return out[0];
}

Tensor layer_norm(const Tensor& input, const Shape& normalized_shape, const OptionalTensor& weight,
                  const OptionalTensor& bias, double eps) {
  const Shape shape = trailing(input, normalized_shape, "layer_norm");
  return record_all(Op::layer_norm_,
                    {input, factor(weight, shape, 1, input, "layer_norm"),
                     factor(bias, shape, 0, input, "layer_norm")},
                    {shape.rank(), eps})[0];
}

Tensor rms_norm(const Tensor& input, const Shape& normalized_shape, const OptionalTensor& weight,
                std::optional<double> eps) {
  const Shape shape = trailing(input, normalized_shape, "rms_norm");
  const double unit = input.dtype() == DType::f64    ? 2.220446049250313e-16
                      : input.dtype() == DType::f32  ? 1.1920928955078125e-07
                      : input.dtype() == DType::bf16 ? 0.0078125
                                                     : 0.0009765625;
  return record_all(Op::rms_norm_, {input, factor(weight, shape, 1, input, "rms_norm")},
                    {shape.rank(), eps.value_or(unit)})[0];
}

Tensor group_norm(const Tensor& input, int64_t num_groups, const OptionalTensor& weight,
                  const OptionalTensor& bias, double eps) {
  check_channels(input, "group_norm");
  DS_CHECK(num_groups >= 1 && input.shape()[1] % num_groups == 0, ValueError,
           "group_norm: num_groups ", num_groups, " does not divide the channels of input ",
           input.type());
  return grouped(input, num_groups, weight, bias, eps, "group_norm")[0];
}

Tensor instance_norm(const Tensor& input, const OptionalTensor& running_mean,
                     const OptionalTensor& running_var, const OptionalTensor& weight,
                     const OptionalTensor& bias, bool use_input_stats, double momentum,
                     double eps) {
  check_channels(input, "instance_norm");
  if (!use_input_stats)
    return normalized_by(input, running_mean, running_var, weight, bias, eps, "instance_norm");
  const int64_t n = input.shape()[0], c = input.shape()[1];
  const int64_t count = n * c == 0 ? 0 : input.numel() / (n * c);
  DS_CHECK(count != 1, ValueError, "instance_norm: input ", input.type(),
           " has 1 value per channel and sample; it needs more");
  if (c == 0) return input;
  const std::vector<Tensor> out = grouped(input, c, weight, bias, eps, "instance_norm");
  const double unbiased =
      count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1;
  if (present(running_mean))
    update_running(running_mean, mean(out[1], 0), momentum, "instance_norm");
  if (present(running_var))
    update_running(running_var, mean(out[2], 0) * unbiased, momentum, "instance_norm");
  return out[0];
}

Tensor local_response_norm(const Tensor& input, int64_t size, double alpha, double beta, double k) {
  DS_CHECK(input.dim() >= 3, ShapeError, "local_response_norm: input ", input.type(),
           " must be [N, C, ...] with at least 3 dimensions");
  DS_CHECK(size >= 1, ValueError, "local_response_norm: size ", size, " must be positive");
  if (input.numel() == 0) return input;
  const int64_t n = input.shape()[0], c = input.shape()[1];
  const int64_t plane = input.numel() / (n * c);
  const Tensor squares = reshaped(square(input), {n, 1, c, plane});
  const Tensor padded = pad(squares, {0, 0, size / 2, (size - 1) / 2});
  const Tensor means = avg_pool2d(padded, {size, 1}, {1, 1});
  return input / pow(reshaped(means, input.shape()) * alpha + k, beta);
}

Tensor normalize(const Tensor& input, double p, const Dims& dim, double eps) {
  return input / clamp_min(vector_norm(input, p, dim, true), eps);
}

}  // namespace ds
