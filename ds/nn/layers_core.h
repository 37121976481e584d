// SPDX-License-Identifier: Apache-2.0
// Linear, Embedding, dropout, identity and reshaping layers; arguments and defaults as torch.nn. In
// all layers the public fields are the arguments; a change acts from the next call on.
#pragma once

#include <optional>

#include "ds/nn/module.h"

namespace ds::nn {

class Identity : public Module {
 public:
  std::string type_name() const override { return "Identity"; }
  Tensor forward(const Tensor& x) override { return x; }
};

/// y = x W^T + b: x [..., in_features] -> [..., out_features].
class Linear : public Module {
 public:
  Linear(int64_t in_features, int64_t out_features, bool bias = true);
  std::string type_name() const override { return "Linear"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;
  void reset_parameters();

  int64_t in_features, out_features;
};

/// y = x1^T A x2 + b: [..., in1], [..., in2] -> [..., out].
class Bilinear : public Module {
 public:
  Bilinear(int64_t in1_features, int64_t in2_features, int64_t out_features, bool bias = true);
  std::string type_name() const override { return "Bilinear"; }
  std::string extra_repr() const override;
  using Module::forward;
  Tensor forward(const Tensor& x1, const Tensor& x2);

  int64_t in1_features, in2_features, out_features;
};

/// Rows of a table picked by i64 indices of any shape: [...] -> [..., embedding_dim].
class Embedding : public Module {
 public:
  Embedding(int64_t num_embeddings, int64_t embedding_dim, std::optional<int64_t> padding_idx = {});
  std::string type_name() const override { return "Embedding"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& indices) override;
  /// Draws the table anew; the padding row is zero.
  void reset_parameters();

  int64_t num_embeddings, embedding_dim;
  std::optional<int64_t> padding_idx;
};

/// Zeroes elements with probability p while training. kind: "", "1d", "2d", "3d" (whole channels)
/// or "alpha" (keeps mean and variance of SELU's outputs).
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5, std::string kind = "");
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  double p;
  bool inplace = false;

 private:
  std::string kind_;
};

class Dropout1d : public Dropout {
 public:
  explicit Dropout1d(double p = 0.5) : Dropout(p, "1d") {}
};
class Dropout2d : public Dropout {
 public:
  explicit Dropout2d(double p = 0.5) : Dropout(p, "2d") {}
};
class Dropout3d : public Dropout {
 public:
  explicit Dropout3d(double p = 0.5) : Dropout(p, "3d") {}
};
class AlphaDropout : public Dropout {
 public:
  explicit AlphaDropout(double p = 0.5) : Dropout(p, "alpha") {}
};
class FeatureAlphaDropout : public Dropout {
 public:
  explicit FeatureAlphaDropout(double p = 0.5) : Dropout(p, "feature_alpha") {}
};

class Flatten : public Module {
 public:
  explicit Flatten(int64_t start_dim = 1, int64_t end_dim = -1)
      : start_dim(start_dim), end_dim(end_dim) {}
  std::string type_name() const override { return "Flatten"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t start_dim, end_dim;
};

class Unflatten : public Module {
 public:
  Unflatten(int64_t dim, Shape sizes) : dim(dim), unflattened_size(std::move(sizes)) {}
  std::string type_name() const override { return "Unflatten"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t dim;
  Shape unflattened_size;
};

/// Children in a row, each fed the output of the one before.
class Sequential : public Module {
 public:
  Sequential() = default;
  explicit Sequential(const std::vector<ModulePtr>& modules);
  std::string type_name() const override { return "Sequential"; }
  Tensor forward(const Tensor& x) override;
  /// Adds a child named by its position.
  Sequential& append(ModulePtr module);
};

/// Children by position, without a forward of its own.
class ModuleList : public Module {
 public:
  ModuleList() = default;
  explicit ModuleList(const std::vector<ModulePtr>& modules);
  std::string type_name() const override { return "ModuleList"; }
  ModuleList& append(ModulePtr module);
};

/// Children by name, without a forward of its own.
class ModuleDict : public Module {
 public:
  std::string type_name() const override { return "ModuleDict"; }
};

}  // namespace ds::nn
