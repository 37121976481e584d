// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/ops_activation.h"

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"
#include "ds/tensor/random.h"

namespace ds {
namespace {

/// scale * x above 0, alpha * scale * (exp(input_scale * x) - 1) below.
Tensor general_elu(const Tensor& input, double alpha, double scale, double input_scale) {
  const Tensor x = to_floating(input);
  const Tensor above = gt(x, 0);
  // The exponential of a large x must not overflow: inf times a zero gradient would be NaN.
  const Tensor below = expm1(where(above, 0, x) * input_scale) * (alpha * scale);
  return where(above, scale == 1 ? x : x * scale, below);
}

/// x limited to [low, high], with no gradient at the limits.
Tensor open_clamp(const Tensor& x, double low, double high) {
  return where(le(x, low), low, where(ge(x, high), high, x));
}

Tensor converted(const Tensor& x, std::optional<DType> dtype) {
  return dtype ? to_dtype(x, *dtype) : to_floating(x);
}

}  // namespace

Tensor relu(const Tensor& input) { return record(Op::relu_, {input}); }
Tensor relu6(const Tensor& input) { return open_clamp(input, 0, 6); }

Tensor leaky_relu(const Tensor& input, double negative_slope) {
  const Tensor x = to_floating(input);
  return where(gt(x, 0), x, x * negative_slope);
}

Tensor prelu(const Tensor& input, const Tensor& weight) {
  DS_CHECK(weight.dim() <= 1, ShapeError, "prelu: weight is ", weight.type(),
           "; it must be [1] or one per channel");
  Tensor slope = weight;
  if (weight.numel() != 1) {
    const int64_t channels = input.dim() < 2 ? 1 : input.shape()[1];
    DS_CHECK(weight.numel() == channels, ShapeError, "prelu: weight ", weight.type(), " for ",
             channels, " channels of input ", input.type());
    Shape shape = Shape::filled(input.dim(), 1);
    shape[1] = channels;
    slope = reshaped(weight, shape);
  } else {
    slope = reshaped(weight, {});
  }
  return where(gt(input, 0), input, input * slope);
}

Tensor rrelu(const Tensor& input, double lower, double upper, bool training) {
  DS_CHECK(lower <= upper, ValueError, "rrelu: lower ", lower, " is above upper ", upper);
  if (!training) return leaky_relu(input, (lower + upper) / 2);
  const Tensor slope = uniform(input.shape(), lower, upper, input.dtype(), input.device());
  return where(gt(input, 0), input, input * slope);
}

Tensor elu(const Tensor& input, double alpha) { return general_elu(input, alpha, 1, 1); }

Tensor celu(const Tensor& input, double alpha) {
  DS_CHECK(alpha != 0, ValueError, "celu: alpha must not be 0");
  return general_elu(input, alpha, 1, 1 / alpha);
}

Tensor selu(const Tensor& input) {
  return general_elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946,
                     1);
}

Tensor gelu(const Tensor& input, const std::string& approximate) {
  DS_CHECK(approximate == "none" || approximate == "tanh", ValueError, "gelu: approximate '",
           approximate, "' is unknown; use 'none' or 'tanh'");
  return record(approximate == "none" ? Op::gelu_ : Op::gelu_tanh_, {to_floating(input)});
}

Tensor silu(const Tensor& input) { return record(Op::silu_, {to_floating(input)}); }

Tensor mish(const Tensor& input) {
  const Tensor x = to_floating(input);
  return x * to_dtype(tanh(softplus(x)), x.dtype());
}

Tensor softplus(const Tensor& input, double beta, double threshold) {
  const Tensor x = to_floating(input);
  if (beta == 1 && threshold >= 20 && x.dtype() != DType::f64) return record(Op::softplus_, {x});
  const Tensor scaled = x * beta;
  return where(gt(scaled, threshold), x, record(Op::softplus_, {scaled}) / beta);
}

Tensor softsign(const Tensor& input) {
  const Tensor x = to_floating(input);
  return x / (abs(x) + 1);
}

Tensor hardtanh(const Tensor& input, double min_val, double max_val) {
  DS_CHECK(min_val <= max_val, ValueError, "hardtanh: min_val ", min_val, " is above max_val ",
           max_val);
  return open_clamp(input, min_val, max_val);
}
Tensor hardsigmoid(const Tensor& input) { return relu6(to_floating(input) + 3) / 6; }
Tensor hardswish(const Tensor& input) {
  const Tensor x = to_floating(input);
  return x * relu6(x + 3) / 6;
}
Tensor hardshrink(const Tensor& input, double lambd) {
  return where(le(abs(input), lambd), 0, input);
}
Tensor softshrink(const Tensor& input, double lambd) {
  DS_CHECK(lambd >= 0, ValueError, "softshrink: lambd ", lambd, " must not be negative");
  return where(le(abs(input), lambd), 0, input - sign(input) * lambd);
}
Tensor tanhshrink(const Tensor& input) {
  const Tensor x = to_floating(input);
  return x - tanh(x);
}
Tensor threshold(const Tensor& input, double threshold, double value) {
  return where(le(input, threshold), value, input);
}
Tensor logsigmoid(const Tensor& input) {
  return neg(record(Op::softplus_, {neg(to_floating(input))}));
}

Tensor glu(const Tensor& input, int64_t dim) {
  const int d = normalize_dim(dim, input.dim(), "glu");
  DS_CHECK(input.dim() > 0 && input.shape()[d] % 2 == 0, ShapeError, "glu: dimension ", dim,
           " of input ", input.type(), " must have an even size");
  const int64_t half = input.shape()[d] / 2;
  return sliced(input, d, 0, half) * sigmoid(sliced(input, d, half, half));
}

Tensor softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  const int d = normalize_dim(dim, input.dim(), "softmax");
  return reshaped(record(Op::softmax_, {at_least_1d(converted(input, dtype))}, {d}), input.shape());
}
Tensor log_softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  const int d = normalize_dim(dim, input.dim(), "log_softmax");
  return reshaped(record(Op::log_softmax_, {at_least_1d(converted(input, dtype))}, {d}),
                  input.shape());
}
Tensor softmin(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  return softmax(neg(input), dim, dtype);
}

Tensor gumbel_softmax(const Tensor& logits, double tau, bool hard, int64_t dim) {
  const Tensor gumbel = neg(log(exponential(logits.shape(), 1, logits.dtype(), logits.device())));
  const Tensor soft = softmax((logits + gumbel) / tau, dim);
  if (!hard) return soft;
  const Tensor top = argmax(soft, dim, true);
  const Tensor one_hot = scatter(soft.detach() * 0.0, dim, top, 1.0);
  return one_hot - soft.detach() + soft;
}

}  // namespace ds
