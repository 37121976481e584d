// SPDX-License-Identifier: Apache-2.0
// sort and topk, lane by lane on an array of positions.
#include <algorithm>
#include <numeric>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// NaN is larger than every number, so it comes last ascending and first descending.
template <class W>
bool before(W a, W b, bool descending) {
  return descending ? beats_max(a, b) : a < b || (is_nan(b) && !is_nan(a));
}

/// Per lane: `order` puts the positions of the lane's values in order; the first ones are written.
template <class Order>
void sort_lanes(const KernelArgs& args, const Order& order) {
  const int64_t dim = args.node.attr_int("dim");
  const Lanes lanes(args.in_shape(0), dim);
  const Lanes kept(args.out_shape(), dim);
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    const Load<W> load = loader<W>(args.in_dtype(0));
    const Store<W> store = storer<W>(args.out_dtype());
    const Store<int64_t> store_index = storer<int64_t>(DType::i64);
    parallel_for(lanes.count(), grain_for(lanes.size * 16), [&](int64_t begin, int64_t end) {
      std::vector<W> x(static_cast<size_t>(lanes.size)), sorted(static_cast<size_t>(kept.size));
      std::vector<int64_t> positions(x.size());
      for (int64_t lane = begin; lane < end; ++lane) {
        load(args.in(0), lanes.offset(lane), lanes.inner, lanes.size, x.data());
        std::iota(positions.begin(), positions.end(), int64_t{0});
        order(x, positions);
        for (size_t i = 0; i < sorted.size(); ++i) sorted[i] = x[static_cast<size_t>(positions[i])];
        const int64_t to = kept.offset(lane);
        store(args.out(0), to, kept.inner, kept.size, sorted.data());
        store_index(args.out(1), to, kept.inner, kept.size, positions.data());
      }
    });
  });
}

void sort(const KernelArgs& args) {
  const bool descending = args.node.attr_bool("descending");
  sort_lanes(args, [&](const auto& x, std::vector<int64_t>& positions) {
    std::stable_sort(positions.begin(), positions.end(), [&](int64_t a, int64_t b) {
      return before(x[static_cast<size_t>(a)], x[static_cast<size_t>(b)], descending);
    });
  });
}

/// Of equal values the earlier one comes first.
void topk(const KernelArgs& args) {
  const bool largest = args.node.attr_bool("largest");
  const int64_t k = args.node.attr_int("k");
  sort_lanes(args, [&](const auto& x, std::vector<int64_t>& positions) {
    std::partial_sort(positions.begin(), positions.begin() + k, positions.end(),
                      [&](int64_t a, int64_t b) {
                        const auto u = x[static_cast<size_t>(a)], v = x[static_cast<size_t>(b)];
                        if (before(u, v, largest)) return true;
                        return !before(v, u, largest) && a < b;
                      });
  });
}

}  // namespace

Kernel sort_kernel(Op op) {
  switch (op) {
    case Op::sort_: return &sort;
    case Op::topk_: return &topk;
    default: return nullptr;
  }
}

}  // namespace ds::ref
