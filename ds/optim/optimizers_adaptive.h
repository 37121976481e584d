// SPDX-License-Identifier: Apache-2.0
// More optimizers of torch.optim; defaults are PyTorch's.
#pragma once

#include "ds/optim/optimizers.h"

namespace ds::optim {

/// Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
class Adadelta : public Optimizer {
 public:
  explicit Adadelta(Params params, double lr = 1.0, double rho = 0.9, double eps = 1e-6,
                    double weight_decay = 0, bool maximize = false);
  std::string type_name() const override { return "Adadelta"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Adam with the infinity norm (Kingma and Ba, 2015, section 7.1).
class Adamax : public Optimizer {
 public:
  explicit Adamax(Params params, double lr = 2e-3, double beta1 = 0.9, double beta2 = 0.999,
                  double eps = 1e-8, double weight_decay = 0, bool maximize = false);
  std::string type_name() const override { return "Adamax"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
class NAdam : public Optimizer {
 public:
  explicit NAdam(Params params, double lr = 2e-3, double beta1 = 0.9, double beta2 = 0.999,
                 double eps = 1e-8, double weight_decay = 0, double momentum_decay = 4e-3,
                 bool decoupled_weight_decay = false, bool maximize = false);
  std::string type_name() const override { return "NAdam"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020.
class RAdam : public Optimizer {
 public:
  explicit RAdam(Params params, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                 double eps = 1e-8, double weight_decay = 0, bool decoupled_weight_decay = false,
                 bool maximize = false);
  std::string type_name() const override { return "RAdam"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning", 1993.
class Rprop : public Optimizer {
 public:
  explicit Rprop(Params params, double lr = 1e-2, double eta_minus = 0.5, double eta_plus = 1.2,
                 double step_min = 1e-6, double step_max = 50, bool maximize = false);
  std::string type_name() const override { return "Rprop"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

/// Averaged SGD (Polyak and Juditsky, 1992); the average is the state "ax".
class ASGD : public Optimizer {
 public:
  explicit ASGD(Params params, double lr = 1e-2, double lambd = 1e-4, double alpha = 0.75,
                double t0 = 1e6, double weight_decay = 0, bool maximize = false);
  std::string type_name() const override { return "ASGD"; }

 protected:
  Tensor update(const Tensor&, const Tensor&, ParamState&, const ParamGroup&,
                const Tensor&) override;
};

}  // namespace ds::optim
