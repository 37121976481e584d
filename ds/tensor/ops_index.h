// SPDX-License-Identifier: Apache-2.0
// Indexing as in Python, gathering and scattering, sorting and searching. Index tensors may have
// any integer dtype; an index out of range raises IndexError when computed.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ds/tensor/arguments.h"
#include "ds/tensor/record.h"

namespace ds {

/// start:end:step, each part optional; step is positive.
struct Slice {
  std::optional<int64_t> start = std::nullopt;
  std::optional<int64_t> end = std::nullopt;
  int64_t step = 1;
};
/// `...`: as many full slices as are missing.
struct Ellipsis {};
/// `None`: a new dimension of size 1.
struct NewAxis {};

/// One entry of x[a, b, ...]: an integer, a slice, `...`, None, or a tensor: integers pick along a
/// dimension, bool (and u8) marks elements over as many dimensions as it has.
class Index {
 public:
  enum class Kind { integer, slice, ellipsis, new_axis, tensor };
  Index(int64_t integer) : kind_(Kind::integer), integer_(integer) {}
  Index(int integer) : Index(int64_t{integer}) {}
  Index(Slice slice) : kind_(Kind::slice), slice_(slice) {}
  Index(Ellipsis) : kind_(Kind::ellipsis) {}
  Index(NewAxis) : kind_(Kind::new_axis) {}
  Index(const Tensor& tensor) : kind_(Kind::tensor), tensor_(tensor) {}

  Kind kind() const { return kind_; }
  int64_t integer() const { return integer_; }
  const Slice& slice() const { return slice_; }
  const Tensor& tensor() const { return tensor_; }

 private:
  Kind kind_;
  int64_t integer_ = 0;
  Slice slice_;
  Tensor tensor_;
};

/// x[indices]: a view when no index is a tensor, else a new tensor. A bool mask computes its count.
Tensor index(const Tensor& input, const std::vector<Index>& indices);
/// x[indices] = value (broadcast), or += with accumulate; seen through every view of x.
void index_put(const Tensor& input, const std::vector<Index>& indices, const Operand& value,
               bool accumulate = false);

// --- gather and scatter --------------------------------------------------------------------------
/// out[i][j] = input[index[i][j]][j] for dim 0; index has input's rank and decides the shape.
Tensor gather(const Tensor& input, int64_t dim, const Tensor& index);
/// input with src written at index along dim; the last of several writers wins.
Tensor scatter(const Tensor& input, int64_t dim, const Tensor& index, const Operand& src);
/// input with src added at index along dim.
Tensor scatter_add(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src);
/// input with src combined at index along dim: reduce is sum, prod, mean, amax or amin; without
/// include_self the old values of the places written do not count.
Tensor scatter_reduce(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self = true);
/// Slices along dim picked by a 1-d (or 0-d) index.
Tensor index_select(const Tensor& input, int64_t dim, const Tensor& index);
/// input with alpha times the slices of source added at index along dim.
Tensor index_add(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source,
                 const Operand& alpha = 1);
/// input with the slices at index along dim replaced by those of source.
Tensor index_copy(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source);
/// input with the slices at index along dim filled by value.
Tensor index_fill(const Tensor& input, int64_t dim, const Tensor& index, const Operand& value);
/// input with the slices of source combined at index along dim: reduce is prod, mean, amax or amin;
/// without include_self the old values of the slices written do not count.
Tensor index_reduce(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source,
                    const std::string& reduce, bool include_self = true);
/// The flattened input with source written, or added with accumulate, at index, in input's shape.
Tensor put(const Tensor& input, const Tensor& index, const Tensor& source, bool accumulate = false);
/// Coordinates (i64) in a tensor of `shape` of flat indices, one tensor a dimension.
std::vector<Tensor> unravel_index(const Tensor& indices, const Shape& shape);
/// Elements of the flattened input at index; index decides the shape.
Tensor take(const Tensor& input, const Tensor& index);
/// gather with broadcasting, or take without a dim.
Tensor take_along_dim(const Tensor& input, const Tensor& indices,
                      std::optional<int64_t> dim = std::nullopt);
/// value where mask (bool) is true.
Tensor masked_fill(const Tensor& input, const Tensor& mask, const Operand& value);
/// The elements where mask (bool) is true, 1-d; computes their count.
Tensor masked_select(const Tensor& input, const Tensor& mask);
/// input with the elements where mask is true replaced by those of source in order.
Tensor masked_scatter(const Tensor& input, const Tensor& mask, const Tensor& source);
/// Coordinates [count, rank] (i64) of nonzero elements; computes their count.
Tensor nonzero(const Tensor& input);
/// nonzero.
Tensor argwhere(const Tensor& input);
/// Coordinates of nonzero elements, one 1-d tensor a dimension; computes their count.
std::vector<Tensor> where(const Tensor& condition);
/// Rows of weight [num, dim] at input (any shape) -> [..., dim]; no gradient for padding_idx.
Tensor embedding(const Tensor& input, const Tensor& weight,
                 std::optional<int64_t> padding_idx = std::nullopt,
                 bool scale_grad_by_freq = false);
/// Sum, mean or max of rows of weight: of each row of a 2-d input, or of the bags of a 1-d input
/// that start at offsets.
Tensor embedding_bag(const Tensor& input, const Tensor& weight,
                     const std::optional<Tensor>& offsets = std::nullopt,
                     const std::string& mode = "mean",
                     const std::optional<Tensor>& per_sample_weights = std::nullopt,
                     bool include_last_offset = false,
                     std::optional<int64_t> padding_idx = std::nullopt);

// --- order ---------------------------------------------------------------------------------------
/// Sorted values along dim and their indices (i64); always stable; NaN counts as largest.
std::pair<Tensor, Tensor> sort(const Tensor& input, int64_t dim = -1, bool descending = false,
                               bool stable = true);
/// Indices (i64) that sort along dim.
Tensor argsort(const Tensor& input, int64_t dim = -1, bool descending = false, bool stable = true);
/// sort along dimension 0, values only.
Tensor msort(const Tensor& input);
/// The k largest (or smallest) along dim in order, and their indices (i64).
std::pair<Tensor, Tensor> topk(const Tensor& input, int64_t k, int64_t dim = -1,
                               bool largest = true, bool sorted = true);
/// The k-th smallest (from 1) along dim and its index (i64).
std::pair<Tensor, Tensor> kthvalue(const Tensor& input, int64_t k, int64_t dim = -1,
                                   bool keepdim = false);
/// Positions (i64) where values would be inserted in the sorted last dimension of sorted_sequence,
/// which is 1-d or has values' leading dimensions.
Tensor searchsorted(const Tensor& sorted_sequence, const Operand& values, bool right = false);
/// Index (i64) of the bucket of each element, for sorted 1-d boundaries.
Tensor bucketize(const Operand& input, const Tensor& boundaries, bool right = false);

}  // namespace ds
