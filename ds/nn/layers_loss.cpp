// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_loss.h"

#include "ds/base/error.h"
#include "ds/tensor/ops.h"

namespace ds::nn {

Tensor Loss::forward(const Inputs& inputs) {
  DS_CHECK(inputs.size() == inputs_, ValueError, name_, ": it takes ", inputs_, " tensors, got ",
           inputs.size());
  return compute(inputs);
}

CrossEntropyLoss::CrossEntropyLoss(const Weight& weight, int64_t ignore_index,
                                   std::string reduction, double label_smoothing)
    : Loss("CrossEntropyLoss", 2, std::move(reduction)),
      ignore_index(ignore_index),
      label_smoothing(label_smoothing) {
  register_buffer("weight", weight.value_or(Tensor()));
}
Tensor CrossEntropyLoss::compute(const Inputs& in) const {
  return cross_entropy(in[0], in[1], optional_buffer("weight"), ignore_index, reduction,
                       label_smoothing);
}
NLLLoss::NLLLoss(const Weight& weight, int64_t ignore_index, std::string reduction)
    : Loss("NLLLoss", 2, std::move(reduction)), ignore_index(ignore_index) {
  register_buffer("weight", weight.value_or(Tensor()));
}
Tensor NLLLoss::compute(const Inputs& in) const {
  return nll_loss(in[0], in[1], optional_buffer("weight"), ignore_index, reduction);
}
Tensor MSELoss::compute(const Inputs& in) const { return mse_loss(in[0], in[1], reduction); }
Tensor L1Loss::compute(const Inputs& in) const { return l1_loss(in[0], in[1], reduction); }
Tensor SmoothL1Loss::compute(const Inputs& in) const {
  return smooth_l1_loss(in[0], in[1], reduction, beta);
}
Tensor HuberLoss::compute(const Inputs& in) const {
  return huber_loss(in[0], in[1], reduction, delta);
}
BCELoss::BCELoss(const Weight& weight, std::string reduction)
    : Loss("BCELoss", 2, std::move(reduction)) {
  register_buffer("weight", weight.value_or(Tensor()));
}
Tensor BCELoss::compute(const Inputs& in) const {
  return binary_cross_entropy(in[0], in[1], optional_buffer("weight"), reduction);
}
BCEWithLogitsLoss::BCEWithLogitsLoss(const Weight& weight, std::string reduction,
                                     const Weight& pos_weight)
    : Loss("BCEWithLogitsLoss", 2, std::move(reduction)) {
  register_buffer("weight", weight.value_or(Tensor()));
  register_buffer("pos_weight", pos_weight.value_or(Tensor()));
}
Tensor BCEWithLogitsLoss::compute(const Inputs& in) const {
  return binary_cross_entropy_with_logits(in[0], in[1], optional_buffer("weight"), reduction,
                                          optional_buffer("pos_weight"));
}
Tensor KLDivLoss::compute(const Inputs& in) const {
  return kl_div(in[0], in[1], reduction, log_target);
}
Tensor CosineEmbeddingLoss::compute(const Inputs& in) const {
  return cosine_embedding_loss(in[0], in[1], in[2], margin, reduction);
}
Tensor MarginRankingLoss::compute(const Inputs& in) const {
  return margin_ranking_loss(in[0], in[1], in[2], margin, reduction);
}
Tensor HingeEmbeddingLoss::compute(const Inputs& in) const {
  return hinge_embedding_loss(in[0], in[1], margin, reduction);
}
Tensor TripletMarginLoss::compute(const Inputs& in) const {
  return triplet_margin_loss(in[0], in[1], in[2], margin, p, eps, swap, reduction);
}
Tensor PoissonNLLLoss::compute(const Inputs& in) const {
  return poisson_nll_loss(in[0], in[1], log_input, full, eps, reduction);
}
Tensor GaussianNLLLoss::compute(const Inputs& in) const {
  return gaussian_nll_loss(in[0], in[1], in[2], full, eps, reduction);
}
MultiMarginLoss::MultiMarginLoss(int64_t p, double margin, const Weight& weight,
                                 std::string reduction)
    : Loss("MultiMarginLoss", 2, std::move(reduction)), p(p), margin(margin) {
  register_buffer("weight", weight.value_or(Tensor()));
}
Tensor MultiMarginLoss::compute(const Inputs& in) const {
  return multi_margin_loss(in[0], in[1], p, margin, optional_buffer("weight"), reduction);
}
Tensor MultiLabelMarginLoss::compute(const Inputs& in) const {
  return multilabel_margin_loss(in[0], in[1], reduction);
}
MultiLabelSoftMarginLoss::MultiLabelSoftMarginLoss(const Weight& weight, std::string reduction)
    : Loss("MultiLabelSoftMarginLoss", 2, std::move(reduction)) {
  register_buffer("weight", weight.value_or(Tensor()));
}
Tensor MultiLabelSoftMarginLoss::compute(const Inputs& in) const {
  return multilabel_soft_margin_loss(in[0], in[1], optional_buffer("weight"), reduction);
}
Tensor SoftMarginLoss::compute(const Inputs& in) const {
  return soft_margin_loss(in[0], in[1], reduction);
}
Tensor CTCLoss::compute(const Inputs& in) const {
  return ctc_loss(in[0], in[1], in[2], in[3], blank, reduction, zero_infinity);
}

}  // namespace ds::nn
