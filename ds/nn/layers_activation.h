// SPDX-License-Identifier: Apache-2.0
// Activations as modules; arguments and defaults as torch.nn.
#pragma once

#include <optional>

#include "ds/nn/module.h"

namespace ds::nn {

/// A function of one tensor without parameters. With `inplace` the result is written into the
/// input as well.
class Activation : public Module {
 public:
  Tensor forward(const Tensor& x) override;

  bool inplace = false;

 protected:
  virtual Tensor apply_to(const Tensor& x) const = 0;
};

#define DS_ACTIVATION_METHODS(Name)                        \
  std::string type_name() const override { return #Name; } \
  std::string extra_repr() const override;                 \
                                                           \
 protected:                                                \
  Tensor apply_to(const Tensor& x) const override;

// Activations without arguments: a class a line.
#define DS_PLAIN_ACTIVATIONS(X) \
  X(ReLU)                       \
  X(ReLU6)                      \
  X(SiLU)                       \
  X(Mish)                       \
  X(SELU) X(Sigmoid) X(Tanh) X(Softsign) X(Tanhshrink) X(LogSigmoid) X(Hardswish) X(Hardsigmoid)
#define DS_DECLARE(Name)           \
  class Name : public Activation { \
   public:                         \
    DS_ACTIVATION_METHODS(Name)    \
  };
DS_PLAIN_ACTIVATIONS(DS_DECLARE)
#undef DS_DECLARE

class GELU : public Activation {
 public:
  explicit GELU(std::string approximate = "none") : approximate(std::move(approximate)) {}
  std::string approximate;
  DS_ACTIVATION_METHODS(GELU)
};
class LeakyReLU : public Activation {
 public:
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope(negative_slope) {}
  double negative_slope;
  DS_ACTIVATION_METHODS(LeakyReLU)
};
class ELU : public Activation {
 public:
  explicit ELU(double alpha = 1.0) : alpha(alpha) {}
  double alpha;
  DS_ACTIVATION_METHODS(ELU)
};
class CELU : public Activation {
 public:
  explicit CELU(double alpha = 1.0) : alpha(alpha) {}
  double alpha;
  DS_ACTIVATION_METHODS(CELU)
};
class Softplus : public Activation {
 public:
  explicit Softplus(double beta = 1.0, double threshold = 20.0)
      : beta(beta), threshold(threshold) {}
  double beta, threshold;
  DS_ACTIVATION_METHODS(Softplus)
};
class Hardtanh : public Activation {
 public:
  explicit Hardtanh(double min_val = -1.0, double max_val = 1.0)
      : min_val(min_val), max_val(max_val) {}
  double min_val, max_val;
  DS_ACTIVATION_METHODS(Hardtanh)
};
class Hardshrink : public Activation {
 public:
  explicit Hardshrink(double lambd = 0.5) : lambd(lambd) {}
  double lambd;
  DS_ACTIVATION_METHODS(Hardshrink)
};
class Softshrink : public Activation {
 public:
  explicit Softshrink(double lambd = 0.5) : lambd(lambd) {}
  double lambd;
  DS_ACTIVATION_METHODS(Softshrink)
};
class Threshold : public Activation {
 public:
  Threshold(double threshold, double value) : threshold(threshold), value(value) {}
  double threshold, value;
  DS_ACTIVATION_METHODS(Threshold)
};
class GLU : public Activation {
 public:
  explicit GLU(int64_t dim = -1) : dim(dim) {}
  int64_t dim;
  DS_ACTIVATION_METHODS(GLU)
};
/// Randomized leaky ReLU: the slope is drawn from [lower, upper] while training.
class RReLU : public Activation {
 public:
  explicit RReLU(double lower = 1.0 / 8, double upper = 1.0 / 3) : lower(lower), upper(upper) {}
  double lower, upper;
  DS_ACTIVATION_METHODS(RReLU)
};

/// Softmax, its logarithm or softmin over `dim`; without one PyTorch's old rule picks it: 0 for
/// 0-d, 1-d and 3-d inputs, else 1.
class SoftmaxBase : public Activation {
 public:
  std::optional<int64_t> dim;
  std::string extra_repr() const override;

 protected:
  explicit SoftmaxBase(std::optional<int64_t> dim) : dim(dim) {}
  int64_t dim_for(const Tensor& x) const;
};
#define DS_DECLARE_SOFTMAX(Name)                                                   \
  class Name : public SoftmaxBase {                                                \
   public:                                                                         \
    explicit Name(std::optional<int64_t> dim = std::nullopt) : SoftmaxBase(dim) {} \
    std::string type_name() const override { return #Name; }                       \
                                                                                   \
   protected:                                                                      \
    Tensor apply_to(const Tensor& x) const override;                               \
  };
DS_DECLARE_SOFTMAX(Softmax)
DS_DECLARE_SOFTMAX(LogSoftmax)
DS_DECLARE_SOFTMAX(Softmin)
#undef DS_DECLARE_SOFTMAX
/// Softmax over the channels of [N, C, H, W] or [C, H, W].
class Softmax2d : public Activation {
 public:
  DS_ACTIVATION_METHODS(Softmax2d)
};

class PixelShuffle : public Activation {
 public:
  explicit PixelShuffle(int64_t upscale_factor) : upscale_factor(upscale_factor) {}
  int64_t upscale_factor;
  DS_ACTIVATION_METHODS(PixelShuffle)
};
class PixelUnshuffle : public Activation {
 public:
  explicit PixelUnshuffle(int64_t downscale_factor) : downscale_factor(downscale_factor) {}
  int64_t downscale_factor;
  DS_ACTIVATION_METHODS(PixelUnshuffle)
};
class ChannelShuffle : public Activation {
 public:
  explicit ChannelShuffle(int64_t groups) : groups(groups) {}
  int64_t groups;
  DS_ACTIVATION_METHODS(ChannelShuffle)
};
#undef DS_ACTIVATION_METHODS

/// max(x, 0) + weight * min(x, 0) with a learned weight per channel or for all.
class PReLU : public Module {
 public:
  explicit PReLU(int64_t num_parameters = 1, double init = 0.25);
  std::string type_name() const override { return "PReLU"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t num_parameters;
  double init;
};

/// Resizes [N, C, ...] to `size` or by `scale_factor`, see interpolate().
class Upsample : public Module {
 public:
  Upsample(std::optional<Shape> size, std::vector<double> scale_factor,
           std::string mode = "nearest", std::optional<bool> align_corners = {});
  std::string type_name() const override { return "Upsample"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  std::optional<Shape> size;
  std::vector<double> scale_factor;
  std::string mode;
  std::optional<bool> align_corners;
};

class UpsamplingNearest2d : public Upsample {
 public:
  UpsamplingNearest2d(std::optional<Shape> size, std::vector<double> scale_factor)
      : Upsample(std::move(size), std::move(scale_factor)) {}
  std::string type_name() const override { return "UpsamplingNearest2d"; }
};
/// Corners aligned.
class UpsamplingBilinear2d : public Upsample {
 public:
  UpsamplingBilinear2d(std::optional<Shape> size, std::vector<double> scale_factor)
      : Upsample(std::move(size), std::move(scale_factor), "bilinear", true) {}
  std::string type_name() const override { return "UpsamplingBilinear2d"; }
};

}  // namespace ds::nn
