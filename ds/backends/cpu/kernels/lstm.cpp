// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/lstm.h"

#include "ds/backends/cpu/kernels/targets.h"
// Foreach_target needs the line above first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ds/backends/cpu/kernels/lstm.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <vector>

#include "ds/backends/cpu/kernels/product-inl.h"
#include "ds/base/parallel.h"

#ifndef DS_CPU_KERNELS_LSTM_CONSTANTS_
#define DS_CPU_KERNELS_LSTM_CONSTANTS_
namespace ds::cpu {
namespace {

constexpr int64_t kLstmStrip = 32;  // the widest strip of a product
// Rows that go through a step together: what they need of gates stays in the second-level cache.
constexpr int64_t kLstmRows = 24;
// Depth of a product: so much of a strip stays in the first-level cache.
constexpr int64_t kLstmDepth = 256;

int64_t padded(int64_t columns) { return (columns + kLstmStrip - 1) / kLstmStrip * kLstmStrip; }

/// Rows [begin, end) of the batch, and the step that is i-th from the start.
struct LstmPart {
  LstmShape shape;
  int64_t begin, end;
  int64_t time(int64_t i) const { return shape.reverse ? shape.steps - 1 - i : i; }
};

}  // namespace
}  // namespace ds::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ds::cpu {
namespace HWY_NAMESPACE {

/// The transpose of weight [4H, H] in strips [H][kStrip]; columns that are missing become 0.
void PackTransposed(int64_t hidden, const float* weight, int64_t first, int64_t last,
                    float* space) {
  const auto depth = static_cast<size_t>(hidden);
  for (int64_t s = first; s < last; ++s) {
    const int64_t column = s * static_cast<int64_t>(kStrip);
    const size_t columns = std::min(kStrip, static_cast<size_t>(4 * hidden - column));
    float* strip = space + static_cast<size_t>(s) * depth * kStrip;
    if (columns < kStrip) std::fill_n(strip, depth * kStrip, 0.0f);
    Transpose(weight + column * hidden, depth, columns, depth, strip, kStrip);
  }
}

/// weight [4H, H] in strips [4H][kStrip].
void PackStraight(int64_t hidden, const float* weight, int64_t first, int64_t last, float* space) {
  const auto depth = static_cast<size_t>(4 * hidden), row = static_cast<size_t>(hidden);
  for (int64_t s = first; s < last; ++s) {
    const size_t column = static_cast<size_t>(s) * kStrip, columns = std::min(kStrip, row - column);
    float* strip = space + static_cast<size_t>(s) * depth * kStrip;
    for (size_t k = 0; k < depth; ++k, strip += kStrip) {
      std::copy_n(weight + k * row + column, columns, strip);
      std::fill(strip + columns, strip + kStrip, 0.0f);
    }
  }
}

/// dst [rows, columns] (+)= lhs [rows, depth] times the strips [depth][kStrip] of `packed`.
void MultiplyPacked(size_t rows, size_t depth, size_t columns, const float* lhs, size_t lhs_row,
                    const float* packed, float* dst, size_t dst_row, bool add) {
  for (size_t k = 0; k < depth; k += kLstmDepth) {
    const size_t piece = std::min<size_t>(kLstmDepth, depth - k);
    for (size_t column = 0; column < columns; column += kStrip)
      Product<false>(rows, piece, Left{lhs + k, lhs_row},
                     Right{packed + column * depth + k * kStrip, kStrip}, dst + column, dst_row,
                     add || k > 0);
  }
}

/// One row of a step from its gates z [4H].
void Activate(size_t hidden, const float* z, const float* c_before, float* c, float* h,
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

void Forward(const LstmPart& part, const LstmForward& args, const float* packed) {
  const int64_t hidden = part.shape.hidden;
  const auto width = static_cast<size_t>(4 * hidden), row = static_cast<size_t>(padded(4 * hidden));
  std::vector<float> z(static_cast<size_t>(std::min(kLstmRows, part.end - part.begin)) * row);
  for (int64_t i = 0; i < part.shape.steps; ++i) {
    const int64_t t = part.time(i);
    for (int64_t n = part.begin; n < part.end; n += kLstmRows) {
      const auto rows = static_cast<size_t>(std::min(kLstmRows, part.end - n));
      const float* before = i > 0 ? args.h.at(part.time(i - 1), n) : args.h0 + n * hidden;
      const int64_t before_row = i > 0 ? args.h.row : hidden;
      for (size_t r = 0; r < rows; ++r)
        std::copy_n(args.gates.at(t, n + static_cast<int64_t>(r)), width, &z[r * row]);
      MultiplyPacked(rows, static_cast<size_t>(hidden), width, before,
                     static_cast<size_t>(before_row), packed, z.data(), row, true);
      for (size_t r = 0; r < rows; ++r) {
        const int64_t at = n + static_cast<int64_t>(r);
        Activate(static_cast<size_t>(hidden), &z[r * row],
                 i > 0 ? args.c.at(part.time(i - 1), at) : args.c0 + at * hidden, args.c.at(t, at),
                 args.h.at(t, at), args.activated.data ? args.activated.at(t, at) : nullptr);
      }
    }
  }
}

/// One row of a step backwards: dh and dc are what comes from the step behind; dc becomes what goes
/// to the step before.
void Backward(size_t hidden, const float* diff_h, const float* diff_c, const float* activated,
              const float* c, const float* c_before, const float* dh, float* dc, float* dz) {
  const VF one = hn::Set(DF(), 1.0f);
  ForVec(hidden, [&](auto at) HWY_ATTR {
    const VF in = at.Load(activated), keep = at.Load(activated + hidden);
    const VF g = at.Load(activated + 2 * hidden), out = at.Load(activated + 3 * hidden);
    const VF tanh_c = Tanh(at.Load(c)), grad = hn::Add(at.Load(dh), at.Load(diff_h));
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

void BackThroughTime(const LstmPart& part, const LstmBackward& args, const float* packed) {
  const int64_t hidden = part.shape.hidden, all = part.end - part.begin;
  const auto width = static_cast<size_t>(hidden), row = static_cast<size_t>(padded(hidden));
  std::vector<float> dh(static_cast<size_t>(all) * row);
  float* dc = args.diff_c0 + part.begin * hidden;
  std::fill_n(dc, all * hidden, 0.0f);
  for (int64_t i = part.shape.steps - 1; i >= 0; --i) {
    const int64_t t = part.time(i);
    for (int64_t first = 0; first < all; first += kLstmRows) {
      const int64_t rows = std::min(kLstmRows, all - first);
      for (int64_t r = first; r < first + rows; ++r) {
        const int64_t n = part.begin + r;
        Backward(width, args.diff_h.at(t, n), args.diff_c.data ? args.diff_c.at(t, n) : nullptr,
                 args.activated.at(t, n), args.c.at(t, n),
                 i > 0 ? args.c.at(part.time(i - 1), n) : args.c0 + n * hidden,
                 &dh[static_cast<size_t>(r) * row], dc + r * hidden, args.diff_gates.at(t, n));
      }
      MultiplyPacked(static_cast<size_t>(rows), 4 * width, width,
                     args.diff_gates.at(t, part.begin + first),
                     static_cast<size_t>(args.diff_gates.row), packed,
                     &dh[static_cast<size_t>(first) * row], row, false);
    }
  }
  for (int64_t r = 0; r < all; ++r)
    std::copy_n(&dh[static_cast<size_t>(r) * row], width, args.diff_h0 + (part.begin + r) * hidden);
}

int64_t StripWidth() { return static_cast<int64_t>(kStrip); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace ds::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ds::cpu {
HWY_EXPORT(PackTransposed);
HWY_EXPORT(PackStraight);
HWY_EXPORT(Forward);
HWY_EXPORT(BackThroughTime);
HWY_EXPORT(StripWidth);

namespace {

template <class Pack>
void pack_weight(Pack pack, const LstmShape& shape, int64_t columns, const float* weight,
                 float* space) {
  const int64_t strip = HWY_DYNAMIC_DISPATCH(StripWidth)();
  parallel_for((columns + strip - 1) / strip, 4,
               [&](int64_t begin, int64_t end) { pack(shape.hidden, weight, begin, end, space); });
}

/// run(part) for the rows of each thread, at least as many as are worth one.
template <class Run>
void each_rows(const LstmShape& shape, Run run) {
  const int64_t row = shape.steps * shape.hidden * shape.hidden;  // 8 times as many operations
  parallel_for(shape.batch, std::max<int64_t>(1, 50000 / row), [&](int64_t begin, int64_t end) {
    run(LstmPart{shape, begin, end});
  });
}

}  // namespace

size_t lstm_weight_space(const LstmShape& shape) {
  return static_cast<size_t>(padded(4 * shape.hidden) * shape.hidden);
}
size_t lstm_backward_weight_space(const LstmShape& shape) {
  return static_cast<size_t>(padded(shape.hidden) * 4 * shape.hidden);
}

void lstm(const LstmShape& shape, const LstmForward& args, float* space) {
  pack_weight(HWY_DYNAMIC_DISPATCH(PackTransposed), shape, 4 * shape.hidden, args.weight, space);
  const auto forward = HWY_DYNAMIC_DISPATCH(Forward);
  each_rows(shape, [&](const LstmPart& part) { forward(part, args, space); });
}

void lstm_backward(const LstmShape& shape, const LstmBackward& args, float* space) {
  pack_weight(HWY_DYNAMIC_DISPATCH(PackStraight), shape, shape.hidden, args.weight, space);
  const auto backward = HWY_DYNAMIC_DISPATCH(BackThroughTime);
  each_rows(shape, [&](const LstmPart& part) { backward(part, args, space); });
}

}  // namespace ds::cpu
#endif
