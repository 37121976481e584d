// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_core.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/nn/repr_text.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::nn {
Linear::Linear(int64_t in_features, int64_t out_features, bool bias)
    : in_features(in_features), out_features(out_features) {
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
  const double bound = in_features > 0 ? 1.0 / std::sqrt(static_cast<double>(in_features)) : 0.0;
  init::uniform_(bias, -bound, bound);
}

std::string Linear::extra_repr() const {
  return str("in_features=", in_features, ", out_features=", out_features,
             ", bias=", py_bool(parameter("bias").defined()));
}

Tensor Linear::forward(const Tensor& x) {
  return linear(x, parameter("weight"), optional_parameter("bias"));
}

Bilinear::Bilinear(int64_t in1_features, int64_t in2_features, int64_t out_features, bool bias)
    : in1_features(in1_features), in2_features(in2_features), out_features(out_features) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(in1_features, 1)));
  init::uniform_(register_parameter("weight", empty({out_features, in1_features, in2_features})),
                 -bound, bound);
  const Tensor b = register_parameter("bias", bias ? empty({out_features}) : Tensor());
  if (bias) init::uniform_(b, -bound, bound);
}

std::string Bilinear::extra_repr() const {
  return str("in1_features=", in1_features, ", in2_features=", in2_features,
             ", out_features=", out_features, ", bias=", py_bool(parameter("bias").defined()));
}

Tensor Bilinear::forward(const Tensor& x1, const Tensor& x2) {
  return bilinear(x1, x2, parameter("weight"), optional_parameter("bias"));
}

Embedding::Embedding(int64_t num_embeddings, int64_t embedding_dim,
                     std::optional<int64_t> padding_idx)
    : num_embeddings(num_embeddings), embedding_dim(embedding_dim), padding_idx(padding_idx) {
  if (padding_idx && *padding_idx < 0) *padding_idx += num_embeddings;
  this->padding_idx = padding_idx;
  DS_CHECK(!padding_idx || (*padding_idx >= 0 && *padding_idx < num_embeddings), ValueError,
           "Embedding: padding_idx ", *padding_idx, " is out of range for ", num_embeddings,
           " rows");
  register_parameter("weight", empty({num_embeddings, embedding_dim}));
  reset_parameters();
}

void Embedding::reset_parameters() {
  const Tensor weight = parameter("weight");
  init::normal_(weight);
  if (padding_idx) {
    const GradMode no_grad(false);
    init::zeros_(select(weight, 0, *padding_idx));
  }
}

std::string Embedding::extra_repr() const {
  std::string text = str(num_embeddings, ", ", embedding_dim);
  if (padding_idx) text += str(", padding_idx=", *padding_idx);
  return text;
}

Tensor Embedding::forward(const Tensor& indices) {
  return embedding(indices, parameter("weight"), padding_idx);
}

Dropout::Dropout(double p, std::string kind) : p(p), kind_(std::move(kind)) {
  DS_CHECK(p >= 0.0 && p <= 1.0, ValueError, "Dropout: p is ", p, "; it must be between 0 and 1");
}

std::string Dropout::type_name() const {
  return kind_ == "alpha"           ? "AlphaDropout"
         : kind_ == "feature_alpha" ? "FeatureAlphaDropout"
                                    : "Dropout" + kind_;
}
std::string Dropout::extra_repr() const {
  return str("p=", py_float(p), ", inplace=", py_bool(inplace));
}

Tensor Dropout::forward(const Tensor& x) {
  if (!is_training() || p == 0.0) return x;
  const Tensor y = kind_ == "alpha"           ? alpha_dropout(x, p, true)
                   : kind_ == "feature_alpha" ? feature_alpha_dropout(x, p, true)
                   : kind_ == "1d"            ? dropout1d(x, p, true)
                   : kind_ == "2d"            ? dropout2d(x, p, true)
                   : kind_ == "3d"            ? dropout3d(x, p, true)
                                              : dropout(x, p, true);
  return inplace ? ds::assign(x, y) : y;
}

std::string Flatten::extra_repr() const {
  return str("start_dim=", start_dim, ", end_dim=", end_dim);
}
Tensor Flatten::forward(const Tensor& x) { return flatten(x, start_dim, end_dim); }
std::string Unflatten::extra_repr() const {
  return str("dim=", dim, ", unflattened_size=", py_tuple(unflattened_size));
}
Tensor Unflatten::forward(const Tensor& x) { return unflatten(x, dim, unflattened_size); }

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
