// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/recurrent.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/recurrent.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <vector>

#include "ds/backends/cpu/kernels/dispatch.h"
#include "ds/backends/cpu/kernels/product-inl.h"
#include "ds/base/parallel.h"

#ifndef DS_CPU_KERNELS_RECURRENT_CONSTANTS_
#define DS_CPU_KERNELS_RECURRENT_CONSTANTS_
namespace ds::cpu {
namespace {

constexpr size_t kWidestStrip = 32;  // of a product
// Rows that go through a step together: what they need of gates stays in the second-level cache.
constexpr int64_t kRowsTogether = 24;
// Lanes of a product's depth: so much of a strip stays in the first-level cache.
constexpr size_t kDepth = 256;

size_t padded(size_t columns) { return (columns + kWidestStrip - 1) / kWidestStrip * kWidestStrip; }
size_t size(int64_t n) { return static_cast<size_t>(n); }

/// Rows [begin, end) of the batch, and the step that is i-th from the start.
struct RecurrentPart {
  RecurrentShape shape;
  int64_t begin, end;
  bool shared;  // all rows, and every product by all threads
  int64_t time(int64_t i) const { return shape.reverse ? shape.steps - 1 - i : i; }

  /// visit(t, before, n, rows) for the i-th step's rows, a few at a time: those of a call all come
  /// from step `before`, or from the initial state when that is negative.
  template <class Visit>
  void each_block(int64_t i, Visit visit) const {
    const int64_t t = time(i), last = std::min(end, shape.rows_at(t));
    const int64_t begun = i > 0 ? std::min(last, shape.rows_at(time(i - 1))) : 0;
    for (int64_t n = begin; n < last;) {
      const int64_t rows = std::min(kRowsTogether, (n < begun ? begun : last) - n);
      visit(t, n < begun ? time(i - 1) : -1, n, rows);
      n += rows;
    }
  }
};

/// One matrix of those that a step multiplies with: [depth, columns] in strips.
struct PackedMatrix {
  size_t depth, columns;
  bool turned;           // the weight is [columns, depth]
  size_t source, begin;  // where it begins in the weight, and where its strips do
  const float* strips = nullptr;
};

/// The matrices that a weight is packed as, which may lie at `packed`.
std::vector<PackedMatrix> matrices(const RecurrentShape& s, RecurrentWeight which,
                                   const float* packed = nullptr) {
  const size_t hidden = size(s.hidden), out = size(s.out);
  const size_t gates = size(gate_count(s.kind)) * hidden;
  std::vector<PackedMatrix> all;
  switch (which) {
    case RecurrentWeight::weight: all = {{out, gates, true, 0, 0}}; break;
    case RecurrentWeight::projection: all = {{hidden, out, true, 0, 0}}; break;
    case RecurrentWeight::projection_back: all = {{out, hidden, false, 0, 0}}; break;
    case RecurrentWeight::weight_back:
      all = {{gates, out, false, 0, 0}};
      if (s.kind != CellKind::gru) break;
      // The gradients of the gates lie apart: those of r and z, that of the state's part of n.
      all[0].depth = 2 * hidden;
      all.push_back({hidden, out, false, 2 * hidden * out, 2 * hidden * padded(out)});
  }
  for (PackedMatrix& matrix : all)
    if (packed) matrix.strips = packed + matrix.begin;
  return all;
}

}  // namespace
}  // namespace ds::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// Lanes of `depth` elements along a contraction.
template <class Dot>
size_t Depth(size_t depth) {
  return (depth + Dot::kPacked - 1) / Dot::kPacked;
}

/// Strips [first, last) of a matrix: [lanes of depth][kStrip] each, 0 in columns that are missing.
template <class Dot>
void PackStrips(const PackedMatrix& m, const float* weight, float* space, size_t first,
                size_t last) {
  const float* source = weight + m.source;
  std::vector<float> turned(Dot::kPacked > 1 ? m.depth * kStrip : 0);
  for (size_t s = first; s < last; ++s) {
    const size_t column = s * kStrip, columns = std::min(kStrip, m.columns - column);
    float* packed = space + m.begin + column * Depth<Dot>(m.depth);
    float* strip = Dot::kPacked > 1 ? turned.data() : packed;
    if (m.turned) {
      if (columns < kStrip) std::fill_n(strip, m.depth * kStrip, 0.0f);
      Transpose(source + column * m.depth, m.depth, columns, m.depth, strip, kStrip);
    } else {
      for (size_t k = 0; k < m.depth; ++k, strip += kStrip) {
        std::copy_n(source + k * m.columns + column, columns, strip);
        std::fill(strip + columns, strip + kStrip, 0.0f);
      }
    }
    if constexpr (Dot::kPacked > 1) PairStrip<Dot>(turned.data(), m.depth, packed);
  }
}

/// Rows as the left side of a product; `buffer` is for the lanes of those that do not lie so.
template <class Dot>
Left LanesOf(const float* rows, size_t stride, size_t count, size_t depth,
             std::vector<float>& buffer) {
  if constexpr (Dot::kPacked == 1) {
    return {rows, stride};
  } else {
    const size_t lanes = Depth<Dot>(depth);
    if (buffer.size() < count * lanes) buffer.resize(count * lanes);
    for (size_t r = 0; r < count; ++r)
      PairAlong<Dot>(rows + r * stride, depth, buffer.data() + r * lanes);
    return {buffer.data(), lanes};
  }
}

/// Running sums of one row by N strips: enough of them that none waits for the one before.
template <class Dot, size_t N>
struct RowSums {
  RowSums<Dot, N - 1> before;
  VF x0, x1;
  HWY_INLINE void Load(const float* c, bool add) {
    before.Load(c, add);
    x0 = add ? LoadVec(c + (N - 1) * kStrip) : hn::Zero(DF());
    x1 = add ? LoadVec(c + (N - 1) * kStrip + kMaxLanes) : hn::Zero(DF());
  }
  HWY_INLINE void Store(float* c) const {
    before.Store(c);
    StoreVec(x0, c + (N - 1) * kStrip);
    StoreVec(x1, c + (N - 1) * kStrip + kMaxLanes);
  }
  HWY_INLINE void MulAdd(VF left, const float* b, size_t strip) {
    before.MulAdd(left, b, strip);
    x0 = Dot::MulAdd(left, LoadVec(b + (N - 1) * strip), x0);
    x1 = Dot::MulAdd(left, LoadVec(b + (N - 1) * strip + kMaxLanes), x1);
  }
};
template <class Dot>
struct RowSums<Dot, 0> {
  HWY_INLINE void Load(const float*, bool) {}
  HWY_INLINE void Store(float*) const {}
  HWY_INLINE void MulAdd(VF, const float*, size_t) {}
};

constexpr size_t kStripsOfRow = 4;

/// dst (+)= row [depth] times kStripsOfRow strips, `strip` floats apart.
template <class Dot>
void RowProduct(size_t depth, const float* row, const float* right, size_t strip, float* dst,
                bool add) {
  RowSums<Dot, kStripsOfRow> sums;
  sums.Load(dst, add);
  for (size_t k = 0; k < depth; ++k, right += kStrip)
    sums.MulAdd(hn::Set(DF(), row[k]), right, strip);
  sums.Store(dst);
}

/// dst [rows, columns] (+)= lhs [rows, depth] times strips [first, last) of a packed matrix;
/// columns up to the end of the last strip are written.
template <class Dot>
void MultiplyStrips(size_t rows, Left lhs, const PackedMatrix& m, size_t first, size_t last,
                    float* dst, size_t dst_row, bool add) {
  const size_t depth = Depth<Dot>(m.depth), strip = depth * kStrip;
  for (; rows == 1 && first + kStripsOfRow <= last; first += kStripsOfRow)
    RowProduct<Dot>(depth, lhs.at, m.strips + first * strip, strip, dst + first * kStrip, add);
  for (size_t k = 0; k < depth; k += kDepth) {
    const size_t piece = std::min(kDepth, depth - k);
    for (size_t s = first; s < last; ++s)
      Product<false, Dot>(rows, piece, Left{lhs.at + k, lhs.stride},
                          Right{m.strips + s * strip + k * kStrip, kStrip}, dst + s * kStrip,
                          dst_row, add || k > 0);
  }
}

/// All columns, by all threads where they share every step.
template <class Dot>
void MultiplyPacked(bool shared, size_t rows, Left lhs, const PackedMatrix& m, float* dst,
                    size_t dst_row, bool add) {
  const size_t strips = (m.columns + kStrip - 1) / kStrip;
  if (!shared) return MultiplyStrips<Dot>(rows, lhs, m, 0, strips, dst, dst_row, add);
  parallel_for(static_cast<int64_t>(strips), static_cast<int64_t>(kStripsOfRow),
               [&](int64_t first, int64_t last) {
                 MultiplyStrips<Dot>(rows, lhs, m, size(first), size(last), dst, dst_row, add);
               });
}

/// run(r) for each of a few rows, by all threads where they share every step.
template <class Run>
void EachRow(bool shared, size_t rows, Run run) {
  const auto piece = [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) run(size(r));
  };
  if (!shared) return piece(0, static_cast<int64_t>(rows));
  parallel_for(static_cast<int64_t>(rows), 2, piece);
}

// --- forward -------------------------------------------------------------------------------------

/// One row of an lstm's step from its gates z [4H].
void ActivateLstm(size_t hidden, const float* z, const float* c_before, float* c, float* h,
                  float* activated) {
  ForVec(hidden, [&](auto at) HWY_ATTR {
    const VF in = Sigmoid(at.Load(z)), keep = Sigmoid(at.Load(z + hidden));
    const VF g = Tanh(at.Load(z + 2 * hidden)), out = Sigmoid(at.Load(z + 3 * hidden));
    const VF cell = hn::MulAdd(keep, at.Load(c_before), hn::Mul(in, g));
    at.Store(cell, c);
    at.Store(hn::Mul(out, Tanh(cell)), h);
    if (!activated) return;
    at.Store(in, activated);
    at.Store(keep, activated + hidden);
    at.Store(g, activated + 2 * hidden);
    at.Store(out, activated + 3 * hidden);
  });
}

/// Of a gru's: z [3H] are r and z of input and state, and the state's part of n; `input` that of
/// the input.
void ActivateGru(size_t hidden, const float* z, const float* input, const float* h_before,
                 float* part, float* h, float* activated) {
  ForVec(hidden, [&](auto at) HWY_ATTR {
    const VF reset = Sigmoid(at.Load(z)), update = Sigmoid(at.Load(z + hidden));
    const VF state = at.Load(z + 2 * hidden);
    const VF n = Tanh(hn::MulAdd(reset, state, at.Load(input)));
    at.Store(hn::MulAdd(update, hn::Sub(at.Load(h_before), n), n), h);
    if (part) at.Store(state, part);
    if (!activated) return;
    at.Store(reset, activated);
    at.Store(update, activated + hidden);
    at.Store(n, activated + 2 * hidden);
  });
}

void ActivateRnn(bool relu, size_t hidden, const float* z, float* h) {
  const VF zero = hn::Zero(DF());
  if (relu)
    ForVec(hidden, [&](auto at) HWY_ATTR {
      const VF x = at.Load(z);
      at.Store(hn::IfThenElse(hn::Lt(x, zero), zero, x), h);  // NaN stays
    });
  else
    ForVec(hidden, [&](auto at) HWY_ATTR { at.Store(Tanh(at.Load(z)), h); });
}

template <class Dot>
void ForwardOf(const RecurrentPart& part, const RecurrentForward& args,
               const std::vector<PackedMatrix>& packed) {
  const RecurrentShape& s = part.shape;
  const bool gru = s.kind == CellKind::gru;
  const size_t hidden = size(s.hidden), out = size(s.out), width = packed[0].columns;
  const size_t row = padded(width), most = size(std::min(kRowsTogether, part.end - part.begin));
  const size_t projected = s.projected ? padded(out) : 0;
  std::vector<float> z(most * row), m(s.projected ? most * hidden : 0), y(most * projected), lanes;
  for (int64_t i = 0; i < s.steps; ++i)
    part.each_block(i, [&](int64_t t, int64_t earlier, int64_t n, int64_t count) {
      const size_t rows = size(count);
      const float* before = earlier < 0 ? args.h0 + n * s.out : args.h.at(earlier, n);
      const size_t before_row = earlier < 0 ? out : size(args.h.row);
      for (size_t r = 0; r < rows; ++r) {
        const float* gates = args.gates.at(t, n + static_cast<int64_t>(r));
        std::copy_n(gates, gru ? 2 * hidden : width, &z[r * row]);
        if (gru) std::copy_n(args.bias, hidden, &z[r * row + 2 * hidden]);
      }
      MultiplyPacked<Dot>(part.shared, rows, LanesOf<Dot>(before, before_row, rows, out, lanes),
                          packed[0], z.data(), row, true);
      EachRow(part.shared, rows, [&](size_t r) {
        const int64_t at = n + static_cast<int64_t>(r);
        const float* gates = &z[r * row];
        float* h = s.projected ? &m[r * hidden] : args.h.at(t, at);
        float* c = args.c.data ? args.c.at(t, at) : nullptr;
        float* activated = args.activated.data ? args.activated.at(t, at) : nullptr;
        if (s.kind == CellKind::lstm)
          ActivateLstm(hidden, gates,
                       earlier < 0 ? args.c0 + at * s.hidden : args.c.at(earlier, at), c, h,
                       activated);
        else if (gru)
          ActivateGru(hidden, gates, args.gates.at(t, at) + 2 * hidden, before + r * before_row, c,
                      h, activated);
        else
          ActivateRnn(s.kind == CellKind::rnn_relu, hidden, gates, h);
      });
      if (!s.projected) return;
      MultiplyPacked<Dot>(part.shared, rows, LanesOf<Dot>(m.data(), hidden, rows, hidden, lanes),
                          packed[1], y.data(), projected, false);
      for (size_t r = 0; r < rows; ++r)
        std::copy_n(&y[r * projected], out, args.h.at(t, n + static_cast<int64_t>(r)));
    });
}

// --- back through time ---------------------------------------------------------------------------

/// One row of a step backwards from the gradient of h: dc, what comes from the step behind, becomes
/// what goes to the step before.
void BackwardLstm(size_t hidden, const float* grad_h, const float* diff_c, const float* activated,
                  const float* c, const float* c_before, float* dc, float* dz) {
  const VF one = hn::Set(DF(), 1.0f);
  ForVec(hidden, [&](auto at) HWY_ATTR {
    const VF in = at.Load(activated), keep = at.Load(activated + hidden);
    const VF g = at.Load(activated + 2 * hidden), out = at.Load(activated + 3 * hidden);
    const VF tanh_c = Tanh(at.Load(c)), grad = at.Load(grad_h);
    VF cell = hn::MulAdd(hn::Mul(grad, out), hn::NegMulAdd(tanh_c, tanh_c, one), at.Load(dc));
    if (diff_c) cell = hn::Add(cell, at.Load(diff_c));
    at.Store(hn::Mul(hn::Mul(cell, g), hn::Mul(in, hn::Sub(one, in))), dz);
    at.Store(hn::Mul(hn::Mul(cell, at.Load(c_before)), hn::Mul(keep, hn::Sub(one, keep))),
             dz + hidden);
    at.Store(hn::Mul(hn::Mul(cell, in), hn::NegMulAdd(g, g, one)), dz + 2 * hidden);
    at.Store(hn::Mul(hn::Mul(grad, tanh_c), hn::Mul(out, hn::Sub(one, out))), dz + 3 * hidden);
    at.Store(hn::Mul(cell, keep), dc);
  });
}

/// `part` is the state's part of n, `dpart` its gradient; `direct` what goes to the step before
/// without the weight.
void BackwardGru(size_t hidden, const float* grad_h, const float* activated, const float* part,
                 const float* h_before, float* dz, float* dpart, float* direct) {
  const VF one = hn::Set(DF(), 1.0f);
  ForVec(hidden, [&](auto at) HWY_ATTR {
    const VF reset = at.Load(activated), update = at.Load(activated + hidden);
    const VF n = at.Load(activated + 2 * hidden), grad = at.Load(grad_h);
    const VF dn = hn::Mul(hn::Mul(grad, hn::Sub(one, update)), hn::NegMulAdd(n, n, one));
    const VF du = hn::Mul(grad, hn::Sub(at.Load(h_before), n));
    at.Store(hn::Mul(hn::Mul(dn, at.Load(part)), hn::Mul(reset, hn::Sub(one, reset))), dz);
    at.Store(hn::Mul(du, hn::Mul(update, hn::Sub(one, update))), dz + hidden);
    at.Store(dn, dz + 2 * hidden);
    at.Store(hn::Mul(dn, reset), dpart);
    at.Store(hn::Mul(grad, update), direct);
  });
}

void BackwardRnn(bool relu, size_t hidden, const float* grad_h, const float* h, float* dz) {
  const VF one = hn::Set(DF(), 1.0f), zero = hn::Zero(DF());
  ForVec(hidden, [&](auto at) HWY_ATTR {
    const VF y = at.Load(h), grad = at.Load(grad_h);
    at.Store(
        relu ? hn::IfThenElseZero(hn::Gt(y, zero), grad) : hn::Mul(grad, hn::NegMulAdd(y, y, one)),
        dz);
  });
}

void AddRows(size_t n, const float* x, const float* y, float* sum) {
  ForVec(n, [&](auto at) HWY_ATTR { at.Store(hn::Add(at.Load(x), at.Load(y)), sum); });
}

template <class Dot>
void BackwardOf(const RecurrentPart& part, const RecurrentBackward& args,
                const std::vector<PackedMatrix>& packed) {
  const RecurrentShape& s = part.shape;
  const bool gru = s.kind == CellKind::gru, lstm = s.kind == CellKind::lstm;
  const size_t hidden = size(s.hidden), out = size(s.out), all = size(part.end - part.begin);
  const size_t row = padded(out), wide = padded(std::max(hidden, out));
  // Of h: what the step behind gives to each row, and all that a few rows get.
  std::vector<float> dh(all * row), grad(std::min(all, size(kRowsTogether)) * wide), lanes;
  if (lstm) std::fill_n(args.diff_c0 + part.begin * s.hidden, all * hidden, 0.0f);
  for (int64_t i = s.steps - 1; i >= 0; --i)
    part.each_block(i, [&](int64_t t, int64_t earlier, int64_t n, int64_t count) {
      const size_t rows = size(count);
      float* dstate = &dh[size(n - part.begin) * row];
      for (size_t r = 0; r < rows; ++r) {
        const int64_t at = n + static_cast<int64_t>(r);
        AddRows(out, args.diff_h.at(t, at), dstate + r * row, &grad[r * wide]);
        if (args.before.data)
          std::copy_n(earlier < 0 ? args.h0 + at * s.out : args.h.at(earlier, at), out,
                      args.before.at(t, at));
        if (s.projected) std::copy_n(&grad[r * wide], out, args.diff_state.at(t, at));
      }
      if (s.projected)
        MultiplyPacked<Dot>(
            part.shared, rows,
            LanesOf<Dot>(args.diff_state.at(t, n), size(args.diff_state.row), rows, out, lanes),
            packed[1], grad.data(), wide, false);
      EachRow(part.shared, rows, [&](size_t r) {
        const int64_t at = n + static_cast<int64_t>(r);
        const float* g = &grad[r * wide];
        float* dz = args.diff_gates.at(t, at);
        if (lstm)
          BackwardLstm(hidden, g, args.diff_c.data ? args.diff_c.at(t, at) : nullptr,
                       args.activated.at(t, at), args.c.at(t, at),
                       earlier < 0 ? args.c0 + at * s.hidden : args.c.at(earlier, at),
                       args.diff_c0 + at * s.hidden, dz);
        else if (gru)
          BackwardGru(hidden, g, args.activated.at(t, at), args.c.at(t, at),
                      earlier < 0 ? args.h0 + at * s.out : args.h.at(earlier, at), dz,
                      args.diff_state.at(t, at), dstate + r * row);
        else
          BackwardRnn(s.kind == CellKind::rnn_relu, hidden, g, args.h.at(t, at), dz);
      });
      MultiplyPacked<Dot>(part.shared, rows,
                          LanesOf<Dot>(args.diff_gates.at(t, n), size(args.diff_gates.row), rows,
                                       packed[0].depth, lanes),
                          packed[0], dstate, row, gru);
      if (gru)
        MultiplyPacked<Dot>(
            part.shared, rows,
            LanesOf<Dot>(args.diff_state.at(t, n), size(args.diff_state.row), rows, hidden, lanes),
            packed[1], dstate, row, true);
    });
  for (size_t r = 0; r < all; ++r)
    std::copy_n(&dh[r * row], out, args.diff_h0 + (part.begin + static_cast<int64_t>(r)) * s.out);
}

// --- by the processor's products -----------------------------------------------------------------

/// run(dot) with the products that the shape asks for.
template <class Run>
void WithDot(const RecurrentShape& shape, Run run) {
#if HWY_TARGET == HWY_AVX3
  if (shape.bf16 && has_bf16_products()) return run(DotBf16());
#endif
  (void)shape;
  run(DotF32());
}

void Forward(const RecurrentPart& part, const RecurrentForward& args,
             const std::vector<PackedMatrix>& packed) {
  WithDot(part.shape, [&](auto dot) { ForwardOf<decltype(dot)>(part, args, packed); });
}
void BackThroughTime(const RecurrentPart& part, const RecurrentBackward& args,
                     const std::vector<PackedMatrix>& packed) {
  WithDot(part.shape, [&](auto dot) { BackwardOf<decltype(dot)>(part, args, packed); });
}
void Pack(const RecurrentShape& shape, const PackedMatrix& matrix, const float* weight,
          float* space, size_t first, size_t last) {
  WithDot(shape, [&](auto dot) { PackStrips<decltype(dot)>(matrix, weight, space, first, last); });
}
size_t ElementsOfLane(const RecurrentShape& shape) {
  size_t count = 0;
  WithDot(shape, [&](auto dot) { count = decltype(dot)::kPacked; });
  return count;
}

size_t StripWidth() { return kStrip; }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(Pack);
HWY_EXPORT(Forward);
HWY_EXPORT(BackThroughTime);
HWY_EXPORT(ElementsOfLane);
HWY_EXPORT(StripWidth);

namespace {

/// Threads share every step where few rows meet a weight that the second-level cache of one does
/// not hold: reading it takes longer than to wait for each other.
bool shares_steps(const RecurrentShape& shape) {
  constexpr int64_t kFloats = 1 << 18, kFewRows = 12;
  return shape.hidden * shape.out * gate_count(shape.kind) >= kFloats &&
         shape.batch <= std::min(kRowsTogether, kFewRows * num_threads() - 1);
}

/// run(part) for the rows of each thread: as many steps of rows for one as for another, and at
/// least as many as are worth one.
template <class Run>
void each_part(const RecurrentShape& shape, Run run) {
  if (shares_steps(shape)) return run(RecurrentPart{shape, 0, shape.batch, true});
  int64_t all = 0;
  for (int64_t t = 0; t < shape.steps; ++t) all += shape.rows_at(t);
  const int64_t products = shape.hidden * shape.out * gate_count(shape.kind);  // of a row's step
  const int64_t parts = std::clamp<int64_t>(all * products / 200000, 1,
                                            std::min<int64_t>(num_threads(), shape.batch));
  std::vector<int64_t> ends(size(parts), shape.batch);
  int64_t done = 0;
  for (int64_t n = 0, part = 0; n < shape.batch && part + 1 < parts; ++n) {
    if (!shape.rows) {
      done = (n + 1) * shape.steps;
    } else {
      // Steps that still have row n; rows never rise.
      done += std::partition_point(shape.rows, shape.rows + shape.steps,
                                   [n](int64_t rows) { return rows > n; }) -
              shape.rows;
    }
    if (done * parts >= all * (part + 1)) ends[size(part++)] = n + 1;
  }
  parallel_for(parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part)
      run(RecurrentPart{shape, part > 0 ? ends[size(part - 1)] : 0, ends[size(part)], false});
  });
}

}  // namespace

size_t packed_floats(const RecurrentShape& shape, RecurrentWeight which) {
  const PackedMatrix last = matrices(shape, which).back();
  return last.begin + last.depth * padded(last.columns);
}
size_t packed_width(const RecurrentShape& shape) {
  return HWY_DYNAMIC_DISPATCH(StripWidth)() * HWY_DYNAMIC_DISPATCH(ElementsOfLane)(shape);
}

void pack_weight(const RecurrentShape& shape, RecurrentWeight which, const float* source,
                 float* packed) {
  const size_t strip = HWY_DYNAMIC_DISPATCH(StripWidth)();
  const auto pack_strips = HWY_DYNAMIC_DISPATCH(Pack);
  for (const PackedMatrix& matrix : matrices(shape, which))
    parallel_for(static_cast<int64_t>((matrix.columns + strip - 1) / strip), 4,
                 [&](int64_t begin, int64_t end) {
                   pack_strips(shape, matrix, source, packed, size(begin), size(end));
                 });
}

void recurrent(const RecurrentShape& shape, const RecurrentForward& args) {
  auto packed = matrices(shape, RecurrentWeight::weight, args.weight);
  if (shape.projected)
    packed.push_back(matrices(shape, RecurrentWeight::projection, args.projection)[0]);
  const auto forward = HWY_DYNAMIC_DISPATCH(Forward);
  each_part(shape, [&](const RecurrentPart& part) { forward(part, args, packed); });
}

void recurrent_backward(const RecurrentShape& shape, const RecurrentBackward& args) {
  auto packed = matrices(shape, RecurrentWeight::weight_back, args.weight);
  if (shape.projected)
    packed.push_back(matrices(shape, RecurrentWeight::projection_back, args.projection)[0]);
  const auto backward = HWY_DYNAMIC_DISPATCH(BackThroughTime);
  each_part(shape, [&](const RecurrentPart& part) { backward(part, args, packed); });
}

}  // namespace ds::cpu
#endif
