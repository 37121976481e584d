// SPDX-License-Identifier: Apache-2.0
#include "ds/train/metrics.h"

#include <limits>
#include <utility>

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::train {
namespace {

Tensor top_classes(const Tensor& output, const Tensor& target) {
  const bool binary = output.dim() == 1 || (output.dim() == 2 && output.size(1) == 1);
  if (binary) return eq(to_dtype(gt(reshape(output, target.shape()), 0), target.dtype()), target);
  DS_CHECK(output.dim() == target.dim() + 1 && output.size(0) == target.size(0), ShapeError,
           "accuracy: logits ", output.type(), " and classes ", target.type(),
           " do not fit; expected [N, C, ...] and [N, ...]");
  return eq(argmax(output, 1), target);
}

}  // namespace

MeanMetric::MeanMetric(std::string name, Function function)
    : name_(std::move(name)), function_(std::move(function)) {
  reset();
}

void MeanMetric::reset() {
  const double zeros[2] = {0, 0};
  sums_ = Tensor::from_host(zeros, {DType::f64, {2}});
}

void MeanMetric::update(const Tensor& output, const Tensor& target) {
  const GradMode no_grad(false);
  const AutocastScope full(std::nullopt);
  Tensor values = to_dtype(function_(output.detach(), target), DType::f64);
  // One number for the batch counts for each sample of it.
  const double weight = values.dim() == 0 && output.dim() > 0 ? double(output.size(0)) : 1.0;
  const double count = weight * static_cast<double>(values.numel());
  const Tensor one = full_like(sum(values), count);
  ds::assign(sums_, sums_ + to_device(stack({mul(sum(values), weight), one}), sums_.device()));
}

double MeanMetric::value() const {
  double sums[2];
  sums_.copy_to_host(sums);
  return sums[1] == 0 ? std::numeric_limits<double>::quiet_NaN() : sums[0] / sums[1];
}

void MeanMetric::set_state(const std::vector<Tensor>& state) {
  DS_CHECK(state.size() == 1 && state[0].type() == sums_.type(), ValueError, "metric ", name_,
           ": the saved state is another metric's");
  sums_ = clone(state[0]);
  sums_.evaluate();
}

MetricPtr accuracy() { return std::make_shared<MeanMetric>("accuracy", top_classes); }

MetricPtr top_k_accuracy(int64_t k) {
  DS_CHECK(k > 0, ValueError, "top_k_accuracy: k ", k, " must be positive");
  return std::make_shared<MeanMetric>(
      str("top", k), [k](const Tensor& output, const Tensor& target) {
        DS_CHECK(output.dim() == 2 && k <= output.size(1), ShapeError, "top", k, ": logits ",
                 output.type(), " must be [N, C] with at least ", k, " classes");
        return any(eq(topk(output, k, 1).second, unsqueeze(target, 1)), 1);
      });
}

MetricPtr mean_absolute_error() {
  return std::make_shared<MeanMetric>(
      "mae", [](const Tensor& output, const Tensor& target) { return abs(output - target); });
}

MetricPtr mean_squared_error() {
  return std::make_shared<MeanMetric>(
      "mse", [](const Tensor& output, const Tensor& target) { return square(output - target); });
}

MetricPtr make_metric(const std::string& name) {
  if (name == "accuracy") return accuracy();
  if (name == "mae") return mean_absolute_error();
  if (name == "mse") return mean_squared_error();
  const bool top = name.size() > 3 && name.size() < 9 && name.compare(0, 3, "top") == 0 &&
                   name.find_first_not_of("0123456789", 3) == std::string::npos;
  DS_CHECK(top, KeyError, "metrics: there is no '", name,
           "'; known are accuracy, top5 (or another number), mae and mse");
  return top_k_accuracy(std::stoll(name.substr(3)));
}

}  // namespace ds::train
