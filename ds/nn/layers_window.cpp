// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_window.h"

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/nn/repr_text.h"
#include "ds/tensor/ops.h"

namespace ds::nn {
namespace {

/// One number when one was given, else a tuple.
std::string given_text(const PerDim& values) {
  return values.given().rank() == 1 ? std::to_string(values.given()[0]) : py_tuple(values.given());
}

}  // namespace

std::string Unfold::extra_repr() const {
  return "kernel_size=" + given_text(kernel_size) + ", dilation=" + given_text(dilation) +
         ", padding=" + given_text(padding) + ", stride=" + given_text(stride);
}
Tensor Unfold::forward(const Tensor& x) {
  return im2col(x, kernel_size, dilation, padding, stride);
}

std::string Fold::extra_repr() const {
  return "output_size=" + given_text(output_size) + ", kernel_size=" + given_text(kernel_size) +
         ", dilation=" + given_text(dilation) + ", padding=" + given_text(padding) +
         ", stride=" + given_text(stride);
}
Tensor Fold::forward(const Tensor& x) {
  return col2im(x, output_size, kernel_size, dilation, padding, stride);
}

template <int D>
std::string LPPool<D>::type_name() const {
  return str("LPPool", D, "d");
}
template <int D>
std::string LPPool<D>::extra_repr() const {
  return str("norm_type=", norm_type, ", kernel_size=", given_text(kernel_size),
             ", stride=", stride.empty() ? "None" : given_text(stride),
             ", ceil_mode=", py_bool(ceil_mode));
}
template <int D>
Tensor LPPool<D>::forward(const Tensor& x) {
  if constexpr (D == 1) return lp_pool1d(x, norm_type, kernel_size, stride, ceil_mode);
  if constexpr (D == 2) return lp_pool2d(x, norm_type, kernel_size, stride, ceil_mode);
  return lp_pool3d(x, norm_type, kernel_size, stride, ceil_mode);
}
template class LPPool<1>;
template class LPPool<2>;
template class LPPool<3>;

template <int D>
MaxUnpool<D>::MaxUnpool(PerDim kernel, PerDim step, PerDim pad)
    : kernel_size(kernel.over(D, "MaxUnpool", "kernel_size", 1)),
      stride(step.empty() ? kernel_size : step.over(D, "MaxUnpool", "stride", 1)),
      padding(pad.over(D, "MaxUnpool", "padding", 0)) {}
template <int D>
std::string MaxUnpool<D>::type_name() const {
  return str("MaxUnpool", D, "d");
}
template <int D>
std::string MaxUnpool<D>::extra_repr() const {
  return "kernel_size=" + py_tuple(kernel_size) + ", stride=" + py_tuple(stride) +
         ", padding=" + py_tuple(padding);
}
template <int D>
Tensor MaxUnpool<D>::forward(const Tensor& x, const Tensor& indices,
                             const std::optional<Shape>& size) {
  if constexpr (D == 1) return max_unpool1d(x, indices, kernel_size, stride, padding, size);
  if constexpr (D == 2) return max_unpool2d(x, indices, kernel_size, stride, padding, size);
  return max_unpool3d(x, indices, kernel_size, stride, padding, size);
}
template class MaxUnpool<1>;
template class MaxUnpool<2>;
template class MaxUnpool<3>;

Tensor CosineSimilarity::forward(const Tensor& x1, const Tensor& x2) {
  return cosine_similarity(x1, x2, dim, eps);
}
Tensor PairwiseDistance::forward(const Tensor& x1, const Tensor& x2) {
  return pairwise_distance(x1, x2, norm, eps, keepdim);
}

EmbeddingBag::EmbeddingBag(int64_t num_embeddings, int64_t embedding_dim, std::string given_mode,
                           bool include_last_offset, std::optional<int64_t> padding)
    : num_embeddings(num_embeddings),
      embedding_dim(embedding_dim),
      mode(std::move(given_mode)),
      include_last_offset(include_last_offset),
      padding_idx(padding) {
  if (padding && *padding < 0) *padding_idx += num_embeddings;
  DS_CHECK(!padding_idx || (*padding_idx >= 0 && *padding_idx < num_embeddings), ValueError,
           "EmbeddingBag: padding_idx ", *padding, " is out of range for ", num_embeddings,
           " rows");
  const Tensor weight = register_parameter("weight", empty({num_embeddings, embedding_dim}));
  init::normal_(weight);
  if (padding_idx) {
    const GradMode no_grad(false);
    init::zeros_(select(weight, 0, *padding_idx));
  }
}
std::string EmbeddingBag::extra_repr() const {
  std::string text = str(num_embeddings, ", ", embedding_dim);
  if (padding_idx) text += str(", padding_idx=", *padding_idx);
  return text + ", mode='" + mode + "'";
}
Tensor EmbeddingBag::forward(const Tensor& indices, const std::optional<Tensor>& offsets,
                             const std::optional<Tensor>& per_sample_weights) {
  return embedding_bag(indices, parameter("weight"), offsets, mode, per_sample_weights,
                       include_last_offset, padding_idx);
}

}  // namespace ds::nn
