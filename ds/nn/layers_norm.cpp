// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_norm.h"

#include "ds/base/error.h"
#include "ds/nn/repr_text.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::nn {
namespace {

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

/// x has `spatial` spatial dimensions after [N, C]; with `low`, as few as that.
void check_rank(const Module& module, const Tensor& x, int low, int high) {
  DS_CHECK(x.dim() >= low && x.dim() <= high, ShapeError, module.type_name(), ": the input is ",
           x.type(), "; it must have ", low, low == high ? "" : str(" or ", high), " dimensions");
}

}  // namespace

void Norm::reset_parameters() {
  const GradMode no_grad(false);
  for (const auto& [name, tensor] : own_parameters())
    if (tensor.defined())
      ds::assign(tensor, name == "weight" ? ones_like(tensor) : zeros_like(tensor));
}

std::string Norm::bias_text() const { return str(", bias=", py_bool(parameter("bias").defined())); }

void Norm::reset_running_stats() {
  const GradMode no_grad(false);
  for (const auto& [name, tensor] : own_buffers())
    if (tensor.defined())
      ds::assign(tensor, name == "running_var" ? ones_like(tensor) : zeros_like(tensor));
}

template <int D>
BatchNorm<D>::BatchNorm(int64_t num_features, double eps, std::optional<double> momentum,
                        bool affine, bool track_running_stats, bool bias)
    : num_features(num_features),
      eps(eps),
      momentum(momentum),
      affine(affine),
      track_running_stats(track_running_stats) {
  add_affine(*this, {num_features}, affine, affine && bias);
  add_running_stats(*this, num_features, track_running_stats);
}

template <int D>
std::string BatchNorm<D>::type_name() const {
  return str("BatchNorm", D, "d");
}

template <int D>
std::string BatchNorm<D>::extra_repr() const {
  return str(num_features, ", eps=", py_float(eps),
             ", momentum=", momentum ? py_float(*momentum) : "None", ", affine=", py_bool(affine),
             bias_text(), ", track_running_stats=", py_bool(track_running_stats));
}

template <int D>
Tensor BatchNorm<D>::forward(const Tensor& x) {
  check_rank(*this, x, D == 1 ? 2 : D + 2, D + 2);
  if (is_training() && track_running_stats) {
    const GradMode no_grad(false);
    const Tensor count = buffer("num_batches_tracked");
    ds::assign(count, ds::add(count, 1));
    if (!momentum) update_average(x, count);
  }
  const bool use_batch = is_training() || !track_running_stats;
  const bool keep = use_batch && !momentum;  // the statistics are up to date
  return batch_norm(x, keep ? std::nullopt : optional_buffer("running_mean"),
                    keep ? std::nullopt : optional_buffer("running_var"),
                    optional_parameter("weight"), optional_parameter("bias"), use_batch,
                    momentum.value_or(0.0), eps);
}

template <int D>
void BatchNorm<D>::update_average(const Tensor& x, const Tensor& count) {
  Shape others{0};
  for (int i = 2; i < x.dim(); ++i) others.push_back(i);
  // The share of this batch is a value of the plan: a number would make every step a new plan.
  const Tensor share = reciprocal(to_dtype(count, DType::f32));
  for (const char* name : {"running_mean", "running_var"}) {
    const Tensor running = buffer(name);
    const Tensor batch = name[8] == 'm' ? mean(x, others) : var(x, others, 1);
    ds::assign(running,
               lerp(running, to_dtype(batch, running.dtype()), to_dtype(share, running.dtype())));
  }
}

template class BatchNorm<1>;
template class BatchNorm<2>;
template class BatchNorm<3>;

template <int D>
InstanceNorm<D>::InstanceNorm(int64_t num_features, double eps, double momentum, bool affine,
                              bool track_running_stats, bool bias)
    : num_features(num_features),
      eps(eps),
      momentum(momentum),
      affine(affine),
      track_running_stats(track_running_stats) {
  add_affine(*this, {num_features}, affine, affine && bias);
  add_running_stats(*this, num_features, track_running_stats);
}

template <int D>
std::string InstanceNorm<D>::type_name() const {
  return str("InstanceNorm", D, "d");
}

template <int D>
std::string InstanceNorm<D>::extra_repr() const {
  return str(num_features, ", eps=", py_float(eps), ", momentum=", py_float(momentum),
             ", affine=", py_bool(affine), bias_text(),
             ", track_running_stats=", py_bool(track_running_stats));
}

template <int D>
Tensor InstanceNorm<D>::forward(const Tensor& x) {
  check_rank(*this, x, D + 1, D + 2);
  const Tensor batched = x.dim() == D + 1 ? unsqueeze(x, 0) : x;
  const Tensor y =
      instance_norm(batched, optional_buffer("running_mean"), optional_buffer("running_var"),
                    optional_parameter("weight"), optional_parameter("bias"),
                    is_training() || !track_running_stats, momentum, eps);
  return x.dim() == D + 1 ? squeeze(y, 0) : y;
}

template class InstanceNorm<1>;
template class InstanceNorm<2>;
template class InstanceNorm<3>;

LayerNorm::LayerNorm(Shape normalized_shape, double eps, bool elementwise_affine, bool bias)
    : normalized_shape(std::move(normalized_shape)),
      eps(eps),
      elementwise_affine(elementwise_affine) {
  add_affine(*this, this->normalized_shape, elementwise_affine, elementwise_affine && bias);
}

std::string LayerNorm::extra_repr() const {
  return str(py_tuple(normalized_shape), ", eps=", py_float(eps),
             ", elementwise_affine=", py_bool(elementwise_affine), bias_text());
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, normalized_shape, optional_parameter("weight"), optional_parameter("bias"),
                    eps);
}

RMSNorm::RMSNorm(Shape normalized_shape, std::optional<double> eps, bool elementwise_affine)
    : normalized_shape(std::move(normalized_shape)),
      eps(eps),
      elementwise_affine(elementwise_affine) {
  register_parameter("weight", elementwise_affine ? clone(ones(this->normalized_shape)) : Tensor());
}

std::string RMSNorm::extra_repr() const {
  return str(py_tuple(normalized_shape), ", eps=", eps ? py_float(*eps) : "None",
             ", elementwise_affine=", py_bool(elementwise_affine));
}

Tensor RMSNorm::forward(const Tensor& x) {
  return rms_norm(x, normalized_shape, optional_parameter("weight"), eps);
}

GroupNorm::GroupNorm(int64_t num_groups, int64_t num_channels, double eps, bool affine, bool bias)
    : num_groups(num_groups), num_channels(num_channels), eps(eps), affine(affine) {
  DS_CHECK(num_groups >= 1 && num_channels % num_groups == 0, ValueError, "GroupNorm: num_groups ",
           num_groups, " must divide num_channels ", num_channels);
  add_affine(*this, {num_channels}, affine, affine && bias);
}

std::string GroupNorm::extra_repr() const {
  return str(num_groups, ", ", num_channels, ", eps=", py_float(eps), ", affine=", py_bool(affine),
             bias_text());
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(x, num_groups, optional_parameter("weight"), optional_parameter("bias"), eps);
}

std::string LocalResponseNorm::extra_repr() const {
  return str(size, ", alpha=", py_float(alpha), ", beta=", py_float(beta), ", k=", py_float(k));
}

Tensor LocalResponseNorm::forward(const Tensor& x) {
  return local_response_norm(x, size, alpha, beta, k);
}

}  // namespace ds::nn
