// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/copy.h"

#include <algorithm>
#include <cstring>

#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

constexpr int64_t kGrainBytes = 32 << 10;  // less is not worth a second thread
constexpr int64_t kLine = 64;              // bytes

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

/// Walks through some dimensions of a nest in row-major order, with the offsets of its operands.
class Odometer {
 public:
  Odometer(const LoopNest& nest, const std::vector<int>& dims, int64_t index) : offsets_{} {
    for (const int d : dims) {
      Dim dim{nest.dims[d], 0, {}};
      for (size_t k = 0; k < nest.strides.size(); ++k) dim.strides[k] = nest.strides[k][d];
      dims_.push_back(dim);
    }
    for (size_t i = dims_.size(); i-- > 0;) {
      Dim& dim = dims_[i];
      dim.at = index % dim.size;
      index /= dim.size;
      for (size_t k = 0; k < 2; ++k) offsets_[k] += dim.at * dim.strides[k];
    }
  }
  int64_t offset(size_t k) const { return offsets_[k]; }
  void next() {
    for (size_t i = dims_.size(); i-- > 0;) {
      Dim& dim = dims_[i];
      for (size_t k = 0; k < 2; ++k) offsets_[k] += dim.strides[k];
      if (++dim.at < dim.size) return;
      for (size_t k = 0; k < 2; ++k) offsets_[k] -= dim.size * dim.strides[k];
      dim.at = 0;
    }
  }

 private:
  struct Dim {
    int64_t size, at;
    int64_t strides[2];
  };
  std::vector<Dim> dims_;
  int64_t offsets_[2];
};

int64_t product(const LoopNest& nest, const std::vector<int>& dims) {
  int64_t n = 1;
  for (const int d : dims) n *= nest.dims[d];
  return n;
}

/// f(row, column, n, offsets) for pieces that cover elements [begin, end) of rows of `cols`.
template <class F>
void for_rows(const LoopNest& nest, const std::vector<int>& outer, int64_t cols, int64_t begin,
              int64_t end, F f) {
  Odometer at(nest, outer, begin / cols);
  for (int64_t col = begin % cols; begin < end; at.next(), col = 0) {
    const int64_t n = std::min(cols - col, end - begin);
    f(at, col, n);
    begin += n;
  }
}

template <class T>
void copy_row(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t n) {
  constexpr int64_t kFew = 16;  // elements; a call of memcpy takes longer
  if (dst_stride == 1 && src_stride == 1 && n > kFew) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(T));
  } else if (dst_stride == 1 && src_stride == 0) {
    const T value = *src;
    for (int64_t i = 0; i < n; ++i) dst[i] = value;
  } else if (dst_stride == 1 && src_stride == -1) {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[-i];
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * dst_stride] = src[i * src_stride];
  }
}

/// dst rows are contiguous, src columns are. Rows a power of two apart share a few lines of the
/// cache, so every line is read once and written once, by way of a block that stays.
template <class T>
void transpose_block(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t rows,
                     int64_t cols) {
  constexpr int64_t kSide = kLine / int64_t{sizeof(T)};
  T block[kSide][kSide];
  if (rows == kSide && cols == kSide) {
    for (int64_t c = 0; c < kSide; ++c) std::memcpy(block[c], src + c * src_stride, kLine);
    for (int64_t r = 0; r < kSide; ++r)
      for (int64_t c = 0; c < kSide; ++c) dst[r * dst_stride + c] = block[c][r];
    return;
  }
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
  std::vector<int> outer;
  for (int d = 0; d < inner; ++d)
    if (d != other_) outer.push_back(d);
  const Shape &dst_strides = nest_.strides[0], &src_strides = nest_.strides[1];
  const int64_t to_step = dst_strides[inner], step = src_strides[inner];
  with_element(element_, [&](auto tag) {
    using T = decltype(tag);
    auto* dst = static_cast<T*>(to);
    const auto* src = static_cast<const T*>(from);
    if (other_ < 0) {
      parallel_for(product(nest_, outer) * cols, kGrainBytes / int64_t{sizeof(T)},
                   [&](int64_t begin, int64_t end) {
                     for_rows(nest_, outer, cols, begin, end,
                              [&](const Odometer& at, int64_t col, int64_t n) {
                                copy_row(dst + at.offset(0) + col * to_step, to_step,
                                         src + at.offset(1) + col * step, step, n);
                              });
                   });
      return;
    }
    constexpr int64_t kSide = kLine / int64_t{sizeof(T)};
    const int64_t rows = nest_.dims[other_], blocks = (rows + kSide - 1) / kSide;
    const int64_t to_row = dst_strides[other_];
    parallel_for(product(nest_, outer) * blocks, std::max<int64_t>(1, kGrainBytes / (cols * kLine)),
                 [&](int64_t begin, int64_t end) {
                   for_rows(nest_, outer, blocks, begin, end,
                            [&](const Odometer& at, int64_t block, int64_t n) {
                              for (; n > 0; --n, ++block) {
                                const int64_t r = block * kSide, height = std::min(kSide, rows - r);
                                T* d = dst + at.offset(0) + r * to_row;
                                const T* s = src + at.offset(1) + r;
                                for (int64_t c = 0; c < cols; c += kSide)
                                  transpose_block(d + c, to_row, s + c * step, step, height,
                                                  std::min(kSide, cols - c));
                              }
                            });
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
  std::vector<int> outer;
  for (int d = 0; d < inner; ++d) outer.push_back(d);
  with_element(element_, [&](auto tag) {
    using T = decltype(tag);
    T value;
    std::memcpy(&value, value_.data(), sizeof value);
    parallel_for(product(nest_, outer) * cols, kGrainBytes / int64_t{sizeof(T)},
                 [&](int64_t begin, int64_t end) {
                   for_rows(nest_, outer, cols, begin, end,
                            [&](const Odometer& at, int64_t col, int64_t n) {
                              T* dst = static_cast<T*>(to) + at.offset(0) + col * stride;
                              copy_row(dst, stride, &value, 0, n);
                            });
                 });
  });
}

}  // namespace ds::cpu
