// SPDX-License-Identifier: Apache-2.0
// HostArray: elements in plain memory. Worker threads load and transform these; a loader makes
// tensors of whole batches only, so that no worker touches the graph.
#pragma once

#include <memory>
#include <vector>

#include "ds/ir/node.h"
#include "ds/tensor/tensor.h"

namespace ds::data {

class HostArray {
 public:
  HostArray() = default;
  /// Uninitialised elements.
  explicit HostArray(Type type);
  /// A tensor's elements; computes it.
  explicit HostArray(const Tensor& tensor);

  const Type& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  DType dtype() const { return type_.dtype; }
  size_t bytes() const;
  char* data() { return memory_.get(); }
  const char* data() const { return memory_.get(); }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(memory_.get());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(memory_.get());
  }
  /// A tensor over the same memory.
  Tensor tensor() const;
  /// Row i along the first dimension, copied.
  HostArray row(int64_t i) const;

 private:
  Type type_{DType::f32, {}};
  std::shared_ptr<char[]> memory_;
};

/// What a data set gives for one index: an image and its label, for example.
using Sample = std::vector<HostArray>;

/// Samples of equal types stacked along a new first dimension. ShapeError naming both types when
/// they differ.
std::vector<HostArray> collate(const std::vector<Sample>& samples);

}  // namespace ds::data
