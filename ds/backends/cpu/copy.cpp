// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/copy.h"

#include <algorithm>
#include <cstring>

#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

constexpr int64_t kGrainBytes = 32 << 10;  // less is not worth a second thread
constexpr int64_t kBlock = 32;             // 32 x 32 elements of 4 bytes: two blocks are 8 KB of L1

/// Calls f(T{}) with an unsigned type of `size` bytes.
template <class F>
void with_element(size_t size, F&& f) {
  switch (size) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

/// Offsets of operand k at the `index`-th position of the given dimensions, row-major order.
struct Odometer {
  const LoopNest& nest;
  std::vector<int> dims;

  int64_t count() const {
    int64_t n = 1;
    for (const int d : dims) n *= nest.dims[d];
    return n;
  }
  int64_t offset(int64_t index, size_t k) const {
    int64_t sum = 0;
    for (size_t i = dims.size(); i-- > 0;) {
      const int d = dims[i];
      sum += index % nest.dims[d] * nest.strides[k][d];
      index /= nest.dims[d];
    }
    return sum;
  }
};

template <class T>
void copy_row(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t n) {
  if (dst_stride == 1 && src_stride == 1) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(T));
  } else if (dst_stride == 1 && src_stride == 0) {
    std::fill(dst, dst + n, *src);
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * dst_stride] = src[i * src_stride];
  }
}

/// dst rows are contiguous, src columns are.
template <class T>
void transpose_block(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t rows,
                     int64_t cols) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) dst[r * dst_stride + c] = src[r + c * src_stride];
}

}  // namespace

CopyPlan::CopyPlan(const View& dst, const View& src) : element_(dtype_size(dst.dtype)) {
  nest_ = make_nest(dst.dims, {dst.strides, src.strides});
  const int inner = nest_.dims.rank() - 1;
  contiguous_ = inner == 0 && nest_.strides[0][0] == 1 && nest_.strides[1][0] == 1;
  if (nest_.strides[0][inner] != 1 || nest_.strides[1][inner] <= 1) return;
  for (int d = 0; d < inner; ++d)
    if (nest_.strides[1][d] == 1 && nest_.dims[d] > 1) other_ = d;
}

void CopyPlan::run(void* to, const void* from) const {
  const int inner = nest_.dims.rank() - 1;
  const int64_t cols = nest_.dims[inner];
  if (nest_.dims.numel() == 0) return;
  if (contiguous_) {
    const int64_t bytes = cols * static_cast<int64_t>(element_);
    parallel_for(bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
      std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                  static_cast<size_t>(end - begin));
    });
    return;
  }
  Odometer outer{nest_, {}};
  for (int d = 0; d < inner; ++d)
    if (d != other_) outer.dims.push_back(d);
  const Shape &dst_strides = nest_.strides[0], &src_strides = nest_.strides[1];
  with_element(element_, [&](auto tag) {
    using T = decltype(tag);
    auto* dst = static_cast<T*>(to);
    const auto* src = static_cast<const T*>(from);
    const int64_t row_grain = std::max<int64_t>(1, kGrainBytes / (cols * int64_t{sizeof(T)}));
    if (other_ < 0) {
      parallel_for(outer.count() * cols, kGrainBytes / int64_t{sizeof(T)},
                   [&](int64_t begin, int64_t end) {
                     while (begin < end) {
                       const int64_t row = begin / cols, col = begin % cols;
                       const int64_t n = std::min(cols - col, end - begin);
                       const int64_t to_step = dst_strides[inner], step = src_strides[inner];
                       copy_row(dst + outer.offset(row, 0) + col * to_step, to_step,
                                src + outer.offset(row, 1) + col * step, step, n);
                       begin += n;
                     }
                   });
      return;
    }
    const int64_t rows = nest_.dims[other_], blocks = (rows + kBlock - 1) / kBlock;
    parallel_for(outer.count() * blocks, std::max<int64_t>(1, row_grain / kBlock),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     const int64_t r = i % blocks * kBlock, n = std::min(kBlock, rows - r);
                     T* d = dst + outer.offset(i / blocks, 0) + r * dst_strides[other_];
                     const T* s = src + outer.offset(i / blocks, 1) + r;
                     for (int64_t c = 0; c < cols; c += kBlock)
                       transpose_block(d + c, dst_strides[other_], s + c * src_strides[inner],
                                       src_strides[inner], n, std::min(kBlock, cols - c));
                   }
                 });
  });
}

FillPlan::FillPlan(const View& dst, std::vector<char> value)
    : element_(dtype_size(dst.dtype)),
      nest_(make_nest(dst.dims, {dst.strides})),
      value_(std::move(value)) {
  DS_ASSERT(value_.size() == element_);
}

void FillPlan::run(void* to) const {
  if (nest_.dims.numel() == 0) return;
  const int inner = nest_.dims.rank() - 1;
  const int64_t cols = nest_.dims[inner], stride = nest_.strides[0][inner];
  Odometer outer{nest_, {}};
  for (int d = 0; d < inner; ++d) outer.dims.push_back(d);
  with_element(element_, [&](auto tag) {
    using T = decltype(tag);
    T value;
    std::memcpy(&value, value_.data(), sizeof value);
    const int64_t rows = outer.count(), grain = kGrainBytes / int64_t{sizeof(T)};
    parallel_for(rows * cols, grain, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t row = begin / cols, col = begin % cols, n = std::min(cols - col, end - begin);
        T* dst = static_cast<T*>(to) + outer.offset(row, 0) + col * stride;
        for (int64_t i = 0; i < n; ++i) dst[i * stride] = value;
        begin += n;
      }
    });
  });
}

}  // namespace ds::cpu
