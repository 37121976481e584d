// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_core.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/ops.h"

namespace ds::nn {
namespace {

const char* py_bool(bool value) { return value ? "True" : "False"; }

}  // namespace

Linear::Linear(int64_t in_features, int64_t out_features, bool bias)
    : in_features_(in_features), out_features_(out_features) {
  DS_CHECK(in_features >= 0 && out_features >= 0, ValueError, "Linear: sizes ", in_features,
           " and ", out_features, " must not be negative");
  register_parameter("weight", empty({out_features, in_features}));
  register_parameter("bias", bias ? empty({out_features}) : Tensor());
  reset_parameters();
}

void Linear::reset_parameters() {
  init::kaiming_uniform_(parameter("weight"), std::sqrt(5.0));
  const Tensor bias = parameter("bias");
  if (!bias.defined()) return;
  const double bound = in_features_ > 0 ? 1.0 / std::sqrt(static_cast<double>(in_features_)) : 0.0;
  init::uniform_(bias, -bound, bound);
}

std::string Linear::extra_repr() const {
  return str("in_features=", in_features_, ", out_features=", out_features_,
             ", bias=", py_bool(parameter("bias").defined()));
}

Tensor Linear::forward(const Tensor& x) {
  return linear(x, parameter("weight"), optional_parameter("bias"));
}

Bilinear::Bilinear(int64_t in1_features, int64_t in2_features, int64_t out_features, bool bias)
    : in1_(in1_features), in2_(in2_features), out_(out_features) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(in1_, 1)));
  init::uniform_(register_parameter("weight", empty({out_, in1_, in2_})), -bound, bound);
  const Tensor b = register_parameter("bias", bias ? empty({out_}) : Tensor());
  if (bias) init::uniform_(b, -bound, bound);
}

std::string Bilinear::extra_repr() const {
  return str("in1_features=", in1_, ", in2_features=", in2_, ", out_features=", out_,
             ", bias=", py_bool(parameter("bias").defined()));
}

Tensor Bilinear::forward(const Tensor& x1, const Tensor& x2) {
  return bilinear(x1, x2, parameter("weight"), optional_parameter("bias"));
}

Embedding::Embedding(int64_t num_embeddings, int64_t embedding_dim,
                     std::optional<int64_t> padding_idx)
    : num_embeddings_(num_embeddings), embedding_dim_(embedding_dim), padding_idx_(padding_idx) {
  if (padding_idx_ && *padding_idx_ < 0) *padding_idx_ += num_embeddings;
  DS_CHECK(!padding_idx_ || (*padding_idx_ >= 0 && *padding_idx_ < num_embeddings), ValueError,
           "Embedding: padding_idx ", *padding_idx, " is out of range for ", num_embeddings,
           " rows");
  const Tensor weight = register_parameter("weight", empty({num_embeddings, embedding_dim}));
  init::normal_(weight);
  if (padding_idx_) {
    const GradMode no_grad(false);
    init::zeros_(select(weight, 0, *padding_idx_));
  }
}

std::string Embedding::extra_repr() const {
  std::string text = str(num_embeddings_, ", ", embedding_dim_);
  if (padding_idx_) text += str(", padding_idx=", *padding_idx_);
  return text;
}

Tensor Embedding::forward(const Tensor& indices) {
  return embedding(indices, parameter("weight"), padding_idx_);
}

Dropout::Dropout(double p, std::string kind) : p_(p), kind_(std::move(kind)) {
  DS_CHECK(p >= 0.0 && p <= 1.0, ValueError, "Dropout: p is ", p, "; it must be between 0 and 1");
}

std::string Dropout::type_name() const {
  return kind_ == "alpha" ? "AlphaDropout" : "Dropout" + kind_;
}
std::string Dropout::extra_repr() const { return str("p=", p_, ", inplace=False"); }

Tensor Dropout::forward(const Tensor& x) {
  if (!is_training() || p_ == 0.0) return x;
  if (kind_ == "alpha") return alpha_dropout(x, p_, true);
  if (kind_ == "1d") return dropout1d(x, p_, true);
  if (kind_ == "2d") return dropout2d(x, p_, true);
  if (kind_ == "3d") return dropout3d(x, p_, true);
  return dropout(x, p_, true);
}

std::string Flatten::extra_repr() const { return str("start_dim=", start_, ", end_dim=", end_); }
Tensor Flatten::forward(const Tensor& x) { return flatten(x, start_, end_); }
std::string Unflatten::extra_repr() const {
  return str("dim=", dim_, ", unflattened_size=", sizes_);
}
Tensor Unflatten::forward(const Tensor& x) { return unflatten(x, dim_, sizes_); }

Sequential::Sequential(const std::vector<ModulePtr>& modules) {
  for (const ModulePtr& module : modules) append(module);
}

Sequential& Sequential::append(ModulePtr module) {
  register_module(std::to_string(named_children().size()), std::move(module));
  return *this;
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& [name, child] : named_children()) y = (*child)(y);
  return y;
}

ModuleList::ModuleList(const std::vector<ModulePtr>& modules) {
  for (const ModulePtr& module : modules) append(module);
}

ModuleList& ModuleList::append(ModulePtr module) {
  register_module(std::to_string(named_children().size()), std::move(module));
  return *this;
}

}  // namespace ds::nn
