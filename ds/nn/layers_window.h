// SPDX-License-Identifier: Apache-2.0
// Layers of windows and distances beside the convolutions; arguments as torch.nn.
#pragma once

#include <optional>

#include "ds/nn/layers_conv.h"

namespace ds::nn {

/// Windows of images as columns: [N, C, H, W] -> [N, C kh kw, L].
class Unfold : public Module {
 public:
  explicit Unfold(PerDim kernel_size, PerDim dilation = 1, PerDim padding = 0, PerDim stride = 1)
      : kernel_size(kernel_size), dilation(dilation), padding(padding), stride(stride) {}
  std::string type_name() const override { return "Unfold"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  PerDim kernel_size, dilation, padding, stride;
};

/// Columns summed back into images of output_size.
class Fold : public Module {
 public:
  Fold(PerDim output_size, PerDim kernel_size, PerDim dilation = 1, PerDim padding = 0,
       PerDim stride = 1)
      : output_size(output_size),
        kernel_size(kernel_size),
        dilation(dilation),
        padding(padding),
        stride(stride) {}
  std::string type_name() const override { return "Fold"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  PerDim output_size, kernel_size, dilation, padding, stride;
};

/// (sum x^p)^(1/p) of windows.
template <int D>
class LPPool : public Module {
 public:
  LPPool(double norm_type, PerDim kernel_size, PerDim stride = {}, bool ceil_mode = false)
      : norm_type(norm_type), kernel_size(kernel_size), stride(stride), ceil_mode(ceil_mode) {}
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  double norm_type;
  PerDim kernel_size, stride;
  bool ceil_mode;
};

/// Puts the values of max pooling back at their indices.
template <int D>
class MaxUnpool : public Module {
 public:
  explicit MaxUnpool(PerDim kernel_size, PerDim stride = {}, PerDim padding = 0);
  std::string type_name() const override;
  std::string extra_repr() const override;
  using Module::forward;
  Tensor forward(const Tensor& x, const Tensor& indices,
                 const std::optional<Shape>& output_size = {});

  Shape kernel_size, stride, padding;
};

class CosineSimilarity : public Module {
 public:
  explicit CosineSimilarity(int64_t dim = 1, double eps = 1e-8) : dim(dim), eps(eps) {}
  std::string type_name() const override { return "CosineSimilarity"; }
  using Module::forward;
  Tensor forward(const Tensor& x1, const Tensor& x2);

  int64_t dim;
  double eps;
};

class PairwiseDistance : public Module {
 public:
  explicit PairwiseDistance(double p = 2.0, double eps = 1e-6, bool keepdim = false)
      : norm(p), eps(eps), keepdim(keepdim) {}
  std::string type_name() const override { return "PairwiseDistance"; }
  using Module::forward;
  Tensor forward(const Tensor& x1, const Tensor& x2);

  double norm, eps;
  bool keepdim;
};

/// Sum, mean or max of rows of a table, a bag of indices at a time.
class EmbeddingBag : public Module {
 public:
  EmbeddingBag(int64_t num_embeddings, int64_t embedding_dim, std::string mode = "mean",
               bool include_last_offset = false, std::optional<int64_t> padding_idx = {});
  std::string type_name() const override { return "EmbeddingBag"; }
  std::string extra_repr() const override;
  using Module::forward;
  Tensor forward(const Tensor& indices, const std::optional<Tensor>& offsets,
                 const std::optional<Tensor>& per_sample_weights = {});

  int64_t num_embeddings, embedding_dim;
  std::string mode;
  bool include_last_offset;
  std::optional<int64_t> padding_idx;
};

}  // namespace ds::nn
