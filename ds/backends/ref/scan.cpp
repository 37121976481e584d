// SPDX-License-Identifier: Apache-2.0
// Running sums, products, extremes and logsumexp along one dimension, lane by lane.
#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// f(x) replaces the elements of one lane in place.
template <class W, class F>
void scan_lanes(const KernelArgs& args, F f) {
  const Lanes lanes(args.in_shape(0), args.node.attr_int("dim"));
  const Load<W> load = loader<W>(args.in_dtype(0));
  const Store<W> store = storer<W>(args.out_dtype());
  parallel_for(lanes.count(), grain_for(lanes.size), [&](int64_t begin, int64_t end) {
    std::vector<W> x(static_cast<size_t>(lanes.size));
    for (int64_t lane = begin; lane < end; ++lane) {
      load(args.in(0), lanes.offset(lane), lanes.inner, lanes.size, x.data());
      f(x);
      store(args.out(), lanes.offset(lane), lanes.inner, lanes.size, x.data());
    }
  });
}

template <bool kProduct>
void cumulate(const KernelArgs& args) {
  // Numbers add up in the output's kind: a sum of i32 may be an i64.
  dispatch_wide(args.out_dtype(), [&](auto wide) {
    using W = decltype(wide);
    scan_lanes<W>(args, [](std::vector<W>& x) {
      for (size_t i = 1; i < x.size(); ++i)
        x[i] = kProduct ? times(x[i - 1], x[i]) : plus(x[i - 1], x[i]);
    });
  });
}

void logcumsumexp(const KernelArgs& args) {
  scan_lanes<double>(args, [](std::vector<double>& x) {
    for (size_t i = 1; i < x.size(); ++i) {
      const double a = x[i - 1], b = x[i];
      if (std::isnan(a) || std::isnan(b)) {
        x[i] = a + b;
      } else if (a == b && std::isinf(a)) {
        x[i] = a;  // the difference of equal infinities is no number
      } else {
        x[i] = std::max(a, b) + std::log1p(std::exp(-std::fabs(a - b)));
      }
    }
  });
}

/// Of equal values the last one's index is kept, as in PyTorch.
template <bool kLargest>
void running_extreme(const KernelArgs& args) {
  const Lanes lanes(args.in_shape(0), args.node.attr_int("dim"));
  auto* indices = static_cast<int64_t*>(args.out(1));
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    const Load<W> load = loader<W>(args.in_dtype(0));
    const Store<W> store = storer<W>(args.out_dtype());
    parallel_for(lanes.count(), grain_for(lanes.size), [&](int64_t begin, int64_t end) {
      std::vector<W> x(static_cast<size_t>(lanes.size));
      for (int64_t lane = begin; lane < end; ++lane) {
        const int64_t offset = lanes.offset(lane);
        load(args.in(0), offset, lanes.inner, lanes.size, x.data());
        size_t best = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          const bool equal = x[i] == x[best] || (is_nan(x[i]) && is_nan(x[best]));
          if (equal || (kLargest ? beats_max(x[i], x[best]) : beats_min(x[i], x[best]))) best = i;
          x[i] = x[best];
          indices[offset + static_cast<int64_t>(i) * lanes.inner] = static_cast<int64_t>(best);
        }
        store(args.out(), offset, lanes.inner, lanes.size, x.data());
      }
    });
  });
}

}  // namespace

Kernel scan_kernel(Op op) {
  switch (op) {
    case Op::cumsum_: return &cumulate<false>;
    case Op::cumprod_: return &cumulate<true>;
    case Op::cummax_: return &running_extreme<true>;
    case Op::cummin_: return &running_extreme<false>;
    case Op::logcumsumexp_: return &logcumsumexp;
    default: return nullptr;
  }
}

}  // namespace ds::ref
