// SPDX-License-Identifier: Apache-2.0
// Shape: the sizes of a tensor, at most kMaxRank of them, stored inline.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <vector>

namespace ds {

inline constexpr int kMaxRank = 12;
/// Most elements of a tensor, an empty one's sizes counting as 1: bytes and strides of any dtype
/// then fit int64, and so do sums of a few of them.
inline constexpr int64_t kMaxElements = int64_t{1} << 58;

/// A short inline list of int64: sizes, strides, axes. Never allocates.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(sizes.begin(), sizes.end()) {}
  Shape(const std::vector<int64_t>& sizes) : Shape(sizes.begin(), sizes.end()) {}
  /// ValueError beyond kMaxRank entries.
  template <class It>
  Shape(It first, It last) {
    for (; first != last; ++first) push_back(*first);
  }
  /// `rank` entries of `value`.
  static Shape filled(int rank, int64_t value);

  int rank() const { return rank_; }
  size_t size() const { return static_cast<size_t>(rank_); }
  bool empty() const { return rank_ == 0; }
  int64_t operator[](int i) const { return sizes_[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return sizes_[static_cast<size_t>(i)]; }
  int64_t back() const { return sizes_[static_cast<size_t>(rank_ - 1)]; }
  int64_t& back() { return sizes_[static_cast<size_t>(rank_ - 1)]; }
  const int64_t* data() const { return sizes_.data(); }
  const int64_t* begin() const { return sizes_.data(); }
  const int64_t* end() const { return sizes_.data() + rank_; }
  int64_t* begin() { return sizes_.data(); }
  int64_t* end() { return sizes_.data() + rank_; }
  void push_back(int64_t size);
  void pop_back() { --rank_; }
  void insert(int position, int64_t size);
  void erase(int position);
  /// Product of the sizes; 1 for a 0-d shape. Wraps for sizes that no tensor can have.
  int64_t numel() const;
  std::vector<int64_t> vec() const { return {begin(), end()}; }
  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

/// Strides in elements of a contiguous tensor of this shape.
Shape contiguous_strides(const Shape& shape);

/// The shape two shapes broadcast to (NumPy's rule); ShapeError naming `op` when they do not fit.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);

/// `dim` counted from the end when negative; IndexError naming `op` outside [-rank, rank).
/// A 0-d tensor accepts -1 and 0, as in PyTorch.
int normalize_dim(int64_t dim, int rank, const char* op);

/// Prints as [2,3].
std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace ds
