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

 private:
  PoolKind kind_;
  PoolOptions options_;
};

/// Pooling to a given output size; -1 keeps a dimension.
template <int D>
class AdaptivePool : public Module {
 public:
  AdaptivePool(PoolKind kind, PerDim output_size);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;
  std::pair<Tensor, Tensor> forward_with_indices(const Tensor& x);

 private:
  PoolKind kind_;
  PerDim output_size_;
};

}  // namespace ds::nn
