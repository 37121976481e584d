// SPDX-License-Identifier: Apache-2.0
// View: how a value of the program being compiled lies in one of its memory slots.
#pragma once

#include <optional>
#include <vector>

#include "ds/backends/cpu/dnnl/memory.h"

namespace ds::cpu {

/// Elements of a slot by strides. Movement ops change only this.
struct View {
  int slot = -1;
  DType dtype = DType::f32;
  Shape dims;
  Shape strides;       // elements; 0 repeats
  int64_t offset = 0;  // elements from the slot's start

  TensorDesc desc() const { return {dtype, dims, strides}; }
  int64_t numel() const { return dims.numel(); }
  size_t bytes() const { return static_cast<size_t>(numel()) * dtype_size(dtype); }
  /// What is in memory: an element that repeats is there once.
  size_t stored_bytes() const {
    size_t bytes = dtype_size(dtype);
    for (int i = 0; i < dims.rank(); ++i)
      if (dims[i] == 0 || strides[i] != 0) bytes *= static_cast<size_t>(dims[i]);
    return bytes;
  }
  bool row_major() const { return numel() == 0 || is_row_major(desc()); }
};

/// The view with other dims over the same elements in row-major order; nothing when strides cannot
/// say it and a copy is needed.
std::optional<View> reshape_view(const View& view, const Shape& dims);
View permute_view(const View& view, const Shape& order);
/// NumPy broadcasting: missing leading dimensions and dimensions of size 1 get stride 0.
View expand_view(const View& view, const Shape& dims);
View slice_view(const View& view, const Shape& starts, const Shape& sizes, const Shape& steps);

/// True when the view's elements are distinct and fill one block: row-major in some order of the
/// dimensions.
bool is_dense(const View& view);
/// All matrices of a batch, the last two dimensions, are one.
bool repeats_matrix(const View& view);
/// Dense strides for `dims` whose dimensions nest as those of `like` (same rank).
Shape strides_like(const Shape& dims, const Shape& like);

/// Dimensions by falling stride, outermost first; the order among equals is kept.
std::vector<int> nesting(const Shape& dims, const Shape& strides);

/// A dense view seen as [outer, n, inner] around one dimension, in memory order.
struct Split {
  int64_t outer, n, inner;
};
Split split_around(const View& view, int dim);

/// Every value of the dtype is an f32.
bool exact_in_f32(DType dtype);

/// An iteration space shared by several operands: dimensions sorted by the first operand's strides,
/// outermost first, size 1 dropped, neighbours that step as one for all operands merged.
struct LoopNest {
  Shape dims;                  // at least one dimension
  std::vector<Shape> strides;  // one per operand, elements
};
LoopNest make_nest(const Shape& dims, const std::vector<Shape>& strides);

}  // namespace ds::cpu
