// SPDX-License-Identifier: Apache-2.0
// Normalisation layers; arguments and defaults as torch.nn.
#pragma once

#include <optional>

#include "ds/nn/module.h"

namespace ds::nn {

/// What all normalisation layers share: scale and shift, and running statistics.
class Norm : public Module {
 public:
  /// Scale 1 and shift 0.
  void reset_parameters();
  /// Mean 0 and variance 1 of no batches.
  void reset_running_stats();

 protected:
  /// ", bias=True" of extra_repr().
  std::string bias_text() const;
};

/// Batch normalisation over all dimensions but 1 (Ioffe and Szegedy, 2015). D is the number of
/// spatial dimensions; BatchNorm1d takes [N, C] and [N, C, L]. momentum absent: cumulative average.
template <int D>
class BatchNorm : public Norm {
 public:
  explicit BatchNorm(int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                     bool affine = true, bool track_running_stats = true, bool bias = true);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t num_features;
  double eps;
  std::optional<double> momentum;
  bool affine, track_running_stats;

 private:
  /// The cumulative average of the statistics of all batches.
  void update_average(const Tensor& x, const Tensor& count);
};
using BatchNorm1d = BatchNorm<1>;
using BatchNorm2d = BatchNorm<2>;
using BatchNorm3d = BatchNorm<3>;

/// Normalisation of each channel of each sample.
template <int D>
class InstanceNorm : public Norm {
 public:
  explicit InstanceNorm(int64_t num_features, double eps = 1e-5, double momentum = 0.1,
                        bool affine = false, bool track_running_stats = false, bool bias = true);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t num_features;
  double eps, momentum;
  bool affine, track_running_stats;
};
using InstanceNorm1d = InstanceNorm<1>;
using InstanceNorm2d = InstanceNorm<2>;
using InstanceNorm3d = InstanceNorm<3>;

/// Over the last dimensions (Ba et al., 2016).
class LayerNorm : public Norm {
 public:
  explicit LayerNorm(Shape normalized_shape, double eps = 1e-5, bool elementwise_affine = true,
                     bool bias = true);
  std::string type_name() const override { return "LayerNorm"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  Shape normalized_shape;
  double eps;
  bool elementwise_affine;
};

/// Root mean square normalisation (Zhang and Sennrich, 2019). eps absent: that of the dtype.
class RMSNorm : public Norm {
 public:
  explicit RMSNorm(Shape normalized_shape, std::optional<double> eps = {},
                   bool elementwise_affine = true);
  std::string type_name() const override { return "RMSNorm"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  Shape normalized_shape;
  std::optional<double> eps;
  bool elementwise_affine;
};

/// Over groups of channels (Wu and He, 2018).
class GroupNorm : public Norm {
 public:
  GroupNorm(int64_t num_groups, int64_t num_channels, double eps = 1e-5, bool affine = true,
            bool bias = true);
  std::string type_name() const override { return "GroupNorm"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t num_groups, num_channels;
  double eps;
  bool affine;
};

class LocalResponseNorm : public Module {
 public:
  explicit LocalResponseNorm(int64_t size, double alpha = 1e-4, double beta = 0.75, double k = 1.0)
      : size(size), alpha(alpha), beta(beta), k(k) {}
  std::string type_name() const override { return "LocalResponseNorm"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t size;
  double alpha, beta, k;
};

}  // namespace ds::nn
