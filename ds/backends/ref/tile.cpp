// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/ref/tile.h"

#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

template <class W, class T>
void load_run(const void* src, int64_t offset, int64_t stride, int64_t n, W* dst) {
  const T* from = static_cast<const T*>(src) + offset;
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) dst[i] = widen<W>(from[i]);
  } else if (stride == 0) {
    if (n > 0) std::fill(dst, dst + n, widen<W>(*from));
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = widen<W>(from[i * stride]);
  }
}

template <class W, class T>
void store_run(void* dst, int64_t offset, int64_t stride, int64_t n, const W* src) {
  T* to = static_cast<T*>(dst) + offset;
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = narrow<T>(src[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * stride] = narrow<T>(src[i]);
  }
}

}  // namespace

template <class W>
Load<W> loader(DType dtype) {
  return dispatch(dtype, [](auto tag) -> Load<W> { return &load_run<W, decltype(tag)>; });
}
template <class W>
Store<W> storer(DType dtype) {
  return dispatch(dtype, [](auto tag) -> Store<W> { return &store_run<W, decltype(tag)>; });
}

template <class W>
std::vector<W> load_all(const void* src, DType dtype, int64_t n) {
  std::vector<W> dst(static_cast<size_t>(n));
  const Load<W> load = loader<W>(dtype);
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    load(src, begin, 1, end - begin, dst.data() + begin);
  });
  return dst;
}

template <class W>
void store_all(const std::vector<W>& src, DType dtype, void* dst) {
  const Store<W> store = storer<W>(dtype);
  parallel_for(static_cast<int64_t>(src.size()), kGrain, [&](int64_t begin, int64_t end) {
    store(dst, begin, 1, end - begin, src.data() + begin);
  });
}

template Load<double> loader<double>(DType);
template Load<int64_t> loader<int64_t>(DType);
template Store<double> storer<double>(DType);
template Store<int64_t> storer<int64_t>(DType);
template std::vector<double> load_all<double>(const void*, DType, int64_t);
template std::vector<int64_t> load_all<int64_t>(const void*, DType, int64_t);
template void store_all<double>(const std::vector<double>&, DType, void*);
template void store_all<int64_t>(const std::vector<int64_t>&, DType, void*);

Shape broadcast_strides(const Shape& from, const Shape& to) {
  const Shape dense = contiguous_strides(from);
  Shape strides = Shape::filled(to.rank(), 0);
  const int shift = to.rank() - from.rank();
  DS_ASSERT(shift >= 0, from, " to ", to);
  for (int d = 0; d < from.rank(); ++d) strides[d + shift] = from[d] == 1 ? 0 : dense[d];
  return strides;
}

Walk::Walk(const Shape& shape, std::initializer_list<Shape> strides)
    : views_(static_cast<int>(strides.size())) {
  DS_ASSERT(views_ <= kMaxViews);
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) continue;
    bool merge = rank_ > 0;
    int v = 0;
    for (const Shape& view : strides) {
      if (rank_ > 0 && strides_[v][rank_ - 1] != view[d] * shape[d]) merge = false;
      ++v;
    }
    if (!merge) ++rank_;
    sizes_[rank_ - 1] = merge ? sizes_[rank_ - 1] * shape[d] : shape[d];
    v = 0;
    for (const Shape& view : strides) strides_[v++][rank_ - 1] = view[d];
  }
  if (rank_ == 0) {
    rank_ = 1;
    sizes_[0] = 1;
  }
  for (int v = 0; v < views_; ++v) steps_[v] = strides_[v][rank_ - 1];
}

Lanes::Lanes(const Shape& shape, int64_t dim) {
  if (shape.empty()) return;
  const int d = static_cast<int>(dim);
  outer = product(shape, 0, d);
  size = shape[d];
  inner = product(shape, d + 1, shape.rank());
}

int64_t product(const Shape& shape, int begin, int end) {
  int64_t result = 1;
  for (int d = begin; d < end; ++d) result *= shape[d];
  return result;
}

}  // namespace ds::ref
