// SPDX-License-Identifier: Apache-2.0
// Activation functions of torch.nn.functional: elementwise unless a dim is named.
#pragma once

#include <optional>
#include <string>

#include "ds/tensor/record.h"

namespace ds {

/// max(x, 0).
Tensor relu(const Tensor& input);
/// x limited to [0, 6].
Tensor relu6(const Tensor& input);
/// x above 0, negative_slope * x below.
Tensor leaky_relu(const Tensor& input, double negative_slope = 0.01);
/// x above 0, weight * x below; weight is [1] or one per channel (dimension 1).
Tensor prelu(const Tensor& input, const Tensor& weight);
/// leaky_relu with slopes drawn from [lower, upper] when training, else their mean.
Tensor rrelu(const Tensor& input, double lower = 1.0 / 8, double upper = 1.0 / 3,
             bool training = false);
/// x above 0, alpha * (exp(x) - 1) below.
Tensor elu(const Tensor& input, double alpha = 1.0);
/// max(0, x) + min(0, alpha * (exp(x / alpha) - 1)).
Tensor celu(const Tensor& input, double alpha = 1.0);
/// Self-normalising ELU (Klambauer et al. 2017).
Tensor selu(const Tensor& input);
/// x * Phi(x), or its approximation for approximate "tanh".
Tensor gelu(const Tensor& input, const std::string& approximate = "none");
/// x * sigmoid(x).
Tensor silu(const Tensor& input);
/// x * tanh(softplus(x)).
Tensor mish(const Tensor& input);
/// log(1 + exp(beta x)) / beta, x itself where beta x exceeds threshold.
Tensor softplus(const Tensor& input, double beta = 1.0, double threshold = 20.0);
/// x / (1 + |x|).
Tensor softsign(const Tensor& input);
/// x limited to [min_val, max_val].
Tensor hardtanh(const Tensor& input, double min_val = -1.0, double max_val = 1.0);
/// relu6(x + 3) / 6.
Tensor hardsigmoid(const Tensor& input);
/// x * relu6(x + 3) / 6.
Tensor hardswish(const Tensor& input);
/// 0 where |x| <= lambd, x elsewhere.
Tensor hardshrink(const Tensor& input, double lambd = 0.5);
/// x moved towards 0 by lambd, 0 where |x| <= lambd.
Tensor softshrink(const Tensor& input, double lambd = 0.5);
/// x - tanh(x).
Tensor tanhshrink(const Tensor& input);
/// x above threshold, value elsewhere.
Tensor threshold(const Tensor& input, double threshold, double value);
/// log(sigmoid(x)).
Tensor logsigmoid(const Tensor& input);
/// First half along dim times the sigmoid of the second half.
Tensor glu(const Tensor& input, int64_t dim = -1);
/// exp(x) / sum(exp(x)) along dim; dtype converts first.
Tensor softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype = std::nullopt);
/// x - logsumexp(x) along dim; dtype converts first.
Tensor log_softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype = std::nullopt);
/// softmax(-x).
Tensor softmin(const Tensor& input, int64_t dim, std::optional<DType> dtype = std::nullopt);
/// Sample of the Gumbel-softmax distribution (Jang et al. 2017); hard makes it one-hot, with the
/// soft sample's gradient.
Tensor gumbel_softmax(const Tensor& logits, double tau = 1.0, bool hard = false, int64_t dim = -1);

}  // namespace ds
