// SPDX-License-Identifier: Apache-2.0
// Losses as modules; arguments and defaults as torch.nn.
#pragma once

#include <functional>
#include <optional>

#include "ds/nn/module.h"

namespace ds::nn {

/// A loss of a fixed number of tensors. The last argument of every constructor is `reduction`:
/// mean, sum or none.
class Loss : public Module {
 public:
  using Function = std::function<Tensor(const std::vector<Tensor>& inputs)>;
  Loss(std::string name, int inputs, Function function);
  std::string type_name() const override { return name_; }
  using Module::forward;
  /// ValueError when the number of tensors is wrong.
  Tensor forward(const std::vector<Tensor>& inputs);
  Tensor operator()(const Tensor& input, const Tensor& target) { return forward({input, target}); }
  Tensor operator()(const Tensor& a, const Tensor& b, const Tensor& c) {
    return forward({a, b, c});
  }

 private:
  std::string name_;
  int inputs_;
  Function function_;
};

class CrossEntropyLoss : public Loss {
 public:
  explicit CrossEntropyLoss(std::optional<Tensor> weight = {}, int64_t ignore_index = -100,
                            const std::string& reduction = "mean", double label_smoothing = 0.0);
};
class NLLLoss : public Loss {
 public:
  explicit NLLLoss(std::optional<Tensor> weight = {}, int64_t ignore_index = -100,
                   const std::string& reduction = "mean");
};
class MSELoss : public Loss {
 public:
  explicit MSELoss(const std::string& reduction = "mean");
};
class L1Loss : public Loss {
 public:
  explicit L1Loss(const std::string& reduction = "mean");
};
class SmoothL1Loss : public Loss {
 public:
  explicit SmoothL1Loss(const std::string& reduction = "mean", double beta = 1.0);
};
class HuberLoss : public Loss {
 public:
  explicit HuberLoss(const std::string& reduction = "mean", double delta = 1.0);
};
class BCELoss : public Loss {
 public:
  explicit BCELoss(std::optional<Tensor> weight = {}, const std::string& reduction = "mean");
};
class BCEWithLogitsLoss : public Loss {
 public:
  explicit BCEWithLogitsLoss(std::optional<Tensor> weight = {},
                             const std::string& reduction = "mean",
                             std::optional<Tensor> pos_weight = {});
};
class KLDivLoss : public Loss {
 public:
  explicit KLDivLoss(const std::string& reduction = "mean", bool log_target = false);
};
class CosineEmbeddingLoss : public Loss {
 public:
  explicit CosineEmbeddingLoss(double margin = 0.0, const std::string& reduction = "mean");
};
class MarginRankingLoss : public Loss {
 public:
  explicit MarginRankingLoss(double margin = 0.0, const std::string& reduction = "mean");
};
class HingeEmbeddingLoss : public Loss {
 public:
  explicit HingeEmbeddingLoss(double margin = 1.0, const std::string& reduction = "mean");
};
class TripletMarginLoss : public Loss {
 public:
  explicit TripletMarginLoss(double margin = 1.0, double p = 2.0, double eps = 1e-6,
                             bool swap = false, const std::string& reduction = "mean");
};
class PoissonNLLLoss : public Loss {
 public:
  explicit PoissonNLLLoss(bool log_input = true, bool full = false, double eps = 1e-8,
                          const std::string& reduction = "mean");
};
class GaussianNLLLoss : public Loss {
 public:
  explicit GaussianNLLLoss(bool full = false, double eps = 1e-6,
                           const std::string& reduction = "mean");
};
class MultiMarginLoss : public Loss {
 public:
  explicit MultiMarginLoss(int64_t p = 1, double margin = 1.0, std::optional<Tensor> weight = {},
                           const std::string& reduction = "mean");
};
class MultiLabelMarginLoss : public Loss {
 public:
  explicit MultiLabelMarginLoss(const std::string& reduction = "mean");
};
class MultiLabelSoftMarginLoss : public Loss {
 public:
  explicit MultiLabelSoftMarginLoss(std::optional<Tensor> weight = {},
                                    const std::string& reduction = "mean");
};
class SoftMarginLoss : public Loss {
 public:
  explicit SoftMarginLoss(const std::string& reduction = "mean");
};
class CTCLoss : public Loss {
 public:
  explicit CTCLoss(int64_t blank = 0, const std::string& reduction = "mean",
                   bool zero_infinity = false);
};

}  // namespace ds::nn
