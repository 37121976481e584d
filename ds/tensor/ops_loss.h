// SPDX-License-Identifier: Apache-2.0
// Losses of torch.nn.functional. reduction is "mean", "sum" or "none"; half inputs inside autocast
// are converted to f32 first.
#pragma once

#include <optional>
#include <string>

#include "ds/tensor/record.h"

namespace ds {

/// Cross entropy of logits [N, C, ...] (or [C]) and class indices [N, ...] or class probabilities
/// of the logits' shape; weight is [C].
Tensor cross_entropy(const Tensor& input, const Tensor& target,
                     const std::optional<Tensor>& weight = std::nullopt,
                     int64_t ignore_index = -100, const std::string& reduction = "mean",
                     double label_smoothing = 0.0);
/// Negative log likelihood of log-probabilities [N, C, ...] (or [C]) and class indices [N, ...].
Tensor nll_loss(const Tensor& input, const Tensor& target,
                const std::optional<Tensor>& weight = std::nullopt, int64_t ignore_index = -100,
                const std::string& reduction = "mean");
/// (input - target)^2.
Tensor mse_loss(const Tensor& input, const Tensor& target, const std::string& reduction = "mean");
/// |input - target|.
Tensor l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction = "mean");
/// Squared below beta, absolute above.
Tensor smooth_l1_loss(const Tensor& input, const Tensor& target,
                      const std::string& reduction = "mean", double beta = 1.0);
/// Squared below delta, delta times the absolute above.
Tensor huber_loss(const Tensor& input, const Tensor& target, const std::string& reduction = "mean",
                  double delta = 1.0);
/// Binary cross entropy of probabilities; logarithms are limited to -100.
Tensor binary_cross_entropy(const Tensor& input, const Tensor& target,
                            const std::optional<Tensor>& weight = std::nullopt,
                            const std::string& reduction = "mean");
/// Binary cross entropy of logits; pos_weight weighs positive examples.
Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target,
                                        const std::optional<Tensor>& weight = std::nullopt,
                                        const std::string& reduction = "mean",
                                        const std::optional<Tensor>& pos_weight = std::nullopt);
/// target * (log target - input), input (and target with log_target) in log space; reduction may
/// also be "batchmean".
Tensor kl_div(const Tensor& input, const Tensor& target, const std::string& reduction = "mean",
              bool log_target = false);
/// 1 - cos(x1, x2) where target is 1, max(0, cos - margin) where it is -1; x1 and x2 [N, D] or [D].
Tensor cosine_embedding_loss(const Tensor& input1, const Tensor& input2, const Tensor& target,
                             double margin = 0.0, const std::string& reduction = "mean");
/// max(0, -target * (input1 - input2) + margin).
Tensor margin_ranking_loss(const Tensor& input1, const Tensor& input2, const Tensor& target,
                           double margin = 0.0, const std::string& reduction = "mean");
/// x where target is 1, max(0, margin - x) where it is -1.
Tensor hinge_embedding_loss(const Tensor& input, const Tensor& target, double margin = 1.0,
                            const std::string& reduction = "mean");
/// max(0, |anchor - positive| - |anchor - negative| + margin) by p-norms over the last dimension.
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           double margin = 1.0, double p = 2.0, double eps = 1e-6,
                           bool swap = false, const std::string& reduction = "mean");
/// Poisson negative log likelihood; full adds Stirling's approximation.
Tensor poisson_nll_loss(const Tensor& input, const Tensor& target, bool log_input = true,
                        bool full = false, double eps = 1e-8,
                        const std::string& reduction = "mean");
/// Gaussian negative log likelihood with a predicted variance of at least eps.
Tensor gaussian_nll_loss(const Tensor& input, const Tensor& target, const Tensor& var,
                         bool full = false, double eps = 1e-6,
                         const std::string& reduction = "mean");
/// Mean over classes of max(0, margin - x[y] + x[i])^p; input [N, C] or [C], p 1 or 2.
Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p = 1,
                         double margin = 1.0, const std::optional<Tensor>& weight = std::nullopt,
                         const std::string& reduction = "mean");
/// Margin loss between the classes named in target (up to the first -1) and all others.
Tensor multilabel_margin_loss(const Tensor& input, const Tensor& target,
                              const std::string& reduction = "mean");
/// Mean over classes of the binary cross entropy of logits [N, C].
Tensor multilabel_soft_margin_loss(const Tensor& input, const Tensor& target,
                                   const std::optional<Tensor>& weight = std::nullopt,
                                   const std::string& reduction = "mean");
/// log(1 + exp(-target * input)).
Tensor soft_margin_loss(const Tensor& input, const Tensor& target,
                        const std::string& reduction = "mean");
/// Connectionist temporal classification (Graves et al. 2006): log_probs [T, N, C], targets [N, S]
/// or concatenated [sum of lengths], lengths i64 [N].
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, int64_t blank = 0,
                const std::string& reduction = "mean", bool zero_infinity = false);

}  // namespace ds
