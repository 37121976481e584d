// SPDX-License-Identifier: Apache-2.0
// Convolutions and pooling; arguments and defaults as torch.nn. Sizes of one entry apply to every
// spatial dimension.
#pragma once

#include <optional>

#include "ds/nn/module.h"
#include "ds/tensor/arguments.h"

namespace ds::nn {

struct ConvOptions {
  int64_t in_channels;
  int64_t out_channels;
  PerDim kernel_size;
  PerDim stride = 1;
  ConvPadding padding = 0;  // "same" and "valid" too, but not for transposed convolutions
  PerDim dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  std::string padding_mode = "zeros";  // zeros, reflect, replicate or circular
  PerDim output_padding = 0;           // transposed convolutions only
};

/// What the convolutions share: weight and bias, their initialisation and repr.
class ConvBase : public Module {
 public:
  ConvBase(int spatial_dims, bool transposed, ConvOptions options);
  std::string type_name() const override;
  std::string extra_repr() const override;
  const ConvOptions& options() const { return options_; }
  ConvOptions& options() { return options_; }
  /// Draws weight and bias anew.
  void reset_parameters();

 protected:
  int spatial_dims_;
  bool transposed_;
  ConvOptions options_;
};

/// x [N, in, ...] (or without N) -> [N, out, ...].
template <int D>
class Conv : public ConvBase {
 public:
  explicit Conv(ConvOptions options) : ConvBase(D, false, std::move(options)) {}
  Tensor forward(const Tensor& x) override;
};
using Conv1d = Conv<1>;
using Conv2d = Conv<2>;
using Conv3d = Conv<3>;

template <int D>
class ConvTranspose : public ConvBase {
 public:
  explicit ConvTranspose(ConvOptions options) : ConvBase(D, true, std::move(options)) {}
  Tensor forward(const Tensor& x) override { return forward(x, std::nullopt); }
  /// `output_size`: spatial sizes of the result instead of output_padding.
  Tensor forward(const Tensor& x, const std::optional<Shape>& output_size);
};
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;
using ConvTranspose3d = ConvTranspose<3>;

struct PoolOptions {
  PerDim kernel_size;
  PerDim stride = {};  // empty: kernel_size
  PerDim padding = 0;
  PerDim dilation = 1;  // max pooling
  bool ceil_mode = false;
  bool count_include_pad = true;  // average pooling
  std::optional<int64_t> divisor_override;
};

enum class PoolKind { max, avg };

/// Max or average pooling over D spatial dimensions.
template <int D>
class Pool : public Module {
 public:
  Pool(PoolKind kind, PoolOptions options);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;
  /// Values and indices of max pooling.
  std::pair<Tensor, Tensor> forward_with_indices(const Tensor& x);
  const PoolOptions& options() const { return options_; }
  PoolOptions& options() { return options_; }

 private:
  PoolKind kind_;
  PoolOptions options_;
};

template <int D>
class MaxPool : public Pool<D> {
 public:
  explicit MaxPool(PoolOptions options) : Pool<D>(PoolKind::max, std::move(options)) {}
  /// Asks callers that can return two tensors for forward_with_indices().
  bool return_indices = false;
};
using MaxPool1d = MaxPool<1>;
using MaxPool2d = MaxPool<2>;
using MaxPool3d = MaxPool<3>;

template <int D>
class AvgPool : public Pool<D> {
 public:
  explicit AvgPool(PoolOptions options) : Pool<D>(PoolKind::avg, std::move(options)) {}
};
using AvgPool1d = AvgPool<1>;
using AvgPool2d = AvgPool<2>;
using AvgPool3d = AvgPool<3>;

/// Pooling to a given output size; -1 keeps a dimension.
template <int D>
class AdaptivePool : public Module {
 public:
  AdaptivePool(PoolKind kind, PerDim output_size);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;
  std::pair<Tensor, Tensor> forward_with_indices(const Tensor& x);

  PerDim output_size;

 private:
  PoolKind kind_;
};

template <int D>
class AdaptiveMaxPool : public AdaptivePool<D> {
 public:
  explicit AdaptiveMaxPool(PerDim output_size) : AdaptivePool<D>(PoolKind::max, output_size) {}
  bool return_indices = false;
};
using AdaptiveMaxPool1d = AdaptiveMaxPool<1>;
using AdaptiveMaxPool2d = AdaptiveMaxPool<2>;
using AdaptiveMaxPool3d = AdaptiveMaxPool<3>;

template <int D>
class AdaptiveAvgPool : public AdaptivePool<D> {
 public:
  explicit AdaptiveAvgPool(PerDim output_size) : AdaptivePool<D>(PoolKind::avg, output_size) {}
};
using AdaptiveAvgPool1d = AdaptiveAvgPool<1>;
using AdaptiveAvgPool2d = AdaptiveAvgPool<2>;
using AdaptiveAvgPool3d = AdaptiveAvgPool<3>;

}  // namespace ds::nn
