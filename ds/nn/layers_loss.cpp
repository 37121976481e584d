// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_loss.h"

#include "ds/base/error.h"
#include "ds/tensor/ops.h"

namespace ds::nn {

using In = const std::vector<Tensor>&;
using Weight = std::optional<Tensor>;

Loss::Loss(std::string name, int inputs, Function function)
    : name_(std::move(name)), inputs_(inputs), function_(std::move(function)) {}

Tensor Loss::forward(const std::vector<Tensor>& inputs) {
  DS_CHECK(static_cast<int>(inputs.size()) == inputs_, ValueError, name_, ": it takes ", inputs_,
           " tensors, got ", inputs.size());
  return function_(inputs);
}

CrossEntropyLoss::CrossEntropyLoss(Weight weight, int64_t ignore_index,
                                   const std::string& reduction, double smoothing)
    : Loss("CrossEntropyLoss", 2, [=](In in) {
        return cross_entropy(in[0], in[1], weight, ignore_index, reduction, smoothing);
      }) {}
NLLLoss::NLLLoss(Weight weight, int64_t ignore_index, const std::string& reduction)
    : Loss("NLLLoss", 2,
           [=](In in) { return nll_loss(in[0], in[1], weight, ignore_index, reduction); }) {}
MSELoss::MSELoss(const std::string& reduction)
    : Loss("MSELoss", 2, [=](In in) { return mse_loss(in[0], in[1], reduction); }) {}
L1Loss::L1Loss(const std::string& reduction)
    : Loss("L1Loss", 2, [=](In in) { return l1_loss(in[0], in[1], reduction); }) {}
SmoothL1Loss::SmoothL1Loss(const std::string& reduction, double beta)
    : Loss("SmoothL1Loss", 2,
           [=](In in) { return smooth_l1_loss(in[0], in[1], reduction, beta); }) {}
HuberLoss::HuberLoss(const std::string& reduction, double delta)
    : Loss("HuberLoss", 2, [=](In in) { return huber_loss(in[0], in[1], reduction, delta); }) {}
BCELoss::BCELoss(Weight weight, const std::string& reduction)
    : Loss("BCELoss", 2,
           [=](In in) { return binary_cross_entropy(in[0], in[1], weight, reduction); }) {}
BCEWithLogitsLoss::BCEWithLogitsLoss(Weight weight, const std::string& reduction, Weight pos_weight)
    : Loss("BCEWithLogitsLoss", 2, [=](In in) {
        return binary_cross_entropy_with_logits(in[0], in[1], weight, reduction, pos_weight);
      }) {}
KLDivLoss::KLDivLoss(const std::string& reduction, bool log_target)
    : Loss("KLDivLoss", 2, [=](In in) { return kl_div(in[0], in[1], reduction, log_target); }) {}
CosineEmbeddingLoss::CosineEmbeddingLoss(double margin, const std::string& reduction)
    : Loss("CosineEmbeddingLoss", 3,
           [=](In in) { return cosine_embedding_loss(in[0], in[1], in[2], margin, reduction); }) {}
MarginRankingLoss::MarginRankingLoss(double margin, const std::string& reduction)
    : Loss("MarginRankingLoss", 3,
           [=](In in) { return margin_ranking_loss(in[0], in[1], in[2], margin, reduction); }) {}
HingeEmbeddingLoss::HingeEmbeddingLoss(double margin, const std::string& reduction)
    : Loss("HingeEmbeddingLoss", 2,
           [=](In in) { return hinge_embedding_loss(in[0], in[1], margin, reduction); }) {}
TripletMarginLoss::TripletMarginLoss(double margin, double p, double eps, bool swap,
                                     const std::string& reduction)
    : Loss("TripletMarginLoss", 3, [=](In in) {
        return triplet_margin_loss(in[0], in[1], in[2], margin, p, eps, swap, reduction);
      }) {}
PoissonNLLLoss::PoissonNLLLoss(bool log_input, bool full, double eps, const std::string& reduction)
    : Loss("PoissonNLLLoss", 2,
           [=](In in) { return poisson_nll_loss(in[0], in[1], log_input, full, eps, reduction); }) {
}
GaussianNLLLoss::GaussianNLLLoss(bool full, double eps, const std::string& reduction)
    : Loss("GaussianNLLLoss", 3,
           [=](In in) { return gaussian_nll_loss(in[0], in[1], in[2], full, eps, reduction); }) {}
MultiMarginLoss::MultiMarginLoss(int64_t p, double margin, Weight weight,
                                 const std::string& reduction)
    : Loss("MultiMarginLoss", 2,
           [=](In in) { return multi_margin_loss(in[0], in[1], p, margin, weight, reduction); }) {}
MultiLabelMarginLoss::MultiLabelMarginLoss(const std::string& reduction)
    : Loss("MultiLabelMarginLoss", 2,
           [=](In in) { return multilabel_margin_loss(in[0], in[1], reduction); }) {}
MultiLabelSoftMarginLoss::MultiLabelSoftMarginLoss(Weight weight, const std::string& reduction)
    : Loss("MultiLabelSoftMarginLoss", 2,
           [=](In in) { return multilabel_soft_margin_loss(in[0], in[1], weight, reduction); }) {}
SoftMarginLoss::SoftMarginLoss(const std::string& reduction)
    : Loss("SoftMarginLoss", 2, [=](In in) { return soft_margin_loss(in[0], in[1], reduction); }) {}
CTCLoss::CTCLoss(int64_t blank, const std::string& reduction, bool zero_infinity)
    : Loss("CTCLoss", 4, [=](In in) {
        return ctc_loss(in[0], in[1], in[2], in[3], blank, reduction, zero_infinity);
      }) {}

}  // namespace ds::nn
