// SPDX-License-Identifier: Apache-2.0
// Losses as modules; arguments and defaults as torch.nn. Weights are buffers, as there.
#pragma once

#include <optional>

#include "ds/nn/module.h"

namespace ds::nn {

/// A loss of a fixed number of tensors; `reduction` is mean, sum or none (batchmean too for
/// KLDivLoss).
class Loss : public Module {
 public:
  using Inputs = std::vector<Tensor>;
  std::string type_name() const override { return name_; }
  std::string extra_repr() const override { return {}; }
  using Module::forward;
  /// ValueError when the number of tensors is wrong.
  Tensor forward(const Inputs& inputs);
  Tensor operator()(const Tensor& input, const Tensor& target) { return forward({input, target}); }
  Tensor operator()(const Tensor& a, const Tensor& b, const Tensor& c) {
    return forward({a, b, c});
  }

  std::string reduction;

 protected:
  Loss(const char* name, size_t inputs, std::string reduction)
      : reduction(std::move(reduction)), name_(name), inputs_(inputs) {}
  virtual Tensor compute(const Inputs& in) const = 0;

 private:
  const char* name_;
  size_t inputs_;
};

using Weight = std::optional<Tensor>;

class CrossEntropyLoss : public Loss {
 public:
  explicit CrossEntropyLoss(const Weight& weight = {}, int64_t ignore_index = -100,
                            std::string reduction = "mean", double label_smoothing = 0.0);
  int64_t ignore_index;
  double label_smoothing;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class NLLLoss : public Loss {
 public:
  explicit NLLLoss(const Weight& weight = {}, int64_t ignore_index = -100,
                   std::string reduction = "mean");
  int64_t ignore_index;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class MSELoss : public Loss {
 public:
  explicit MSELoss(std::string reduction = "mean") : Loss("MSELoss", 2, std::move(reduction)) {}

 protected:
  Tensor compute(const Inputs& in) const override;
};
class L1Loss : public Loss {
 public:
  explicit L1Loss(std::string reduction = "mean") : Loss("L1Loss", 2, std::move(reduction)) {}

 protected:
  Tensor compute(const Inputs& in) const override;
};
class SmoothL1Loss : public Loss {
 public:
  explicit SmoothL1Loss(std::string reduction = "mean", double beta = 1.0)
      : Loss("SmoothL1Loss", 2, std::move(reduction)), beta(beta) {}
  double beta;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class HuberLoss : public Loss {
 public:
  explicit HuberLoss(std::string reduction = "mean", double delta = 1.0)
      : Loss("HuberLoss", 2, std::move(reduction)), delta(delta) {}
  double delta;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class BCELoss : public Loss {
 public:
  explicit BCELoss(const Weight& weight = {}, std::string reduction = "mean");

 protected:
  Tensor compute(const Inputs& in) const override;
};
class BCEWithLogitsLoss : public Loss {
 public:
  explicit BCEWithLogitsLoss(const Weight& weight = {}, std::string reduction = "mean",
                             const Weight& pos_weight = {});

 protected:
  Tensor compute(const Inputs& in) const override;
};
class KLDivLoss : public Loss {
 public:
  explicit KLDivLoss(std::string reduction = "mean", bool log_target = false)
      : Loss("KLDivLoss", 2, std::move(reduction)), log_target(log_target) {}
  bool log_target;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class CosineEmbeddingLoss : public Loss {
 public:
  explicit CosineEmbeddingLoss(double margin = 0.0, std::string reduction = "mean")
      : Loss("CosineEmbeddingLoss", 3, std::move(reduction)), margin(margin) {}
  double margin;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class MarginRankingLoss : public Loss {
 public:
  explicit MarginRankingLoss(double margin = 0.0, std::string reduction = "mean")
      : Loss("MarginRankingLoss", 3, std::move(reduction)), margin(margin) {}
  double margin;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class HingeEmbeddingLoss : public Loss {
 public:
  explicit HingeEmbeddingLoss(double margin = 1.0, std::string reduction = "mean")
      : Loss("HingeEmbeddingLoss", 2, std::move(reduction)), margin(margin) {}
  double margin;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class TripletMarginLoss : public Loss {
 public:
  explicit TripletMarginLoss(double margin = 1.0, double p = 2.0, double eps = 1e-6,
                             bool swap = false, std::string reduction = "mean")
      : Loss("TripletMarginLoss", 3, std::move(reduction)),
        margin(margin),
        p(p),
        eps(eps),
        swap(swap) {}
  double margin, p, eps;
  bool swap;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class PoissonNLLLoss : public Loss {
 public:
  explicit PoissonNLLLoss(bool log_input = true, bool full = false, double eps = 1e-8,
                          std::string reduction = "mean")
      : Loss("PoissonNLLLoss", 2, std::move(reduction)),
        log_input(log_input),
        full(full),
        eps(eps) {}
  bool log_input, full;
  double eps;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class GaussianNLLLoss : public Loss {
 public:
  explicit GaussianNLLLoss(bool full = false, double eps = 1e-6, std::string reduction = "mean")
      : Loss("GaussianNLLLoss", 3, std::move(reduction)), full(full), eps(eps) {}
  bool full;
  double eps;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class MultiMarginLoss : public Loss {
 public:
  explicit MultiMarginLoss(int64_t p = 1, double margin = 1.0, const Weight& weight = {},
                           std::string reduction = "mean");
  int64_t p;
  double margin;

 protected:
  Tensor compute(const Inputs& in) const override;
};
class MultiLabelMarginLoss : public Loss {
 public:
  explicit MultiLabelMarginLoss(std::string reduction = "mean")
      : Loss("MultiLabelMarginLoss", 2, std::move(reduction)) {}

 protected:
  Tensor compute(const Inputs& in) const override;
};
class MultiLabelSoftMarginLoss : public Loss {
 public:
  explicit MultiLabelSoftMarginLoss(const Weight& weight = {}, std::string reduction = "mean");

 protected:
  Tensor compute(const Inputs& in) const override;
};
class SoftMarginLoss : public Loss {
 public:
  explicit SoftMarginLoss(std::string reduction = "mean")
      : Loss("SoftMarginLoss", 2, std::move(reduction)) {}

 protected:
  Tensor compute(const Inputs& in) const override;
};
class CTCLoss : public Loss {
 public:
  explicit CTCLoss(int64_t blank = 0, std::string reduction = "mean", bool zero_infinity = false)
      : Loss("CTCLoss", 4, std::move(reduction)), blank(blank), zero_infinity(zero_infinity) {}
  int64_t blank;
  bool zero_infinity;

 protected:
  Tensor compute(const Inputs& in) const override;
};

}  // namespace ds::nn
