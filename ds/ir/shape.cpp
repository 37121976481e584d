// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/shape.h"

#include <algorithm>
#include <ostream>

#include "ds/base/error.h"

namespace ds {

Shape Shape::filled(int rank, int64_t value) {
  Shape shape;
  for (int i = 0; i < rank; ++i) shape.push_back(value);
  return shape;
}

void Shape::push_back(int64_t size) {
  DS_CHECK(rank_ < kMaxRank, ValueError, "a tensor has at most ", kMaxRank, " dimensions");
  sizes_[static_cast<size_t>(rank_++)] = size;
}

void Shape::insert(int position, int64_t size) {
  push_back(size);
  std::rotate(begin() + position, end() - 1, end());
}

void Shape::erase(int position) {
  std::copy(begin() + position + 1, end(), begin() + position);
  --rank_;
}

int64_t Shape::numel() const {
  uint64_t product = 1;
  for (int64_t size : *this) product *= static_cast<uint64_t>(size);
  return static_cast<int64_t>(product);
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = Shape::filled(shape.rank(), 1);
  for (int i = shape.rank() - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * std::max<int64_t>(shape[i + 1], 1);
  return strides;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out = Shape::filled(rank, 1);
  for (int i = 1; i <= rank; ++i) {
    const int64_t x = i <= a.rank() ? a[a.rank() - i] : 1;
    const int64_t y = i <= b.rank() ? b[b.rank() - i] : 1;
    DS_CHECK(x == y || x == 1 || y == 1, ShapeError, op, ": shapes ", a, " and ", b,
             " do not broadcast (", x, " against ", y, " at dimension ", rank - i, ")");
    out[rank - i] = x == 1 ? y : x;
  }
  return out;
}

int normalize_dim(int64_t dim, int rank, const char* op) {
  const int range = std::max(rank, 1);
  DS_CHECK(dim >= -range && dim < range, IndexError, op, ": dim ", dim, " is out of range [",
           -range, ", ", range - 1, "]");
  return static_cast<int>(dim < 0 ? dim + range : dim);
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? "," : "") << shape[i];
  return out << ']';
}

}  // namespace ds
