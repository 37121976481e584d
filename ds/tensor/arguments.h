// SPDX-License-Identifier: Apache-2.0
// Argument types of the tensor functions: what PyTorch spells "int, tuple or None".
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "ds/ir/shape.h"

namespace ds {

/// Dimensions to reduce: none given means all. `sum(x)`, `sum(x, 1)`, `sum(x, {0, -1})`.
class Dims {
 public:
  Dims() = default;
  Dims(int64_t dim) : dims_{dim} {}
  Dims(int dim) : Dims(int64_t{dim}) {}
  Dims(std::initializer_list<int64_t> dims) : dims_(dims) {}
  Dims(const Shape& dims) : dims_(dims) {}
  Dims(const std::vector<int64_t>& dims) : dims_(dims) {}

  bool all() const { return dims_.empty(); }
  const Shape& given() const { return dims_; }
  /// Sorted, non-negative dimensions of a tensor of this rank. IndexError naming `op` when one is
  /// out of range, ValueError when one appears twice.
  Shape over(int rank, const char* op) const;

 private:
  Shape dims_;
};

/// One number for every dimension of a window, or one per dimension: stride 2 or {2, 1}.
class PerDim {
 public:
  PerDim() = default;
  PerDim(int64_t value) : values_{value} {}
  PerDim(int value) : PerDim(int64_t{value}) {}
  PerDim(std::initializer_list<int64_t> values) : values_(values) {}
  PerDim(const Shape& values) : values_(values) {}
  PerDim(const std::vector<int64_t>& values) : values_(values) {}

  /// Nothing was given.
  bool empty() const { return values_.empty(); }
  /// `count` numbers; ValueError naming `op` and `what` when their number differs from 1 and count
  /// or one is below `least`.
  Shape over(int count, const char* op, const char* what, int64_t least) const;
  const Shape& given() const { return values_; }

 private:
  Shape values_;
};

/// Padding of a convolution: numbers, or "same" or "valid".
class ConvPadding : public PerDim {
 public:
  using PerDim::PerDim;
  ConvPadding(const char* mode) : mode_(mode) {}
  ConvPadding(const std::string& mode) : mode_(mode) {}
  /// "same", "valid" or empty when numbers were given.
  const std::string& mode() const { return mode_; }

 private:
  std::string mode_;
};

}  // namespace ds
