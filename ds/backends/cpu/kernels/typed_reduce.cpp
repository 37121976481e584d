// SPDX-License-Identifier: Apache-2.0
// Reductions of integers, bool and f64 in their own type.
#include <algorithm>
#include <limits>
#include <memory>

#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/backends/cpu/kernels/typed.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

constexpr int64_t kColumns = 64;     // accumulators that are kept at once
constexpr int64_t kPiece = 1 << 16;  // elements of one row that a thread takes at least
constexpr int64_t kGrain = 16384;

/// Elements side by side go to different accumulators, so that the loop vectorises.
template <class R, class T, class Combine>
R reduce_row(const T* src, int64_t n, R first, Combine combine) {
  R lanes[kColumns];
  std::fill_n(lanes, kColumns, first);
  int64_t i = 0;
  for (; i + kColumns <= n; i += kColumns)
    for (int64_t c = 0; c < kColumns; ++c) lanes[c] = combine(lanes[c], src[i + c]);
  for (; i < n; ++i) lanes[0] = combine(lanes[0], src[i]);
  R all = first;
  for (const R lane : lanes) all = combine(all, static_cast<T>(lane));
  return all;
}

/// A long row by itself, in pieces whose number does not depend on the threads.
template <class R, class T, class Combine>
R reduce_long_row(const T* src, int64_t n, R first, Combine combine) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  const auto parts = std::make_unique<R[]>(static_cast<size_t>(pieces));
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      parts[i] = reduce_row(src + i * kPiece, std::min(kPiece, n - i * kPiece), first, combine);
  });
  R all = first;
  for (int64_t i = 0; i < pieces; ++i) all = combine(all, static_cast<T>(parts[i]));
  return all;
}

/// dst = combine over n, starting from `first`, which the result of no elements is.
template <class R, class T, class Combine>
void reduce_with(const T* src, int64_t outer, int64_t n, int64_t inner, R first, R* dst,
                 Combine combine) {
  if (outer * inner == 1) {
    *dst = reduce_long_row(src, n, first, combine);
    return;
  }
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t work = std::max<int64_t>(1, n * std::min(inner, kColumns));
  parallel_for(
      outer * blocks, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
        for (int64_t item = begin; item < end; ++item) {
          const int64_t column = item % blocks * kColumns, m = std::min(kColumns, inner - column);
          const T* from = src + item / blocks * n * inner + column;
          R* to = dst + item / blocks * inner + column;
          if (inner == 1) {
            *to = reduce_row(from, n, first, combine);
            continue;
          }
          R sums[kColumns];
          std::fill_n(sums, kColumns, first);
          for (int64_t i = 0; i < n; ++i)
            for (int64_t c = 0; c < m; ++c) sums[c] = combine(sums[c], from[i * inner + c]);
          std::copy_n(sums, m, to);
        }
      });
}

template <class T>
void reduce_typed(Op op, const T* src, int64_t outer, int64_t n, int64_t inner, void* dst) {
  const auto run = [&](auto first, auto combine) {
    using R = decltype(first);
    reduce_with(src, outer, n, inner, first, static_cast<R*>(dst), combine);
  };
  switch (op) {
    case Op::sum_: return run(T{0}, [](T a, T b) { return plus(a, b); });
    case Op::prod_: return run(T{1}, [](T a, T b) { return times(a, b); });
    case Op::any_: return run(false, [](bool a, T b) { return static_cast<bool>(a | is_true(b)); });
    case Op::all_: return run(true, [](bool a, T b) { return static_cast<bool>(a & is_true(b)); });
    case Op::amax_:
    case Op::amin_: break;
    default: {
      if constexpr (std::is_same_v<T, double>) {
        reduce_with(src, outer, n, inner, 0.0, static_cast<double*>(dst),
                    [](double a, double b) { return a + b; });
        for (int64_t i = 0; i < outer * inner; ++i)
          static_cast<double*>(dst)[i] /= static_cast<double>(n);
      }
      return;
    }
  }
  if (op == Op::amax_) {
    const T least = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                         : std::numeric_limits<T>::lowest();
    return run(least, [](T a, T b) { return beats_max(b, a) ? b : a; });
  }
  const T most = std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                      : std::numeric_limits<T>::max();
  run(most, [](T a, T b) { return beats_min(b, a) ? b : a; });
}

template <class T, class Beats>
void arg_typed(const T* src, int64_t outer, int64_t n, int64_t inner, int64_t* dst, Beats beats) {
  parallel_for(outer * inner, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane) {
      const T* from = src + lane / inner * n * inner + lane % inner;
      int64_t best = 0;
      for (int64_t i = 1; i < n; ++i)
        if (beats(from[i * inner], from[best * inner])) best = i;
      dst[lane] = best;
    }
  });
}

}  // namespace

bool has_typed_reduce(Op op, DType dtype) {
  if (is_half(dtype) || dtype == DType::f32) return false;
  return op != Op::mean_ || dtype == DType::f64;
}

void typed_reduce(Op op, DType dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                  void* dst) {
  dispatch_number(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, float>)
      reduce_typed(op, static_cast<const T*>(src), outer, n, inner, dst);
  });
}

void typed_arg_reduce(bool min, DType dtype, const void* src, int64_t outer, int64_t n,
                      int64_t inner, int64_t* dst) {
  dispatch_number(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* from = static_cast<const T*>(src);
    if (min)
      arg_typed(from, outer, n, inner, dst, [](T a, T b) { return beats_min(a, b); });
    else
      arg_typed(from, outer, n, inner, dst, [](T a, T b) { return beats_max(a, b); });
  });
}

}  // namespace ds::cpu
