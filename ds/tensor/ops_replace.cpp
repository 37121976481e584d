// SPDX-License-Identifier: Apache-2.0
// Copies with a part replaced, and choices of elements, of ops_shape.h.
#include <algorithm>
#include <numeric>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// Writes src through the view, whose shape and dtype it must have.
void replace(const Tensor& view, const Tensor& src, const char* op) {
  DS_CHECK(view.shape() == src.shape(), ShapeError, op, ": src is ", src.type(), ", its place is ",
           view.type());
  assign(view, src);
}

}  // namespace

Tensor diagonal_scatter(const Tensor& input, const Tensor& src, int64_t offset, int64_t dim1,
                        int64_t dim2) {
  const Tensor copy = clone(input);
  replace(diagonal(copy, offset, dim1, dim2), src, "diagonal_scatter");
  return copy;
}

Tensor as_strided_scatter(const Tensor& input, const Tensor& src, const Shape& size,
                          const Shape& stride, int64_t storage_offset) {
  const Tensor copy = clone(input);
  replace(as_strided(copy, size, stride, storage_offset), src, "as_strided_scatter");
  return copy;
}

Tensor fill_diagonal(const Tensor& input, const Operand& value, bool wrap) {
  const Shape& shape = input.shape();
  DS_CHECK(input.dim() >= 2, ShapeError, "fill_diagonal_: ", input.type(), " must be at least 2-d");
  for (int64_t size : shape)
    DS_CHECK(input.dim() == 2 || size == shape[0], ShapeError, "fill_diagonal_: the sizes of ",
             input.type(), " must be equal");
  const Tensor number = as_tensor(value, input.dtype(), input.device());
  DS_CHECK(number.dim() == 0, ShapeError, "fill_diagonal_: value ", number.type(),
           " must be a number or 0-d");
  const Shape strides = contiguous_strides(shape);
  const int64_t step = std::accumulate(strides.begin(), strides.end(), int64_t{0});
  const bool again = wrap && input.dim() == 2 && shape[0] > shape[1];
  const int64_t count =
      again ? (input.numel() + step - 1) / step : *std::min_element(shape.begin(), shape.end());
  if (count > 0) assign(as_strided(input, {count}, {step}), number);
  return input;
}

Tensor sum_to_size(const Tensor& input, const Shape& size) {
  DS_CHECK(size.rank() <= input.dim() &&
               broadcast_shapes(size, input.shape(), "sum_to_size") == input.shape(),
           ShapeError, "sum_to_size: ", size, " does not broadcast to ", input.type());
  const int lead = input.dim() - size.rank();
  Shape dims;
  for (int i = 0; i < input.dim(); ++i)
    if (i < lead || (size[i - lead] == 1 && input.shape()[i] != 1)) dims.push_back(i);
  if (dims.empty()) return reshaped(input, size);
  return reshaped(sum(input, dims, false, input.dtype()), size);
}

Tensor combinations(const Tensor& input, int64_t r, bool with_replacement) {
  DS_CHECK(input.dim() == 1, ShapeError, "combinations: input ", input.type(), " must be 1-d");
  DS_CHECK(r >= 0, ValueError, "combinations: r ", r, " is negative");
  if (r == 0) return constant({0}, 0, input.dtype(), input.device());
  const int64_t n = input.numel();
  std::vector<int64_t> places, chosen(static_cast<size_t>(r), 0);
  if (!with_replacement) std::iota(chosen.begin(), chosen.end(), int64_t{0});
  bool more = with_replacement ? n > 0 : r <= n;
  while (more) {
    places.insert(places.end(), chosen.begin(), chosen.end());
    // The last place that can still move on; those after it follow.
    int64_t i = r - 1;
    const auto last = [&](int64_t at) { return with_replacement ? n - 1 : n - r + at; };
    while (i >= 0 && chosen[static_cast<size_t>(i)] == last(i)) --i;
    more = i >= 0;
    if (!more) break;
    int64_t next = ++chosen[static_cast<size_t>(i)];
    for (int64_t j = i + 1; j < r; ++j)
      chosen[static_cast<size_t>(j)] = with_replacement ? next : ++next;
  }
  const Tensor index = index_tensor(places, input.device());
  const auto rows = static_cast<int64_t>(places.size()) / r;
  return reshaped(record(Op::index_select_, {input, index}, {0}), {rows, r});
}

}  // namespace ds
