// SPDX-License-Identifier: Apache-2.0
// The optimizers; defaults are PyTorch's. Parameters come as one list or as groups added later.
#pragma once

#include "ds/optim/optimizer.h"

namespace ds::optim {

using Params = std::vector<Tensor>;

/// Stochastic gradient descent with momentum (Sutskever et al., 2013).
class SGD : public Optimizer {
 public:
  explicit SGD(Params params, double lr = 1e-3, double momentum = 0, double dampening = 0,
               double weight_decay = 0, bool nesterov = false, bool maximize = false);
  std::string type_name() const override { return "SGD"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
class Adam : public Optimizer {
 public:
  explicit Adam(Params params, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, bool amsgrad = false,
                bool maximize = false);
  std::string type_name() const override { return decoupled_ ? "AdamW" : "Adam"; }

 protected:
  Adam(Hyper hyper, bool decoupled) : Optimizer(std::move(hyper)), decoupled_(decoupled) {}
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;

 private:
  bool decoupled_ = false;
};

/// Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
class AdamW : public Adam {
 public:
  explicit AdamW(Params params, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                 double eps = 1e-8, double weight_decay = 1e-2, bool amsgrad = false,
                 bool maximize = false);
};

/// Tieleman and Hinton, lecture 6.5, 2012.
class RMSprop : public Optimizer {
 public:
  explicit RMSprop(Params params, double lr = 1e-2, double alpha = 0.99, double eps = 1e-8,
                   double weight_decay = 0, double momentum = 0, bool centered = false,
                   bool maximize = false);
  std::string type_name() const override { return "RMSprop"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Duchi et al., "Adaptive Subgradient Methods", 2011.
class Adagrad : public Optimizer {
 public:
  explicit Adagrad(Params params, double lr = 1e-2, double lr_decay = 0, double weight_decay = 0,
                   double initial_accumulator_value = 0, double eps = 1e-10, bool maximize = false);
  std::string type_name() const override { return "Adagrad"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, in the
/// form of torch.optim.Adafactor.
class Adafactor : public Optimizer {
 public:
  explicit Adafactor(Params params, double lr = 1e-2, double beta2_decay = -0.8, double eps1 = -1,
                     double eps2 = 1e-3, double d = 1.0, double weight_decay = 0,
                     bool maximize = false);
  std::string type_name() const override { return "Adafactor"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020.
class LAMB : public Optimizer {
 public:
  explicit LAMB(Params params, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-6, double weight_decay = 0);
  std::string type_name() const override { return "LAMB"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
class Lion : public Optimizer {
 public:
  explicit Lion(Params params, double lr = 1e-4, double beta1 = 0.9, double beta2 = 0.99,
                double weight_decay = 0);
  std::string type_name() const override { return "Lion"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Scales the gradients so that their total norm is at most max_norm; returns the norm before,
/// without waiting for it. norm_type may be infinite.
Tensor clip_grad_norm_(const Params& params, double max_norm, double norm_type = 2.0,
                       bool error_if_nonfinite = false);
/// Cuts every gradient element to [-clip_value, clip_value].
void clip_grad_value_(const Params& params, double clip_value);

}  // namespace ds::optim
