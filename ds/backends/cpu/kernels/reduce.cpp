// SPDX-License-Identifier: Apache-2.0
// Reductions along rows (inner == 1) and along columns, in pieces of fixed size whose partial
// results are merged in order.
#include "ds/backends/cpu/kernels/reduce.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/reduce.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ds/backends/cpu/kernels/reduce_state.h"
#include "ds/backends/cpu/kernels/row-inl.h"
#include "ds/base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Product of a row in f64.
HWY_INLINE double RowProduct(const float* x, size_t n) {
  double product = 1;
  size_t i = 0;
#if HWY_HAVE_FLOAT64
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> half;
  const size_t lanes = hn::Lanes(dd);
  auto p0 = hn::Set(dd, 1.0), p1 = p0, p2 = p0, p3 = p0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    p0 = hn::Mul(p0, hn::PromoteTo(dd, hn::LoadU(half, x + i)));
    p1 = hn::Mul(p1, hn::PromoteTo(dd, hn::LoadU(half, x + i + lanes)));
    p2 = hn::Mul(p2, hn::PromoteTo(dd, hn::LoadU(half, x + i + 2 * lanes)));
    p3 = hn::Mul(p3, hn::PromoteTo(dd, hn::LoadU(half, x + i + 3 * lanes)));
  }
  double all[kMaxLanes];
  hn::StoreU(hn::Mul(hn::Mul(p0, p1), hn::Mul(p2, p3)), dd, all);
  for (size_t k = 0; k < lanes; ++k) product *= all[k];
#endif
  for (; i < n; ++i) product *= x[i];
  return product;
}

/// An element is zero, or is not zero.
HWY_INLINE bool HasElement(const float* x, size_t n, bool zero) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const MF zeros = hn::Eq(LoadVec(x + i), hn::Zero(DF()));
    if (zero ? !hn::AllFalse(DF(), zeros) : !hn::AllTrue(DF(), zeros)) return true;
  }
  for (; i < n; ++i)
    if ((x[i] == 0) == zero) return true;
  return false;
}

/// Adds at most kReduceBlock elements of a row to its state.
HWY_INLINE void AddBlock(Reduction op, const float* x, size_t n, float shift, ReduceState& state) {
  switch (op) {
    case Reduction::sum: state.a += BlockSum(x, n); break;
    case Reduction::sum_squares: state.a += BlockSumSquares(x, n); break;
    case Reduction::centered: {
      float centered[kReduceBlock];
      const VF s = hn::Set(DF(), shift);
      MapRow(x, centered, n, [s](VF v) HWY_ATTR { return hn::Sub(v, s); });
      state.a += BlockSum(centered, n);
      state.b += BlockSumSquares(centered, n);
      break;
    }
    case Reduction::prod: state.a *= RowProduct(x, n); break;
    case Reduction::max: merge(op, {RowMax(x, n), 0}, state); break;
    case Reduction::min: merge(op, {RowMin(x, n), 0}, state); break;
    case Reduction::any: merge(op, {double(HasElement(x, n, false)), 0}, state); break;
    case Reduction::all: merge(op, {double(!HasElement(x, n, true)), 0}, state); break;
    case Reduction::logsumexp: {
      const float max = RowMax(x, n);
      // All -inf adds nothing; +inf and NaN are the result whatever the sum.
      const bool finite = std::abs(max) <= 3.4028235e38f;
      merge(op, {max, finite ? BlockSumExp(x, n, max) : max < 0 ? 0.0 : 1.0}, state);
      break;
    }
  }
}

/// Sum of at most kReduceBlock bf16, added as they are loaded: by way of a buffer of f32 it takes
/// twice the time.
HWY_INLINE double BlockSumBf16(const bf16* x, size_t n) {
  const size_t lanes = hn::Lanes(DF());
  VF a0 = hn::Zero(DF()), a1 = a0, a2 = a0, a3 = a0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a0 = hn::Add(a0, LoadVec(x + i));
    a1 = hn::Add(a1, LoadVec(x + i + lanes));
    a2 = hn::Add(a2, LoadVec(x + i + 2 * lanes));
    a3 = hn::Add(a3, LoadVec(x + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) a0 = hn::Add(a0, LoadVec(x + i));
  if (i < n) a1 = hn::Add(a1, LoadPart(x + i, n - i));
  return SumLanes(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)));
}

/// Adds n elements of a row to its state.
void ReduceRow(Reduction op, DType dtype, const void* src, int64_t offset, int64_t n, float shift,
               ReduceState& state) {
  float buffer[kReduceBlock];
  for (int64_t i = 0; i < n; i += kReduceBlock) {
    const size_t len = static_cast<size_t>(std::min<int64_t>(kReduceBlock, n - i));
    if (op == Reduction::sum && dtype == DType::bf16) {
      state.a += BlockSumBf16(static_cast<const bf16*>(src) + offset + i, len);
      continue;
    }
    AddBlock(op, AsFloats(dtype, src, offset + i, len, buffer), len, shift, state);
  }
}

/// Accumulators of up to kReduceBlock neighbouring columns.
struct Columns {
  float acc[kReduceBlock], square[kReduceBlock], max[kReduceBlock], buffer[kReduceBlock];
  double wide[kReduceBlock], wide_square[kReduceBlock];  // of the sums; products
};

/// wide[i] *= x[i].
HWY_INLINE void MulWide(const float* x, double* wide, size_t n) {
  size_t i = 0;
#if HWY_HAVE_FLOAT64
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> half;
  const size_t lanes = hn::Lanes(dd);
  for (; i + lanes <= n; i += lanes) {
    const auto factor = hn::PromoteTo(dd, hn::LoadU(half, x + i));
    hn::StoreU(hn::Mul(hn::LoadU(dd, wide + i), factor), dd, wide + i);
  }
#endif
  for (; i < n; ++i) wide[i] *= x[i];
}

HWY_INLINE void AddRow(Reduction op, const float* x, const float* shift, size_t n, Columns& c) {
  switch (op) {
    case Reduction::sum:
      MapRow(c.acc, x, c.acc, n, [](VF a, VF v) HWY_ATTR { return hn::Add(a, v); });
      break;
    case Reduction::sum_squares:
      MapRow(c.acc, x, c.acc, n, [](VF a, VF v) HWY_ATTR { return hn::MulAdd(v, v, a); });
      break;
    case Reduction::centered:
      ForVec(n, [&](auto at) HWY_ATTR {
        const VF e = hn::Sub(at.Load(x), at.Load(shift));
        at.Store(hn::Add(at.Load(c.acc), e), c.acc);
        at.Store(hn::MulAdd(e, e, at.Load(c.square)), c.square);
      });
      break;
    case Reduction::max:
      MapRow(c.acc, x, c.acc, n, [](VF a, VF v) HWY_ATTR { return Maximum(a, v); });
      break;
    case Reduction::min:
      MapRow(c.acc, x, c.acc, n, [](VF a, VF v) HWY_ATTR { return Minimum(a, v); });
      break;
    case Reduction::logsumexp:
      MapRow(c.acc, x, c.max, c.acc, n,
             [](VF a, VF v, VF m) HWY_ATTR { return hn::Add(a, Exp(hn::Sub(v, m))); });
      break;
    case Reduction::prod: MulWide(x, c.wide, n); break;
    case Reduction::any:
      MapRow(c.acc, x, c.acc, n, [](VF a, VF v) HWY_ATTR {
        return hn::IfThenElse(hn::Eq(v, hn::Zero(DF())), a, hn::Set(DF(), 1.0f));
      });
      break;
    case Reduction::all:
      MapRow(c.acc, x, c.acc, n,
             [](VF a, VF v) HWY_ATTR { return hn::IfThenZeroElse(hn::Eq(v, hn::Zero(DF())), a); });
      break;
  }
}

/// Four rows at a time, for sums and extremes: the accumulators are read and written once for all
/// of them. The next four are asked for ahead, because the processor sees four short streams, not
/// one long one.
template <class T>
HWY_INLINE void AddFourRows(Reduction op, const T* x, int64_t step, const float* shift, size_t n,
                            Columns& c) {
  const T *x1 = x + step, *x2 = x1 + step, *x3 = x2 + step;
  float* const acc = c.acc;
  const auto prefetch = [=](auto at) HWY_ATTR {
    for (int64_t row = 4; row < 8; ++row) hwy::Prefetch(x + row * step + at.i);
  };
  if (op == Reduction::sum) {
    ForVec(n, [=](auto at) HWY_ATTR {
      prefetch(at);
      const VF low = hn::Add(at.Load(x), at.Load(x1)), high = hn::Add(at.Load(x2), at.Load(x3));
      at.Store(hn::Add(at.Load(acc), hn::Add(low, high)), acc);
    });
    return;
  }
  if (op == Reduction::max || op == Reduction::min) {
    const auto run = [=](auto extreme) HWY_ATTR {
      ForVec(n, [=](auto at) HWY_ATTR {
        prefetch(at);
        const VF low = extreme(at.Load(x), at.Load(x1)), high = extreme(at.Load(x2), at.Load(x3));
        at.Store(extreme(at.Load(acc), extreme(low, high)), acc);
      });
    };
    if (op == Reduction::max)
      run([](VF a, VF b) HWY_ATTR { return Maximum(a, b); });
    else
      run([](VF a, VF b) HWY_ATTR { return Minimum(a, b); });
    return;
  }
  AddFourProducts(n, acc, c.square, [=](auto at, int64_t row, VF& u, VF& v) HWY_ATTR {
    hwy::Prefetch(x + (row + 4) * step + at.i);
    u = v = hn::Sub(at.Load(x + row * step), at.Load(shift));
  });
}

/// As many of the rows [i, end) as can be taken four at a time; the row after them.
template <class T>
HWY_INLINE int64_t AddByFours(Reduction op, const void* src, int64_t offset, int64_t i, int64_t end,
                              int64_t step, const float* shift, size_t n, Columns& c) {
  for (; i + 4 <= end; i += 4)
    AddFourRows(op, static_cast<const T*>(src) + offset + i * step, step, shift, n, c);
  return i;
}

HWY_INLINE bool IsSum(Reduction op) {
  return op == Reduction::sum || op == Reduction::sum_squares || op == Reduction::centered;
}

/// Moves the f32 accumulators into f64 and clears them.
HWY_INLINE void Flush(Reduction op, size_t n, Columns& c, ReduceState* states) {
  if (IsSum(op)) {
    AddWide(c.acc, c.wide, n);
    if (op == Reduction::centered) AddWide(c.square, c.wide_square, n);
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    if (op == Reduction::logsumexp) {
      // -inf and +inf and NaN maxima are results by themselves.
      const bool finite = std::abs(c.max[i]) <= 3.4028235e38f;
      merge(op, {c.max[i], finite ? c.acc[i] : c.max[i] < 0 ? 0.0 : 1.0}, states[i]);
    } else {
      merge(op, {c.acc[i], 0}, states[i]);
    }
    c.acc[i] = 0;
  }
}

/// States of `cols` (<= kReduceBlock) columns over `rows` rows that are `step` elements apart.
void ReduceColumns(Reduction op, DType dtype, const void* src, int64_t offset, int64_t rows,
                   int64_t step, size_t cols, const float* shift, ReduceState* states) {
  Columns c;
  const bool whole = op == Reduction::max || op == Reduction::min || op == Reduction::any ||
                     op == Reduction::all || op == Reduction::prod;
  const bool sums = IsSum(op) || op == Reduction::logsumexp;
  std::fill_n(c.acc, cols, sums ? 0.0f : static_cast<float>(reduce_start(op).a));
  std::fill_n(c.square, cols, 0.0f);
  std::fill_n(c.wide, cols, op == Reduction::prod ? 1.0 : 0.0);
  std::fill_n(c.wide_square, cols, 0.0);
  // Short f32 runs keep the error small; a logsumexp piece needs its maximum before its sum.
  const int64_t run = whole ? rows : 32;
  for (int64_t r = 0; r < rows; r += run) {
    const int64_t end = std::min(rows, r + run);
    if (op == Reduction::logsumexp) {
      std::fill_n(c.max, cols, -HUGE_VALF);
      for (int64_t i = r; i < end; ++i) {
        MapRow(c.max, AsFloats(dtype, src, offset + i * step, cols, c.buffer), c.max, cols,
               [](VF a, VF v) HWY_ATTR { return Maximum(a, v); });
      }
    }
    int64_t i = r;
    if (op == Reduction::sum || op == Reduction::centered || op == Reduction::max ||
        op == Reduction::min) {
      if (dtype == DType::f32)
        i = AddByFours<float>(op, src, offset, i, end, step, shift, cols, c);
      else if (dtype == DType::bf16)
        i = AddByFours<bf16>(op, src, offset, i, end, step, shift, cols, c);
    }
    for (; i < end; ++i) {
      AddRow(op, AsFloats(dtype, src, offset + i * step, cols, c.buffer), shift, cols, c);
    }
    if (op != Reduction::prod) Flush(op, cols, c, states);
  }
  if (op == Reduction::prod)
    for (size_t i = 0; i < cols; ++i) states[i].a *= c.wide[i];
  for (size_t i = 0; i < cols && IsSum(op); ++i) {
    states[i].a += c.wide[i];
    states[i].b += c.wide_square[i];
  }
}

/// to[i] = to[i] (+) from[i]. Sums and extremes merge as the pairs of f64 that they lie as: one by
/// one they take as long as the reading of 16 rows.
void MergeStates(Reduction op, const ReduceState* from, size_t n, ReduceState* to) {
  size_t i = 0;
#if HWY_HAVE_FLOAT64
  static_assert(sizeof(ReduceState) == 2 * sizeof(double));
  const hn::ScalableTag<double> dd;
  const auto run = [&](auto combine) HWY_ATTR {
    const size_t lanes = hn::Lanes(dd);
    for (; lanes > 1 && i + lanes / 2 <= n; i += lanes / 2) {
      double* const at = &to[i].a;
      hn::StoreU(combine(hn::LoadU(dd, at), hn::LoadU(dd, &from[i].a)), dd, at);
    }
  };
  // NaN wins.
  if (IsSum(op)) {
    run([](auto a, auto b) HWY_ATTR { return hn::Add(a, b); });
  } else if (op == Reduction::max) {
    run([](auto a, auto b)
            HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Gt(b, a), hn::IsNaN(b)), b, a); });
  } else if (op == Reduction::min) {
    run([](auto a, auto b)
            HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Lt(b, a), hn::IsNaN(b)), b, a); });
  }
#endif
  for (; i < n; ++i) merge(op, from[i], to[i]);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(ReduceRow);
HWY_EXPORT(ReduceColumns);
HWY_EXPORT(MergeStates);

namespace {

/// `count` states that the calling thread keeps: new memory of this size comes as new pages each
/// time, whose first touch takes as long as the reduction of a few MiB. Not while others are in
/// use.
ReduceState* kept_states(int64_t count) {
  thread_local std::vector<ReduceState> kept;
  if (static_cast<int64_t>(kept.size()) < count) kept.resize(static_cast<size_t>(count));
  return kept.data();
}

/// A reduction of [outer, n, inner]; shift [outer, inner] is for Reduction::centered.
struct View {
  Reduction op;
  DType dtype;
  const void* src;
  int64_t outer, n, inner;
  const float* shift;

  float shift_at(int64_t i) const { return shift ? shift[i] : 0; }
};

// Pieces a reduction is cut into when its outer dimensions alone give too little to share. A fixed
// number, not the number of threads: results must not depend on that.
constexpr int64_t kPieces = 64;

/// finish(i, state) for each output i.
template <class Finish>
void reduce_rows(const View& view, Finish finish) {
  const auto row = HWY_DYNAMIC_DISPATCH(ReduceRow);
  // At least 16 blocks to a piece.
  const int64_t pieces = std::clamp<int64_t>(
      std::min(kPieces / std::max<int64_t>(view.outer, 1), view.n / (16 * kReduceBlock)), 1,
      kPieces);
  if (pieces == 1) {
    const int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(view.n, 16));
    parallel_for(view.outer, grain, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        ReduceState state = reduce_start(view.op);
        row(view.op, view.dtype, view.src, o * view.n, view.n, view.shift_at(o), state);
        finish(o, state);
      }
    });
    return;
  }
  std::vector<ReduceState> states(view.outer * pieces, reduce_start(view.op));
  parallel_for(view.outer * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t o = p / pieces, first = view.n * (p % pieces) / pieces,
                    last = view.n * (p % pieces + 1) / pieces;
      row(view.op, view.dtype, view.src, o * view.n + first, last - first, view.shift_at(o),
          states[p]);
    }
  });
  for (int64_t o = 0; o < view.outer; ++o) {
    ReduceState state = states[o * pieces];
    for (int64_t p = 1; p < pieces; ++p) merge(view.op, states[o * pieces + p], state);
    finish(o, state);
  }
}

/// Columns: `group` rows next to each other are taken as one long row where rows are short.
template <class Finish>
void reduce_columns(const View& view, Finish finish) {
  const auto columns = HWY_DYNAMIC_DISPATCH(ReduceColumns);
  const auto merge_states = HWY_DYNAMIC_DISPATCH(MergeStates);
  const int64_t group =
      std::clamp<int64_t>(kReduceBlock / 2 / view.inner, 1, std::max<int64_t>(view.n, 1));
  const int64_t width = group * view.inner;
  const int64_t long_rows = view.n / group;
  const int64_t blocks = group > 1 ? 1 : (view.inner + kReduceBlock - 1) / kReduceBlock;
  const int64_t units = view.outer * blocks;
  const int64_t pieces = std::clamp<int64_t>(
      std::min(kPieces / std::max<int64_t>(units, 1), long_rows / 128), 1, kPieces);
  const int64_t span = std::min<int64_t>(width, kReduceBlock);
  ReduceState* const states = pieces > 1 ? kept_states(units * pieces * span) : nullptr;
  // Computes the states of one piece; for the last one with the rows that fill no group.
  const auto compute = [&](int64_t unit, int64_t piece, ReduceState* out) {
    const int64_t o = unit / blocks, col = unit % blocks * kReduceBlock;
    const int64_t cols = std::min(width - col, span);
    const int64_t base = o * view.n * view.inner + col;
    const int64_t first = long_rows * piece / pieces, last = long_rows * (piece + 1) / pieces;
    float shift[kReduceBlock] = {};
    if (view.shift) {
      const int64_t each = std::min(cols, view.inner);  // a group repeats them
      for (int64_t i = 0; i < cols; i += each)
        std::copy_n(view.shift + o * view.inner + col, each, shift + i);
    }
    std::fill_n(out, span, reduce_start(view.op));
    columns(view.op, view.dtype, view.src, base + first * width, last - first, width,
            static_cast<size_t>(cols), shift, out);
    const int64_t rest = view.n - long_rows * group;
    if (rest > 0 && piece == pieces - 1) {
      columns(view.op, view.dtype, view.src, base + long_rows * width, rest, view.inner,
              static_cast<size_t>(view.inner), shift, out);
    }
  };
  const auto emit = [&](int64_t unit, ReduceState* merged) {
    const int64_t o = unit / blocks, col = unit % blocks * kReduceBlock;
    const int64_t cols = std::min(view.inner - col, span);
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t g = 1; g < group; ++g) merge(view.op, merged[g * view.inner + i], merged[i]);
      finish(o * view.inner + col + i, merged[i]);
    }
  };
  const int64_t work = std::max<int64_t>(1, view.n * std::min(view.inner, kReduceBlock) / pieces);
  parallel_for(units * pieces, std::max<int64_t>(1, 32768 / work), [&](int64_t begin, int64_t end) {
    ReduceState local[kReduceBlock];
    for (int64_t p = begin; p < end; ++p) {
      ReduceState* out = pieces > 1 ? states + p * span : local;
      compute(p / pieces, p % pieces, out);
      if (pieces == 1) emit(p, out);
    }
  });
  if (pieces == 1) return;
  for (int64_t unit = 0; unit < units; ++unit) {
    ReduceState* merged = states + unit * pieces * span;
    for (int64_t p = 1; p < pieces; ++p)
      merge_states(view.op, merged + p * span, static_cast<size_t>(span), merged);
    emit(unit, merged);
  }
}

template <class Finish>
void reduce_view(const View& view, Finish finish) {
  if (view.outer <= 0 || view.inner <= 0) return;
  if (view.inner == 1) {
    reduce_rows(view, finish);
  } else {
    reduce_columns(view, finish);
  }
}

Reduction reduction_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::mean: return Reduction::sum;
    case ReduceOp::prod: return Reduction::prod;
    case ReduceOp::max: return Reduction::max;
    case ReduceOp::min: return Reduction::min;
    case ReduceOp::any: return Reduction::any;
    case ReduceOp::all: return Reduction::all;
    case ReduceOp::sum_squares: return Reduction::sum_squares;
    case ReduceOp::logsumexp: break;
  }
  return Reduction::logsumexp;
}

}  // namespace

void reduce(ReduceOp op, DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
            DType dst_dtype, void* dst) {
  const View view{reduction_of(op), src_dtype, src, outer, n, inner, nullptr};
  char* out = static_cast<char*>(dst);
  const int64_t size = static_cast<int64_t>(dtype_size(dst_dtype));
  reduce_view(view, [&](int64_t i, const ReduceState& state) {
    double value = state.a;
    if (op == ReduceOp::mean) value /= static_cast<double>(n);
    if (op == ReduceOp::logsumexp && state.b != 0) value += std::log(state.b);
    const float rounded = static_cast<float>(value);
    if (dst_dtype == DType::f32) {
      reinterpret_cast<float*>(out)[i] = rounded;
    } else {
      tile_store(dst_dtype, &rounded, out + i * size, 1, 1);
    }
  });
}

void reduce_mean_var(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                     double correction, float* mean, float* var) {
  reduce(ReduceOp::mean, src_dtype, src, outer, n, inner, DType::f32, mean);
  const View view{Reduction::centered, src_dtype, src, outer, n, inner, mean};
  const double count = static_cast<double>(n);
  reduce_view(view, [&](int64_t i, const ReduceState& state) {
    const double squares = std::max(0.0, state.b - state.a * state.a / count);
    // max would hide a NaN.
    var[i] = static_cast<float>((state.b != state.b ? state.b : squares) /
                                std::max(0.0, count - correction));
  });
}

void reduce_moments(DType src_dtype, const void* src, int64_t outer, int64_t n, int64_t inner,
                    const float* shift, double* sum, double* squares) {
  const View view{Reduction::centered, src_dtype, src, outer, n, inner, shift};
  reduce_view(view, [&](int64_t i, const ReduceState& state) {
    sum[i] = state.a;
    squares[i] = state.b;
  });
}

}  // namespace ds::cpu
#endif
