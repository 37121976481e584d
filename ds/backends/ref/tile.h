// SPDX-License-Identifier: Apache-2.0
// Reading and writing runs of elements of any dtype as double or int64_t, and walks over strided
// views: what all kernels share, so that each is written once and not once per dtype.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "ds/backends/ref/number.h"
#include "ds/ir/shape.h"

namespace ds::ref {

/// Elements a kernel handles at a time: a few tiles of doubles stay in the first-level cache.
inline constexpr int64_t kTile = 512;
/// Work per thread below which splitting costs more than it gains, in simple operations.
inline constexpr int64_t kGrain = 1 << 14;
/// Pieces of a parallel loop whose items do `work` simple operations each.
inline int64_t grain_for(int64_t work) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work));
}

/// dst[i] = src[offset + i * stride] for i < n; offset and stride count elements.
template <class W>
using Load = void (*)(const void* src, int64_t offset, int64_t stride, int64_t n, W* dst);
/// dst[offset + i * stride] = src[i] for i < n.
template <class W>
using Store = void (*)(void* dst, int64_t offset, int64_t stride, int64_t n, const W* src);

/// The functions of a dtype; W is double or int64_t.
template <class W>
Load<W> loader(DType dtype);
template <class W>
Store<W> storer(DType dtype);

/// All `n` elements of a buffer.
template <class W>
std::vector<W> load_all(const void* src, DType dtype, int64_t n);
template <class W>
void store_all(const std::vector<W>& src, DType dtype, void* dst);

/// Calls f(W{}) with the wide type in which values of `dtype` are computed.
template <class F>
decltype(auto) dispatch_wide(DType dtype, F&& f) {
  if (is_floating(dtype)) return f(double{});
  return f(int64_t{});
}

/// Strides (elements) that read a contiguous tensor of shape `from` as if broadcast to `to`.
Shape broadcast_strides(const Shape& from, const Shape& to);

/// Iterates over a shape in row-major order through up to kMaxViews strided views at once, in runs
/// of the innermost dimension. Dimensions that all views walk as one are merged first.
class Walk {
 public:
  static constexpr int kMaxViews = 3;
  /// One stride list of the shape's rank per view.
  Walk(const Shape& shape, std::initializer_list<Shape> strides);

  /// Calls f(offsets, steps, n, done) for runs that cover the elements [begin, end): view v's
  /// elements are offsets[v] + i * steps[v], i < n, and `done` elements came before the run.
  template <class F>
  void run(int64_t begin, int64_t end, F&& f) const {
    if (begin >= end) return;
    std::array<int64_t, kMaxRank> index{};
    std::array<int64_t, kMaxViews> offsets{};
    int64_t rest = begin;
    for (int d = rank_ - 1; d >= 0; --d) {
      index[d] = rest % sizes_[d];
      rest /= sizes_[d];
      for (int v = 0; v < views_; ++v) offsets[v] += index[d] * strides_[v][d];
    }
    const int last = rank_ - 1;
    for (int64_t at = begin; at < end;) {
      const int64_t n = std::min(end - at, sizes_[last] - index[last]);
      f(offsets, steps_, n, at - begin);
      at += n;
      index[last] += n;
      for (int v = 0; v < views_; ++v) offsets[v] += n * steps_[v];
      for (int d = last; d > 0 && index[d] == sizes_[d]; --d) {
        index[d] = 0;
        ++index[d - 1];
        for (int v = 0; v < views_; ++v)
          offsets[v] += strides_[v][d - 1] - sizes_[d] * strides_[v][d];
      }
    }
  }

 private:
  int rank_ = 0;
  int views_ = 0;
  std::array<int64_t, kMaxRank> sizes_{};
  std::array<std::array<int64_t, kMaxRank>, kMaxViews> strides_{};
  std::array<int64_t, kMaxViews> steps_{};  // the strides of the innermost dimension
};

/// A shape seen along one dimension: `outer` x `size` x `inner` elements. A 0-d shape has one lane
/// of one element.
struct Lanes {
  int64_t outer = 1;
  int64_t size = 1;
  int64_t inner = 1;

  Lanes(const Shape& shape, int64_t dim);
  int64_t count() const { return outer * inner; }
  /// Offset of the first element of a lane; elements are `inner` apart.
  int64_t offset(int64_t lane) const { return lane / inner * size * inner + lane % inner; }
};

/// Product of the sizes of dimensions [begin, end).
int64_t product(const Shape& shape, int begin, int end);

}  // namespace ds::ref
