// SPDX-License-Identifier: Apache-2.0
// Values become unsigned keys in the same order, so one sort serves every dtype: by radix for long
// lanes, by comparison for short ones and for the first few of a lane.
#include "ds/backends/cpu/kernels/sort.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <vector>

#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

/// A key of 32 bits with its position behind it; positions make equal keys differ, so any sort is
/// stable.
struct Narrow {
  using Key = uint32_t;
  static constexpr int kKeyBytes = 4;
  uint64_t both;

  Narrow() = default;
  Narrow(Key key, int64_t position)
      : both(static_cast<uint64_t>(key) << 32 | static_cast<uint32_t>(position)) {}
  int64_t position() const { return static_cast<uint32_t>(both); }
  uint8_t byte(int i) const { return static_cast<uint8_t>(both >> (32 + 8 * i)); }
  bool operator<(const Narrow& other) const { return both < other.both; }
};

/// For dtypes of 64 bits and lanes of 2^32 elements.
struct Wide {
  using Key = uint64_t;
  static constexpr int kKeyBytes = 8;
  uint64_t key;
  int64_t place;

  Wide() = default;
  Wide(Key k, int64_t position) : key(k), place(position) {}
  int64_t position() const { return place; }
  uint8_t byte(int i) const { return static_cast<uint8_t>(key >> (8 * i)); }
  bool operator<(const Wide& other) const {
    return key != other.key ? key < other.key : place < other.place;
  }
};

/// Ascending with NaN last; zeros of both signs are equal.
template <class Key, class F>
Key float_key(F x) {
  constexpr Key kSign = Key{1} << (sizeof(Key) * 8 - 1);
  if (std::isnan(x)) return std::numeric_limits<Key>::max();
  const Key bits = std::bit_cast<Key>(x + F{0});  // -0 becomes 0
  return bits & kSign ? ~bits : bits | kSign;
}

template <class Key, class T>
Key key_of(T x) {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float> || kIsHalf<T>) {
    if constexpr (sizeof(Key) == 8)
      return float_key<Key>(static_cast<double>(number(x)));
    else
      return float_key<Key>(static_cast<float>(number(x)));
  } else {
    // Signed numbers are moved up so that they compare as unsigned ones.
    constexpr Key kSign = std::is_signed_v<T> ? Key{1} << (sizeof(Key) * 8 - 1) : 0;
    return static_cast<Key>(x) + kSign;
  }
}

/// Byte by byte from the last: what is in order stays so among equal bytes.
template <class Item>
void radix_sort(std::vector<Item>& items, std::vector<Item>& other) {
  other.resize(items.size());
  std::array<std::array<int64_t, 256>, Item::kKeyBytes> counts{};
  for (const Item& item : items)
    for (int b = 0; b < Item::kKeyBytes; ++b) ++counts[static_cast<size_t>(b)][item.byte(b)];
  for (int b = 0; b < Item::kKeyBytes; ++b) {
    auto& count = counts[static_cast<size_t>(b)];
    if (count[items[0].byte(b)] == static_cast<int64_t>(items.size())) continue;
    int64_t at = 0;
    for (int64_t& c : count) {
      const int64_t n = c;
      c = at;
      at += n;
    }
    for (const Item& item : items) other[static_cast<size_t>(count[item.byte(b)]++)] = item;
    items.swap(other);
  }
}

/// Puts the first k in order.
template <class Item>
void order_first(std::vector<Item>& items, std::vector<Item>& other, int64_t k) {
  constexpr size_t kRadixSize = 1024;  // below, a radix sort's tables cost more than it saves
  const auto n = static_cast<int64_t>(items.size());
  if (k == n && items.size() >= kRadixSize) {
    radix_sort(items, other);
  } else if (k == n) {
    std::sort(items.begin(), items.end());
  } else {
    std::nth_element(items.begin(), items.begin() + k, items.end());
    std::sort(items.begin(), items.begin() + k);
  }
}

/// x may belong before `last`, the worst of the best so far.
template <class T>
bool may_precede(T x, T last, bool descending) {
  return !(descending ? x <= last : x >= last);
}

/// Whether any of a block of contiguous elements may; the loop vectorises.
template <class T>
bool any_may_precede(const T* x, int64_t n, T last, bool descending) {
  bool any = false;
  if (descending)
    for (int64_t i = 0; i < n; ++i) any |= may_precede(x[i], last, true);
  else
    for (int64_t i = 0; i < n; ++i) any |= may_precede(x[i], last, false);
  return any;
}

/// The first k of n items in order, for a small k: most items are only compared with the last one
/// of the best so far, contiguous ones a block at a time.
template <class Item, class T, class Get>
void few_first(std::vector<Item>& items, const T* from, int64_t stride, int64_t n, int64_t k,
               bool descending, Get get) {
  constexpr int64_t kBlock = 32;
  items.clear();
  for (int64_t i = 0; i < k; ++i) items.push_back(get(i));
  std::make_heap(items.begin(), items.end());
  for (int64_t i = k; i < n;) {
    const int64_t end = std::min(n, i + kBlock);
    if constexpr (!kIsHalf<T>) {
      if (stride == 1 &&
          !any_may_precede(from + i, end - i, from[items.front().position()], descending)) {
        i = end;
        continue;
      }
    }
    for (; i < end; ++i) {
      const Item item = get(i);
      if (!(item < items.front())) continue;
      std::pop_heap(items.begin(), items.end());
      items.back() = item;
      std::push_heap(items.begin(), items.end());
    }
  }
  std::sort_heap(items.begin(), items.end());
}

template <class T, class Item>
void sort_typed(const T* src, Lanes lanes, int64_t k, bool descending, T* values,
                int64_t* indices) {
  const int64_t n = lanes.n, inner = lanes.inner;
  parallel_for(lanes.outer * inner, std::max<int64_t>(1, 2048 / n),
               [&](int64_t begin, int64_t end) {
                 std::vector<Item> items, other;
                 for (int64_t lane = begin; lane < end; ++lane) {
                   const T* from = src + lane / inner * n * inner + lane % inner;
                   const auto get = [=](int64_t i) {
                     const auto key = key_of<typename Item::Key>(from[i * inner]);
                     return Item(descending ? ~key : key, i);
                   };
                   if (k * 64 <= n) {
                     few_first(items, from, inner, n, k, descending, get);
                   } else {
                     items.resize(static_cast<size_t>(n));
                     for (int64_t i = 0; i < n; ++i) items[static_cast<size_t>(i)] = get(i);
                     order_first(items, other, k);
                   }
                   const int64_t to = lane / inner * k * inner + lane % inner;
                   for (int64_t i = 0; i < k; ++i) {
                     const int64_t position = items[static_cast<size_t>(i)].position();
                     values[to + i * inner] = from[position * inner];
                     indices[to + i * inner] = position;
                   }
                 }
               });
}

constexpr int64_t kColumns = 64;  // neighbouring lanes that are walked together

/// start() and step() along `kRows` contiguous lanes from element `base` on. Their states stay in
/// registers and do not wait for each other.
template <int kRows, class State, class T, class Start, class Step>
void walk_rows(const T* src, int64_t base, int64_t n, Start start, Step step) {
  State states[kRows];
  for (int r = 0; r < kRows; ++r) states[r] = start(src[base + r * n], base + r * n);
  for (int64_t i = 1; i < n; ++i) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = base + r * n + i;
      step(states[r], src[at], i, at);
    }
  }
}

/// A state made by start(x, offset of x) at the first element of every lane, then
/// step(state, x, i, offset of x) along it.
template <class State, class T, class Start, class Step>
void walk(const T* src, Lanes lanes, Start start, Step step) {
  if (lanes.n == 0) return;
  if (lanes.inner == 1) {
    constexpr int kRows = 4;
    parallel_for(lanes.outer, std::max<int64_t>(kRows, 16384 / lanes.n),
                 [&](int64_t begin, int64_t end) {
                   int64_t row = begin;
                   for (; row + kRows <= end; row += kRows)
                     walk_rows<kRows, State>(src, row * lanes.n, lanes.n, start, step);
                   for (; row < end; ++row)
                     walk_rows<1, State>(src, row * lanes.n, lanes.n, start, step);
                 });
    return;
  }
  const int64_t blocks = (lanes.inner + kColumns - 1) / kColumns;
  const int64_t work = lanes.n * std::min(lanes.inner, kColumns);
  parallel_for(lanes.outer * blocks, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t item = begin; item < end; ++item) {
                   const int64_t first = item % blocks * kColumns;
                   const int64_t columns = std::min(kColumns, lanes.inner - first);
                   const int64_t base = item / blocks * lanes.n * lanes.inner + first;
                   State states[kColumns];
                   for (int64_t c = 0; c < columns; ++c) states[c] = start(src[base + c], base + c);
                   for (int64_t i = 1; i < lanes.n; ++i)
                     for (int64_t c = 0; c < columns; ++c) {
                       const int64_t at = base + i * lanes.inner + c;
                       step(states[c], src[at], i, at);
                     }
                 }
               });
}

double log_add(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  if (a == b && std::isinf(a)) return a;  // the difference of equal infinities is no number
  return std::max(a, b) + std::log1p(std::exp(-std::fabs(a - b)));
}

template <class T>
void scan_typed(ScanOp op, const T* src, Lanes lanes, T* dst) {
  constexpr bool kFloat = !std::is_integral_v<T>;
  using W = std::conditional_t<kFloat, double, T>;
  const auto write = [dst](W sum, int64_t at) {
    if constexpr (kFloat)
      dst[at] = rounded<T>(sum);
    else
      dst[at] = sum;
  };
  const auto run = [&](auto combine) {
    walk<W>(
        src, lanes,
        [=](T first, int64_t at) {
          const W sum = static_cast<W>(number(first));
          write(sum, at);
          return sum;
        },
        [=](W& sum, T x, int64_t, int64_t at) {
          sum = combine(sum, static_cast<W>(number(x)));
          write(sum, at);
        });
  };
  if (op == ScanOp::sum) return run([](W a, W b) { return plus(a, b); });
  if (op == ScanOp::product) return run([](W a, W b) { return times(a, b); });
  if constexpr (kFloat) run([](W a, W b) { return log_add(a, b); });
}

template <class T>
void extreme_typed(bool largest, const T* src, Lanes lanes, T* values, int64_t* indices) {
  struct Best {
    T value;
    int64_t index;
  };
  const auto run = [&](auto reaches) {
    walk<Best>(
        src, lanes,
        [=](T first, int64_t at) {
          values[at] = first;
          indices[at] = 0;
          return Best{first, 0};
        },
        [=](Best& best, T x, int64_t i, int64_t at) {
          const bool taken = reaches(number(x), number(best.value)) | is_nan(x);
          best.value = taken ? x : best.value;
          best.index = taken ? i : best.index;
          values[at] = best.value;
          indices[at] = best.index;
        });
  };
  if (largest)
    run([](auto a, auto b) { return a >= b; });
  else
    run([](auto a, auto b) { return a <= b; });
}

}  // namespace

void sort_lanes(DType dtype, const void* src, Lanes lanes, int64_t k, bool descending, void* values,
                int64_t* indices) {
  if (lanes.n == 0 || k == 0) return;
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* from = static_cast<const T*>(src);
    T* to = static_cast<T*>(values);
    if (sizeof(T) == 8 || lanes.n > std::numeric_limits<uint32_t>::max())
      sort_typed<T, Wide>(from, lanes, k, descending, to, indices);
    else
      sort_typed<T, Narrow>(from, lanes, k, descending, to, indices);
  });
}

void scan(ScanOp op, DType dtype, const void* src, Lanes lanes, void* dst) {
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    scan_typed(op, static_cast<const T*>(src), lanes, static_cast<T*>(dst));
  });
}

void running_extreme(bool largest, DType dtype, const void* src, Lanes lanes, void* values,
                     int64_t* indices) {
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    extreme_typed(largest, static_cast<const T*>(src), lanes, static_cast<T*>(values), indices);
  });
}

}  // namespace ds::cpu
