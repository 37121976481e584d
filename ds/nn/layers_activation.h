// SPDX-License-Identifier: Apache-2.0
// Activations as modules; arguments and defaults as torch.nn.
#pragma once

#include <functional>

#include "ds/nn/module.h"

namespace ds::nn {

/// A module that applies a function of one tensor: the form of all activations without parameters.
class Activation : public Module {
 public:
  Activation(std::string name, std::string arguments, std::function<Tensor(const Tensor&)> function)
      : name_(std::move(name)), arguments_(std::move(arguments)), function_(std::move(function)) {}
  std::string type_name() const override { return name_; }
  std::string extra_repr() const override { return arguments_; }
  Tensor forward(const Tensor& x) override { return function_(x); }

 private:
  std::string name_, arguments_;
  std::function<Tensor(const Tensor&)> function_;
};

// Activations without arguments: a class a line.
#define DS_PLAIN_ACTIVATIONS(X)                                                                   \
  X(ReLU)                                                                                         \
  X(ReLU6)                                                                                        \
  X(SiLU) X(Mish) X(SELU) X(Sigmoid) X(Tanh) X(Softsign) X(Tanhshrink) X(LogSigmoid) X(Hardswish) \
      X(Hardsigmoid)
#define DS_DECLARE(Name)           \
  class Name : public Activation { \
   public:                         \
    Name();                        \
  };
DS_PLAIN_ACTIVATIONS(DS_DECLARE)
#undef DS_DECLARE

class GELU : public Activation {
 public:
  explicit GELU(const std::string& approximate = "none");
};
class LeakyReLU : public Activation {
 public:
  explicit LeakyReLU(double negative_slope = 0.01);
};
class ELU : public Activation {
 public:
  explicit ELU(double alpha = 1.0);
};
class CELU : public Activation {
 public:
  explicit CELU(double alpha = 1.0);
};
class Softplus : public Activation {
 public:
  explicit Softplus(double beta = 1.0, double threshold = 20.0);
};
class Hardtanh : public Activation {
 public:
  explicit Hardtanh(double min_val = -1.0, double max_val = 1.0);
};
class Hardshrink : public Activation {
 public:
  explicit Hardshrink(double lambd = 0.5);
};
class Softshrink : public Activation {
 public:
  explicit Softshrink(double lambd = 0.5);
};
class Threshold : public Activation {
 public:
  Threshold(double threshold, double value);
};
class GLU : public Activation {
 public:
  explicit GLU(int64_t dim = -1);
};
class Softmax : public Activation {
 public:
  explicit Softmax(int64_t dim = -1);
};
class LogSoftmax : public Activation {
 public:
  explicit LogSoftmax(int64_t dim = -1);
};
class Softmin : public Activation {
 public:
  explicit Softmin(int64_t dim = -1);
};

/// max(x, 0) + weight * min(x, 0) with a learned weight per channel or for all.
class PReLU : public Module {
 public:
  explicit PReLU(int64_t num_parameters = 1, double init = 0.25);
  std::string type_name() const override { return "PReLU"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;
};

class PixelShuffle : public Activation {
 public:
  explicit PixelShuffle(int64_t upscale_factor);
};
class PixelUnshuffle : public Activation {
 public:
  explicit PixelUnshuffle(int64_t downscale_factor);
};

/// Resizes [N, C, ...] to `size` or by `scale_factor`, see interpolate().
class Upsample : public Module {
 public:
  Upsample(std::optional<Shape> size, std::vector<double> scale_factor,
           std::string mode = "nearest", std::optional<bool> align_corners = {});
  std::string type_name() const override { return "Upsample"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

 private:
  std::optional<Shape> size_;
  std::vector<double> scale_factor_;
  std::string mode_;
  std::optional<bool> align_corners_;
};

}  // namespace ds::nn
