// SPDX-License-Identifier: Apache-2.0
// Losses that compare elements or rows; classification losses are in ops_loss_class.cpp.
#include "ds/tensor/ops_loss.h"

#include <cmath>
#include <numbers>

#include "ds/tensor/compose.h"
#include "ds/tensor/loss_reduction.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_activation.h"
#include "ds/tensor/ops_reduce.h"

namespace ds {
namespace {

/// Input and target in one dtype and shape.
std::pair<Tensor, Tensor> pair_of(const Tensor& input, const Tensor& target, const char* op) {
  const Shape shape = broadcast_shapes(input.shape(), target.shape(), op);
  const std::pair<Tensor, Tensor> p = promoted(autocast_f32(input), autocast_f32(target));
  return {expanded(p.first, shape), expanded(p.second, shape)};
}

void check_same_shape(const Tensor& input, const Tensor& target, const char* op) {
  DS_CHECK(input.shape() == target.shape(), ShapeError, op, ": input ", input.type(),
           " and target ", target.type(), " differ in shape");
}

Tensor weighted(const Tensor& loss, const std::optional<Tensor>& weight) {
  return present(weight) ? loss * *weight : loss;
}

Tensor softplus_of(const Tensor& x) { return record(Op::softplus_, {x}); }

/// t * log(t), 0 at 0.
Tensor t_log_t(const Tensor& t) { return where(gt(t, 0), t * log(where(gt(t, 0), t, 1)), 0); }

}  // namespace

Tensor mse_loss(const Tensor& input, const Tensor& target, const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "mse_loss");
  return reduced(square(x - t), reduction, "mse_loss");
}

Tensor l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "l1_loss");
  return reduced(abs(x - t), reduction, "l1_loss");
}

Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction,
                      double beta) {
  DS_CHECK(beta >= 0, ValueError, "smooth_l1_loss: beta ", beta, " is negative");
  if (beta == 0) return l1_loss(input, target, reduction);
  const auto [x, t] = pair_of(input, target, "smooth_l1_loss");
  const Tensor d = x - t, size = abs(d);
  return reduced(where(lt(size, beta), square(d) * (0.5 / beta), size - 0.5 * beta), reduction,
                 "smooth_l1_loss");
}

Tensor huber_loss(const Tensor& input, const Tensor& target, const std::string& reduction,
                  double delta) {
  DS_CHECK(delta > 0, ValueError, "huber_loss: delta ", delta, " must be positive");
  const auto [x, t] = pair_of(input, target, "huber_loss");
  const Tensor d = x - t, size = abs(d);
  return reduced(where(le(size, delta), square(d) * 0.5, (size - 0.5 * delta) * delta), reduction,
                 "huber_loss");
}

Tensor binary_cross_entropy(const Tensor& input, const Tensor& target,
                            const std::optional<Tensor>& weight, const std::string& reduction) {
  check_same_shape(input, target, "binary_cross_entropy");
  const auto [x, t] = pair_of(input, target, "binary_cross_entropy");
  const Tensor loss = (t - 1.0) * clamp_min(log1p(-x), -100.0) - t * clamp_min(log(x), -100.0);
  return reduced(weighted(loss, weight), reduction, "binary_cross_entropy");
}

Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target,
                                        const std::optional<Tensor>& weight,
                                        const std::string& reduction,
                                        const std::optional<Tensor>& pos_weight) {
  check_same_shape(input, target, "binary_cross_entropy_with_logits");
  const auto [x, t] = pair_of(input, target, "binary_cross_entropy_with_logits");
  Tensor loss = softplus_of(-x);
  if (present(pos_weight)) loss = loss * ((*pos_weight - 1.0) * t + 1.0);
  loss = (1.0 - t) * x + loss;
  return reduced(weighted(loss, weight), reduction, "binary_cross_entropy_with_logits");
}

Tensor kl_div(const Tensor& input, const Tensor& target, const std::string& reduction,
              bool log_target) {
  const auto [x, t] = pair_of(input, target, "kl_div");
  const Tensor loss = log_target ? exp(t) * (t - x) : t_log_t(t) - t * x;
  if (reduction != "batchmean") return reduced(loss, reduction, "kl_div");
  DS_CHECK(x.dim() > 0, ShapeError, "kl_div: reduction 'batchmean' needs a batch, input is ",
           input.type());
  return sum(loss) / static_cast<double>(x.shape()[0]);
}

Tensor cosine_embedding_loss(const Tensor& input1, const Tensor& input2, const Tensor& target,
                             double margin, const std::string& reduction) {
  constexpr double kEps = 1e-12;
  const auto [a, b] = pair_of(input1, input2, "cosine_embedding_loss");
  DS_CHECK(a.dim() >= 1 && target.dim() == a.dim() - 1, ShapeError,
           "cosine_embedding_loss: ", input1.type(), " and ", input2.type(), " with target ",
           target.type(), " must be [N, D] with [N] or [D] with 0-d");
  const Tensor lengths = sqrt((sum(square(a), -1) + kEps) * (sum(square(b), -1) + kEps));
  const Tensor cosine = sum(a * b, -1) / lengths;
  const Tensor loss =
      where(eq(target, 1), 1.0 - cosine, where(eq(target, -1), clamp_min(cosine - margin, 0.0), 0));
  return reduced(loss, reduction, "cosine_embedding_loss");
}

Tensor margin_ranking_loss(const Tensor& input1, const Tensor& input2, const Tensor& target,
                           double margin, const std::string& reduction) {
  return reduced(clamp_min(-target * (input1 - input2) + margin, 0.0), reduction,
                 "margin_ranking_loss");
}

Tensor hinge_embedding_loss(const Tensor& input, const Tensor& target, double margin,
                            const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "hinge_embedding_loss");
  const Tensor far = where(ne(t, 1), clamp_min(margin - x, 0.0), 0);
  return reduced(far + where(ne(t, -1), x, 0), reduction, "hinge_embedding_loss");
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           double margin, double p, double eps, bool swap,
                           const std::string& reduction) {
  DS_CHECK(margin > 0, ValueError, "triplet_margin_loss: margin ", margin, " must be positive");
  const Tensor near = pairwise_distance(anchor, positive, p, eps);
  Tensor far = pairwise_distance(anchor, negative, p, eps);
  if (swap) far = minimum(far, pairwise_distance(positive, negative, p, eps));
  return reduced(clamp_min(near - far + margin, 0.0), reduction, "triplet_margin_loss");
}

Tensor poisson_nll_loss(const Tensor& input, const Tensor& target, bool log_input, bool full,
                        double eps, const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "poisson_nll_loss");
  Tensor loss = log_input ? exp(x) - t * x : x - t * log(x + eps);
  if (full) {
    const Tensor large = where(gt(t, 1), t, 1);
    const Tensor stirling = large * log(large) - large + log(large * (2 * std::numbers::pi)) * 0.5;
    loss = loss + where(gt(t, 1), stirling, 0);
  }
  return reduced(loss, reduction, "poisson_nll_loss");
}

Tensor gaussian_nll_loss(const Tensor& input, const Tensor& target, const Tensor& var, bool full,
                         double eps, const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "gaussian_nll_loss");
  Tensor v = autocast_f32(var);
  if (v.shape() != input.shape() && v.dim() == input.dim() - 1) {
    Shape shape = v.shape();
    shape.push_back(1);
    v = reshaped(v, shape);
  }
  // The limit is applied to the value only: the gradient for var does not stop at it.
  v = v + (clamp_min(v, eps) - v).detach();
  Tensor loss = (log(v) + square(x - t) / v) * 0.5;
  if (full) loss = loss + 0.5 * std::log(2 * std::numbers::pi);
  return reduced(loss, reduction, "gaussian_nll_loss");
}

Tensor soft_margin_loss(const Tensor& input, const Tensor& target, const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "soft_margin_loss");
  return reduced(softplus_of(-t * x), reduction, "soft_margin_loss");
}

Tensor multilabel_soft_margin_loss(const Tensor& input, const Tensor& target,
                                   const std::optional<Tensor>& weight,
                                   const std::string& reduction) {
  const auto [x, t] = pair_of(input, target, "multilabel_soft_margin_loss");
  DS_CHECK(x.dim() >= 1, ShapeError, "multilabel_soft_margin_loss: input ", input.type(),
           " must have a class dimension");
  const Tensor loss = t * softplus_of(-x) + (1.0 - t) * softplus_of(x);
  return reduced(mean(weighted(loss, weight), -1), reduction, "multilabel_soft_margin_loss");
}

}  // namespace ds
