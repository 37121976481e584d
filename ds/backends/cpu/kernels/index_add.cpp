// SPDX-License-Identifier: Apache-2.0
// index_add: positions are grouped by the row they go to, then every row is written once. This is
// the gradient of an embedding, where most rows get nothing and a few get very much. Rows of a few
// elements, as in a histogram, are added up one after the other.
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

/// Integers one by one into few sums, in several tables: an element need not wait for the one
/// before where that had the same index.
template <class T>
void add_numbers(const Indices& index, const T* src, T* sums) {
  constexpr int64_t kTables = 4;
  std::vector<T> tables(static_cast<size_t>(kTables * index.size), T{0});
  int64_t k = 0;
  for (; k + kTables <= index.count; k += kTables)
    for (int64_t t = 0; t < kTables; ++t) {
      T& target = tables[static_cast<size_t>(t * index.size + index.data[k + t])];
      target = plus(target, src[k + t]);
    }
  for (; k < index.count; ++k) sums[index.data[k]] = plus(sums[index.data[k]], src[k]);
  for (int64_t i = 0; i < kTables * index.size; ++i)
    sums[i % index.size] = plus(sums[i % index.size], tables[static_cast<size_t>(i)]);
}

/// Short rows go straight to their sums: grouping the positions would take longer.
template <class T>
void add_short_rows(const Indices& index, int64_t outer, int64_t inner, Base base, const T* src,
                    T* dst) {
  constexpr bool kExact = std::is_integral_v<T>;
  using Sum = std::conditional_t<kExact, T, double>;
  const int64_t width = index.size * inner, length = index.count * inner;
  const int64_t grain = std::max<int64_t>(1, 16384 / (width + length));
  parallel_for(outer, grain, [&](int64_t begin, int64_t end) {
    std::vector<double> sums(kExact ? 0 : static_cast<size_t>(width));
    for (int64_t o = begin; o < end; ++o) {
      const T* old = static_cast<const T*>(base.data) + (base.uniform ? 0 : o * width);
      const T* from = src + o * length;
      T* to = dst + o * width;
      Sum* sum;
      if constexpr (kExact)
        sum = to;
      else
        sum = sums.data();
      for (int64_t i = 0; i < width; ++i)
        sum[i] = static_cast<Sum>(number(old[base.uniform ? 0 : i]));
      if constexpr (kExact && !std::is_same_v<T, bool>) {
        constexpr int64_t kMostSums = 1024;
        if (inner == 1 && width <= kMostSums && index.count >= 16 * width) {
          add_numbers(index, from, to);
          continue;
        }
      }
      for (int64_t k = 0; k < index.count; ++k)
        for (int64_t j = 0; j < inner; ++j) {
          Sum& target = sum[index.data[k] * inner + j];
          target = plus(target, static_cast<Sum>(number(from[k * inner + j])));
        }
      if constexpr (!kExact)
        for (int64_t i = 0; i < width; ++i) to[i] = rounded<T>(sum[i]);
    }
  });
}

}  // namespace

void index_add(const Indices& index, int64_t outer, int64_t inner, DType dtype, Base base,
               const void* src, void* dst) {
  index.check("index_add");
  if (index.size == 0 || inner == 0) return;
  constexpr int64_t kShort = 8;
  if (inner <= kShort) {
    dispatch(dtype, [&](auto tag) {
      using T = decltype(tag);
      add_short_rows(index, outer, inner, base, static_cast<const T*>(src), static_cast<T*>(dst));
    });
    return;
  }
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
