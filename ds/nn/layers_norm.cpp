// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_norm.h"

#include "ds/base/error.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::nn {
namespace {

const char* py_bool(bool value) { return value ? "True" : "False"; }

void add_affine(Module& module, const Shape& shape, bool weight, bool bias) {
  module.register_parameter("weight", weight ? clone(ones(shape)) : Tensor());
  module.register_parameter("bias", bias ? clone(zeros(shape)) : Tensor());
}

void add_running_stats(Module& module, int64_t features, bool track) {
  module.register_buffer("running_mean", track ? clone(zeros({features})) : Tensor());
  module.register_buffer("running_var", track ? clone(ones({features})) : Tensor());
  const int64_t zero = 0;
  module.register_buffer("num_batches_tracked",
                         track ? Tensor::from_host(&zero, {DType::i64, {}}) : Tensor());
}

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) text += str(i ? ", " : "", shape[i]);
  return text + (shape.rank() == 1 ? ",)" : ")");
}

/// x has `spatial` spatial dimensions after [N, C]; with `low`, as few as that.
void check_rank(const Module& module, const Tensor& x, int low, int high) {
  DS_CHECK(x.dim() >= low && x.dim() <= high, ShapeError, module.type_name(), ": the input is ",
           x.type(), "; it must have ", low, low == high ? "" : str(" or ", high), " dimensions");
}

}  // namespace

template <int D>
BatchNorm<D>::BatchNorm(int64_t num_features, double eps, std::optional<double> momentum,
                        bool affine, bool track_running_stats)
    : num_features_(num_features),
      eps_(eps),
      momentum_(momentum),
      affine_(affine),
      track_(track_running_stats) {
  add_affine(*this, {num_features}, affine, affine);
  add_running_stats(*this, num_features, track_running_stats);
}

template <int D>
std::string BatchNorm<D>::type_name() const {
  return str("BatchNorm", D, "d");
}

template <int D>
std::string BatchNorm<D>::extra_repr() const {
  return str(num_features_, ", eps=", eps_, ", momentum=", momentum_ ? str(*momentum_) : "None",
             ", affine=", py_bool(affine_), ", track_running_stats=", py_bool(track_));
}

template <int D>
Tensor BatchNorm<D>::forward(const Tensor& x) {
  check_rank(*this, x, D == 1 ? 2 : D + 2, D + 2);
  double factor = momentum_.value_or(0.0);
  if (is_training() && track_) {
    const GradMode no_grad(false);
    const Tensor count = buffer("num_batches_tracked");
    ds::assign(count, ds::add(count, 1));
    if (!momentum_) factor = 1.0 / static_cast<double>(count.item_int());  // cumulative average
  }
  const bool use_batch = is_training() || !track_;
  return batch_norm(x, optional_buffer("running_mean"), optional_buffer("running_var"),
                    optional_parameter("weight"), optional_parameter("bias"), use_batch, factor,
                    eps_);
}

template class BatchNorm<1>;
template class BatchNorm<2>;
template class BatchNorm<3>;

template <int D>
InstanceNorm<D>::InstanceNorm(int64_t num_features, double eps, double momentum, bool affine,
                              bool track_running_stats)
    : num_features_(num_features),
      eps_(eps),
      momentum_(momentum),
      affine_(affine),
      track_(track_running_stats) {
  add_affine(*this, {num_features}, affine, affine);
  add_running_stats(*this, num_features, track_running_stats);
}

template <int D>
std::string InstanceNorm<D>::type_name() const {
  return str("InstanceNorm", D, "d");
}

template <int D>
std::string InstanceNorm<D>::extra_repr() const {
  return str(num_features_, ", eps=", eps_, ", momentum=", momentum_, ", affine=", py_bool(affine_),
             ", track_running_stats=", py_bool(track_));
}

template <int D>
Tensor InstanceNorm<D>::forward(const Tensor& x) {
  check_rank(*this, x, D + 1, D + 2);
  const Tensor batched = x.dim() == D + 1 ? unsqueeze(x, 0) : x;
  const Tensor y =
      instance_norm(batched, optional_buffer("running_mean"), optional_buffer("running_var"),
                    optional_parameter("weight"), optional_parameter("bias"),
                    is_training() || !track_, momentum_, eps_);
  return x.dim() == D + 1 ? squeeze(y, 0) : y;
}

template class InstanceNorm<1>;
template class InstanceNorm<2>;
template class InstanceNorm<3>;

LayerNorm::LayerNorm(Shape normalized_shape, double eps, bool elementwise_affine, bool bias)
    : shape_(std::move(normalized_shape)), eps_(eps), affine_(elementwise_affine) {
  add_affine(*this, shape_, affine_, affine_ && bias);
}

std::string LayerNorm::extra_repr() const {
  return str(shape_text(shape_), ", eps=", eps_, ", elementwise_affine=", py_bool(affine_));
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, shape_, optional_parameter("weight"), optional_parameter("bias"), eps_);
}

RMSNorm::RMSNorm(Shape normalized_shape, std::optional<double> eps, bool elementwise_affine)
    : shape_(std::move(normalized_shape)), eps_(eps), affine_(elementwise_affine) {
  register_parameter("weight", affine_ ? clone(ones(shape_)) : Tensor());
}

std::string RMSNorm::extra_repr() const {
  return str(shape_text(shape_), ", eps=", eps_ ? str(*eps_) : "None",
             ", elementwise_affine=", py_bool(affine_));
}

Tensor RMSNorm::forward(const Tensor& x) {
  return rms_norm(x, shape_, optional_parameter("weight"), eps_);
}

GroupNorm::GroupNorm(int64_t num_groups, int64_t num_channels, double eps, bool affine)
    : num_groups_(num_groups), num_channels_(num_channels), eps_(eps), affine_(affine) {
  DS_CHECK(num_groups >= 1 && num_channels % num_groups == 0, ValueError, "GroupNorm: num_groups ",
           num_groups, " must divide num_channels ", num_channels);
  add_affine(*this, {num_channels}, affine, affine);
}

std::string GroupNorm::extra_repr() const {
  return str(num_groups_, ", ", num_channels_, ", eps=", eps_, ", affine=", py_bool(affine_));
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(x, num_groups_, optional_parameter("weight"), optional_parameter("bias"), eps_);
}

std::string LocalResponseNorm::extra_repr() const {
  return str(size_, ", alpha=", alpha_, ", beta=", beta_, ", k=", k_);
}

Tensor LocalResponseNorm::forward(const Tensor& x) {
  return local_response_norm(x, size_, alpha_, beta_, k_);
}

}  // namespace ds::nn
