// SPDX-License-Identifier: Apache-2.0
// Reductions of integers, bool and f64 in their own type: plain loops, which the compiler
// vectorises for every target.
#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/typed_reduce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/backends/cpu/kernels/typed.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t kColumns = 64;     // accumulators that are kept at once
constexpr int64_t kLaneBytes = 256;  // of a row's accumulators: they fit the registers
constexpr int64_t kPiece = 1 << 16;  // elements of one row that a thread takes at least
constexpr int64_t kGrain = 16384;

/// Elements side by side go to different accumulators, so that the loop vectorises.
template <class T, class Combine>
T reduce_row(const T* src, int64_t n, T first, Combine combine) {
  constexpr auto kLanes = kLaneBytes / static_cast<int64_t>(sizeof(T));
  if (n < kLanes) {
    for (int64_t i = 0; i < n; ++i) first = combine(first, src[i]);
    return first;
  }
  T lanes[kLanes];
  std::fill_n(lanes, kLanes, first);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t c = 0; c < kLanes; ++c) lanes[c] = combine(lanes[c], src[i + c]);
  for (; i < n; ++i) lanes[0] = combine(lanes[0], src[i]);
  T all = first;
  for (const T lane : lanes) all = combine(all, lane);
  return all;
}

/// A long row by itself, in pieces whose number does not depend on the threads.
template <class T, class Combine>
T reduce_long_row(const T* src, int64_t n, T first, Combine combine) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  const auto parts = std::make_unique<T[]>(static_cast<size_t>(pieces));
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      parts[i] = reduce_row(src + i * kPiece, std::min(kPiece, n - i * kPiece), first, combine);
  });
  T all = first;
  for (int64_t i = 0; i < pieces; ++i) all = combine(all, parts[i]);
  return all;
}

/// finish(i, combine over n), starting from `first`, which the result of no elements is.
template <class T, class Combine, class Finish>
void reduce_with(const T* src, int64_t outer, int64_t n, int64_t inner, T first, Combine combine,
                 Finish finish) {
  if (outer * inner == 1) return finish(0, reduce_long_row(src, n, first, combine));
  if (n == 1) {
    parallel_for(outer * inner, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) finish(i, combine(first, src[i]));
    });
    return;
  }
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t work = std::max<int64_t>(1, n * std::min(inner, kColumns));
  parallel_for(
      outer * blocks, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
        for (int64_t item = begin; item < end; ++item) {
          const int64_t column = item % blocks * kColumns, m = std::min(kColumns, inner - column);
          const T* from = src + item / blocks * n * inner + column;
          const int64_t to = item / blocks * inner + column;
          if (inner == 1) {
            finish(to, reduce_row(from, n, first, combine));
            continue;
          }
          T sums[kColumns];
          std::fill_n(sums, kColumns, first);
          for (int64_t i = 0; i < n; ++i)
            for (int64_t c = 0; c < m; ++c) sums[c] = combine(sums[c], from[i * inner + c]);
          for (int64_t c = 0; c < m; ++c) finish(to + c, sums[c]);
        }
      });
}

template <class T>
void reduce_typed(Op op, const T* src, int64_t outer, int64_t n, int64_t inner, void* dst) {
  T* to = static_cast<T*>(dst);
  auto* truth = static_cast<bool*>(dst);
  const auto run = [&](T first, auto combine) {
    reduce_with(src, outer, n, inner, first, combine, [=](int64_t i, T value) { to[i] = value; });
  };
  // Truth is kept as numbers of the type, so that these loops vectorise too.
  const auto decide = [&](T first, auto combine) {
    reduce_with(src, outer, n, inner, first, combine,
                [=](int64_t i, T value) { truth[i] = value != 0; });
  };
  switch (op) {
    case Op::sum_: return run(T{0}, [](T a, T b) { return plus(a, b); });
    case Op::prod_: return run(T{1}, [](T a, T b) { return times(a, b); });
    case Op::any_: return decide(T{0}, [](T a, T b) { return b != 0 ? T{1} : a; });
    case Op::all_: return decide(T{1}, [](T a, T b) { return b != 0 ? a : T{0}; });
    case Op::amax_:
    case Op::amin_: break;
    default: {
      if constexpr (std::is_same_v<T, double>)
        reduce_with(
            src, outer, n, inner, 0.0, [](double a, double b) { return a + b; },
            [=](int64_t i, double sum) { to[i] = sum / static_cast<double>(n); });
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

/// Where the extreme value is first: that value is found by a loop that vectorises.
template <class T, class Beats>
void arg_typed(const T* src, int64_t outer, int64_t n, int64_t inner, int64_t* dst, Beats beats) {
  parallel_for(outer * inner, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane) {
      const T* from = src + lane / inner * n * inner + lane % inner;
      int64_t best = 0;
      if (inner == 1) {
        const T value =
            reduce_row(from, n, *from, [beats](T a, T b) { return beats(b, a) ? b : a; });
        while (!(from[best] == value || (is_nan(value) && is_nan(from[best])))) ++best;
      } else {
        for (int64_t i = 1; i < n; ++i)
          if (beats(from[i * inner], from[best * inner])) best = i;
      }
      dst[lane] = best;
    }
  });
}

void TypedReduce(Op op, DType dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                 void* dst) {
  dispatch_number(dtype, [&](auto tag) {
    using T = decltype(tag);
    // Bytes other than 0 and 1 are no bool for the compiler.
    using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;
    if constexpr (!std::is_same_v<T, float>) {
      const bool truth = std::is_same_v<T, bool>;
      const Op as_byte = !truth                               ? op
                         : op == Op::sum_ || op == Op::amax_  ? Op::any_
                         : op == Op::prod_ || op == Op::amin_ ? Op::all_
                                                              : op;
      reduce_typed(as_byte, static_cast<const Stored*>(src), outer, n, inner, dst);
    }
  });
}

void TypedArgReduce(bool min, DType dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                    int64_t* dst) {
  dispatch_number(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* from = static_cast<const T*>(src);
    if (min)
      arg_typed(from, outer, n, inner, dst, [](T a, T b) { return beats_min(a, b); });
    else
      arg_typed(from, outer, n, inner, dst, [](T a, T b) { return beats_max(a, b); });
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(TypedReduce);
HWY_EXPORT(TypedArgReduce);

bool has_typed_reduce(Op op, DType dtype) {
  if (is_half(dtype) || dtype == DType::f32) return false;
  return op != Op::mean_ || dtype == DType::f64;
}

void typed_reduce(Op op, DType dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                  void* dst) {
  HWY_DYNAMIC_DISPATCH(TypedReduce)(op, dtype, src, outer, n, inner, dst);
}

void typed_arg_reduce(bool min, DType dtype, const void* src, int64_t outer, int64_t n,
                      int64_t inner, int64_t* dst) {
  HWY_DYNAMIC_DISPATCH(TypedArgReduce)(min, dtype, src, outer, n, inner, dst);
}

}  // namespace ds::cpu
#endif
