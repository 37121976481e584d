// SPDX-License-Identifier: Apache-2.0
// index_add: positions are grouped by the row they go to, then every row is written once. This is
// the gradient of an embedding, where most rows get nothing and a few get very much.
#include <algorithm>
#include <cstring>
#include <vector>

#include "ds/backends/cpu/kernels/index.h"
#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

/// Columns of a row that one thread adds up at a time: a row that many positions go to is shared
/// out among threads, and the sums (f64) stay in the first-level cache.
constexpr int64_t kAddColumns = 256;

/// Positions that go to row r: order[start[r]] to order[start[r + 1]], in the order of the index.
struct AddGroups {
  std::vector<int64_t> start, order;
};

/// One piece of a row: `count` source rows (`stride` elements apart, their numbers in `rows`).
struct AddPiece {
  const void* base;
  bool uniform;  ///< base is one element
  const void* src;
  const int64_t* rows;
  int64_t count, stride;
  void* dst;
  int64_t n;  ///< columns, at most kAddColumns
};

template <class T>
void add_floats(const AddPiece& piece, const T* base, T* dst) {
  double sum[kAddColumns];
  for (int64_t i = 0; i < piece.n; ++i)
    sum[i] = static_cast<double>(number(base[piece.uniform ? 0 : i]));
  for (int64_t k = 0; k < piece.count; ++k) {
    const T* src = static_cast<const T*>(piece.src) + piece.rows[k] * piece.stride;
    for (int64_t i = 0; i < piece.n; ++i) sum[i] += static_cast<double>(number(src[i]));
  }
  for (int64_t i = 0; i < piece.n; ++i) dst[i] = rounded<T>(sum[i]);
}

template <class T>
void add_exact(const AddPiece& piece, const T* base, T* dst) {
  for (int64_t i = 0; i < piece.n; ++i) dst[i] = base[piece.uniform ? 0 : i];
  for (int64_t k = 0; k < piece.count; ++k) {
    const T* src = static_cast<const T*>(piece.src) + piece.rows[k] * piece.stride;
    for (int64_t i = 0; i < piece.n; ++i) dst[i] = plus(dst[i], src[i]);
  }
}

void add_rows(DType dtype, const AddPiece& piece) {
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* base = static_cast<const T*>(piece.base);
    T* dst = static_cast<T*>(piece.dst);
    if constexpr (std::is_integral_v<T>)
      add_exact(piece, base, dst);
    else
      add_floats(piece, base, dst);
  });
}

AddGroups group(const Indices& index) {
  AddGroups groups;
  groups.start.assign(static_cast<size_t>(index.size) + 1, 0);
  groups.order.resize(static_cast<size_t>(index.count));
  for (int64_t i = 0; i < index.count; ++i) ++groups.start[static_cast<size_t>(index.data[i]) + 1];
  for (size_t r = 1; r < groups.start.size(); ++r) groups.start[r] += groups.start[r - 1];
  std::vector<int64_t> next(groups.start.begin(), groups.start.end() - 1);
  for (int64_t i = 0; i < index.count; ++i) {
    int64_t& place = next[static_cast<size_t>(index.data[i])];
    groups.order[static_cast<size_t>(place++)] = i;
  }
  return groups;
}

/// Rows without a source: the base alone.
void keep_row(size_t element, Base base, int64_t offset, void* dst, int64_t n) {
  const auto size = static_cast<int64_t>(element);
  char* to = static_cast<char*>(dst) + offset * size;
  const char* from = static_cast<const char*>(base.data);
  if (base.uniform) {
    with_word(element, [&](auto tag) {
      using T = decltype(tag);
      std::fill_n(reinterpret_cast<T*>(to), n, *reinterpret_cast<const T*>(from));
    });
  } else if (base.data != dst) {
    std::memcpy(to, from + offset * size, static_cast<size_t>(n) * element);
  }
}

}  // namespace

void index_add(const Indices& index, int64_t outer, int64_t inner, DType dtype, Base base,
               const void* src, void* dst) {
  index.check("index_add");
  if (index.size == 0 || inner == 0) return;
  const AddGroups groups = group(index);
  const size_t element = dtype_size(dtype);
  const auto size = static_cast<int64_t>(element);
  const int64_t pieces = (inner + kAddColumns - 1) / kAddColumns;
  // Work in units of one piece of one row read or written. Row r begins at pieces * at(r), so that
  // equal shares of the work are found by bisection.
  const auto at = [&](int64_t r) { return r + groups.start[static_cast<size_t>(r)]; };
  const int64_t whole = at(index.size) * pieces;
  const auto run_piece = [&](int64_t o, int64_t r, int64_t p) {
    const int64_t column = p * kAddColumns, n = std::min(kAddColumns, inner - column);
    const int64_t to = (o * index.size + r) * inner + column;
    const int64_t first = groups.start[static_cast<size_t>(r)];
    const int64_t count = groups.start[static_cast<size_t>(r) + 1] - first;
    if (count == 0) return keep_row(element, base, to, dst, n);
    AddPiece piece{static_cast<const char*>(base.data) + (base.uniform ? 0 : to * size),
                   base.uniform,
                   static_cast<const char*>(src) + (o * index.count * inner + column) * size,
                   groups.order.data() + first,
                   count,
                   inner,
                   static_cast<char*>(dst) + to * size,
                   n};
    add_rows(dtype, piece);
  };
  const int64_t grain = std::max<int64_t>(1, 16384 / std::min(inner, kAddColumns));
  parallel_for(outer * whole, grain, [&](int64_t begin, int64_t end) {
    // A piece belongs to the thread in whose share it begins.
    int64_t o = begin / whole, low = 0, high = index.size;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (o * whole + at(middle) * pieces <= begin ? low : high) = middle;
    }
    for (int64_t r = low; o * whole + at(r) * pieces < end;) {
      const int64_t weight = at(r + 1) - at(r), from = o * whole + at(r) * pieces;
      for (int64_t p = 0; p < pieces; ++p) {
        const int64_t place = from + p * weight;
        if (place >= begin && place < end) run_piece(o, r, p);
      }
      if (++r < index.size) continue;
      r = 0;
      if (++o == outer) break;
    }
  });
}

}  // namespace ds::cpu
