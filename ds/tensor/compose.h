// SPDX-License-Identifier: Apache-2.0
// Building blocks that the tensor functions share; not part of the public interface.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "ds/tensor/record.h"

namespace ds {

/// 0, 1, ..., rank - 1.
Shape all_dims(int rank);
/// New values, not views; x itself when nothing changes.
Tensor reshaped(const Tensor& x, const Shape& shape);
Tensor permuted(const Tensor& x, const Shape& dims);
Tensor expanded(const Tensor& x, const Shape& shape);
/// [1] for a 0-d tensor, else x: what functions along a dimension work on.
Tensor at_least_1d(const Tensor& x);
/// slices [start, start + length) along dim as a new value.
Tensor sliced(const Tensor& x, int dim, int64_t start, int64_t length, int64_t step = 1);
/// Dimension dim moved to the end.
Tensor moved_last(const Tensor& x, int dim);
/// The last dimension moved to dim: undoes moved_last.
Tensor moved_back(const Tensor& x, int dim);
/// A constant of one shape.
Tensor constant(const Shape& shape, double value, DType dtype, Device device);
/// 0, 1, ..., size - 1.
Tensor iota(int64_t size, DType dtype, Device device);
/// An i64 tensor of host numbers, 1-d.
Tensor index_tensor(const std::vector<int64_t>& values, Device device);
/// f32 for the 16-bit types, else x: what sums and losses are computed in.
Tensor widened(const Tensor& x);
/// x in f32 when autocast is on and it is 16-bit: for functions that autocast keeps in f32.
Tensor autocast_f32(const Tensor& x);
/// Two tensors in their common dtype.
std::pair<Tensor, Tensor> promoted(const Tensor& a, const Tensor& b);
/// sqrt whose gradient is 0 at 0, as PyTorch's norms have it.
Tensor sqrt_at_zero(const Tensor& x);
/// An index tensor as i64; DTypeError naming `op` unless it holds integers.
Tensor as_index(const Tensor& index, const char* op);
/// i64 indices with negative ones counted from the end of a dimension of `size`.
Tensor wrapped_index(const Tensor& index, int64_t size);
/// The tensor when it is given and defined.
inline bool present(const std::optional<Tensor>& x) { return x && x->defined(); }
/// ds::cat, but nothing is checked or promoted: all of one dtype, one tensor stands for itself.
Tensor joined(const std::vector<Tensor>& tensors, int dim);

}  // namespace ds
