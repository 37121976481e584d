// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/view.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "ds/base/error.h"

namespace ds::cpu {

std::vector<int> nesting(const Shape& dims, const Shape& strides) {
  std::vector<int> order(dims.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return std::abs(strides[a]) > std::abs(strides[b]); });
  return order;
}

Split split_around(const View& view, int dim) {
  const int64_t n = view.dims[dim];
  if (n == 1) return {view.numel(), 1, 1};
  const int64_t inner = view.strides[dim];
  return {view.numel() / std::max<int64_t>(n * inner, 1), n, inner};
}

bool exact_in_f32(DType dtype) {
  return dtype == DType::f32 || is_half(dtype) || dtype == DType::bool_ || dtype == DType::i8 ||
         dtype == DType::u8 || dtype == DType::i16;
}

std::optional<View> reshape_view(const View& view, const Shape& dims) {
  View out = view;
  out.dims = dims;
  out.strides = contiguous_strides(dims);
  if (view.numel() == 0 || view.numel() == 1) return out;
  // Runs of source dimensions that step as one are matched with runs of target dimensions.
  Shape src_dims, src_strides;
  for (int i = 0; i < view.dims.rank(); ++i) {
    if (view.dims[i] == 1) continue;
    if (!src_dims.empty() && src_strides.back() == view.strides[i] * view.dims[i]) {
      src_dims.back() *= view.dims[i];
      src_strides.back() = view.strides[i];
    } else {
      src_dims.push_back(view.dims[i]);
      src_strides.push_back(view.strides[i]);
    }
  }
  int target = dims.rank() - 1;
  for (int run = src_dims.rank() - 1; run >= 0; --run) {
    int64_t left = src_dims[run], stride = src_strides[run];
    for (; target >= 0 && left > 1; --target) {
      if (left % dims[target] != 0) return std::nullopt;
      out.strides[target] = stride;
      stride *= dims[target];
      left /= dims[target];
    }
  }
  return out;
}

View permute_view(const View& view, const Shape& order) {
  View out = view;
  for (int i = 0; i < order.rank(); ++i) {
    out.dims[i] = view.dims[static_cast<int>(order[i])];
    out.strides[i] = view.strides[static_cast<int>(order[i])];
  }
  return out;
}

View expand_view(const View& view, const Shape& dims) {
  View out = view;
  out.dims = dims;
  out.strides = Shape::filled(dims.rank(), 0);
  const int shift = dims.rank() - view.dims.rank();
  for (int i = 0; i < view.dims.rank(); ++i)
    if (view.dims[i] == dims[i + shift]) out.strides[i + shift] = view.strides[i];
  return out;
}

View slice_view(const View& view, const Shape& starts, const Shape& sizes, const Shape& steps) {
  View out = view;
  out.dims = sizes;
  for (int i = 0; i < sizes.rank(); ++i) {
    out.offset += starts[i] * view.strides[i];
    out.strides[i] = view.strides[i] * steps[i];
  }
  if (out.numel() == 0) out.offset = view.offset;
  return out;
}

bool is_dense(const View& view) {
  if (view.numel() <= 1) return true;
  const std::vector<int> order = nesting(view.dims, view.strides);
  int64_t expected = 1;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    if (view.dims[*it] == 1) continue;
    if (view.strides[*it] != expected) return false;
    expected *= view.dims[*it];
  }
  return true;
}

bool repeats_matrix(const View& view) {
  for (int i = 0; i + 2 < view.dims.rank(); ++i)
    if (view.strides[i] != 0 && view.dims[i] != 1) return false;
  return true;
}

Shape strides_like(const Shape& dims, const Shape& like) {
  Shape strides = Shape::filled(dims.rank(), 0);
  const std::vector<int> order = nesting(dims, like);
  int64_t stride = 1;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    strides[*it] = stride;
    stride *= std::max<int64_t>(dims[*it], 1);
  }
  return strides;
}

LoopNest make_nest(const Shape& dims, const std::vector<Shape>& strides) {
  LoopNest nest;
  nest.strides.resize(strides.size());
  for (const int d : nesting(dims, strides[0])) {
    if (dims[d] == 1) continue;
    bool joins = !nest.dims.empty();
    for (size_t k = 0; k < strides.size() && joins; ++k)
      joins = nest.strides[k].back() == strides[k][d] * dims[d];
    for (size_t k = 0; k < strides.size(); ++k) {
      if (joins)
        nest.strides[k].back() = strides[k][d];
      else
        nest.strides[k].push_back(strides[k][d]);
    }
    if (joins)
      nest.dims.back() *= dims[d];
    else
      nest.dims.push_back(dims[d]);
  }
  if (nest.dims.empty()) {
    nest.dims.push_back(1);
    for (Shape& s : nest.strides) s.push_back(0);
  }
  return nest;
}

}  // namespace ds::cpu
