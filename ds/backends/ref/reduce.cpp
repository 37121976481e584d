// SPDX-License-Identifier: Apache-2.0
// Reductions over any set of dimensions: the input is read once in memory order, each element goes
// to a wide accumulator of its output element.
#include <cmath>
#include <limits>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

struct Sum {
  template <class W>
  static W start() {
    return 0;
  }
  template <class W>
  static W join(W acc, W x) {
    return plus(acc, x);
  }
};
struct Product {
  template <class W>
  static W start() {
    return 1;
  }
  template <class W>
  static W join(W acc, W x) {
    return times(acc, x);
  }
};
struct Largest {
  template <class W>
  static W start() {
    return std::numeric_limits<W>::has_infinity ? -std::numeric_limits<W>::infinity()
                                                : std::numeric_limits<W>::min();
  }
  template <class W>
  static W join(W acc, W x) {
    return beats_max(x, acc) ? x : acc;
  }
};
struct Smallest {
  template <class W>
  static W start() {
    return std::numeric_limits<W>::has_infinity ? std::numeric_limits<W>::infinity()
                                                : std::numeric_limits<W>::max();
  }
  template <class W>
  static W join(W acc, W x) {
    return beats_min(x, acc) ? x : acc;
  }
};
struct Any {
  template <class W>
  static W start() {
    return 0;
  }
  template <class W>
  static W join(W acc, W x) {
    return acc != 0 || x != 0;
  }
};
struct All {
  template <class W>
  static W start() {
    return 1;
  }
  template <class W>
  static W join(W acc, W x) {
    return acc != 0 && x != 0;
  }
};

/// The input with the reduced dimensions and how it maps to the output.
struct Plan {
  Shape shape;     // of the input
  Shape dense;     // strides of the input
  Shape to_out;    // strides of the output, 0 along reduced dimensions
  int split = -1;  // largest dimension that stays: threads share it
};

Plan make_plan(const Shape& shape, const Shape& dims) {
  Plan plan;
  plan.shape = shape;
  plan.dense = contiguous_strides(shape);
  plan.to_out = Shape::filled(shape.rank(), 0);
  std::array<bool, kMaxRank> reduced{};
  for (int64_t d : dims) reduced[static_cast<size_t>(d)] = true;
  int64_t stride = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    if (reduced[static_cast<size_t>(d)]) continue;
    plan.to_out[d] = stride;
    stride *= shape[d];
    if (plan.split < 0 || shape[d] >= shape[plan.split]) plan.split = d;
  }
  return plan;
}

/// Accumulates the part of the input with index [begin, end) along the split dimension.
template <class W, class Join>
void accumulate(const Plan& plan, const void* src, Load<W> load, int64_t begin, int64_t end,
                W* acc) {
  Shape part = plan.shape;
  int64_t src_base = 0, out_base = 0;
  if (plan.split >= 0) {
    part[plan.split] = end - begin;
    src_base = begin * plan.dense[plan.split];
    out_base = begin * plan.to_out[plan.split];
  }
  std::array<W, kTile> tile;
  const Walk walk(part, {plan.dense, plan.to_out});
  walk.run(0, part.numel(), [&](const auto& at, const auto& step, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; i += kTile) {
      const int64_t count = std::min(kTile, n - i);
      load(src, src_base + at[0] + i * step[0], step[0], count, tile.data());
      W* out = acc + out_base + at[1] + i * step[1];
      if (step[1] == 0) {
        W value = *out;
        for (int64_t j = 0; j < count; ++j) value = Join::join(value, tile[j]);
        *out = value;
      } else {
        for (int64_t j = 0; j < count; ++j)
          out[j * step[1]] = Join::join(out[j * step[1]], tile[j]);
      }
    }
  });
}

template <class W, class Join>
std::vector<W> reduce_to_wide(const KernelArgs& args) {
  const Plan plan = make_plan(args.in_shape(0), args.node.attr_ints("dims"));
  std::vector<W> acc(static_cast<size_t>(args.out_shape().numel()), Join::template start<W>());
  const Load<W> load = loader<W>(args.in_dtype(0));
  const int64_t total = plan.shape.numel();
  if (total == 0) return acc;
  const int64_t parts = plan.split < 0 ? 1 : plan.shape[plan.split];
  parallel_for(parts, grain_for(total / parts), [&](int64_t begin, int64_t end) {
    accumulate<W, Join>(plan, args.in(0), load, begin, end, acc.data());
  });
  return acc;
}

template <class Join>
void reduce(const KernelArgs& args) {
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    store_all(reduce_to_wide<W, Join>(args), args.out_dtype(), args.out());
  });
}

void mean(const KernelArgs& args) {
  std::vector<double> acc = reduce_to_wide<double, Sum>(args);
  double count = 1;
  for (int64_t d : args.node.attr_ints("dims"))
    count *= static_cast<double>(args.in_shape(0)[static_cast<int>(d)]);
  for (double& x : acc) x /= count;
  store_all(acc, args.out_dtype(), args.out());
}

template <bool kLargest>
void arg_reduce(const KernelArgs& args) {
  const Lanes lanes(args.in_shape(0), args.node.attr_int("dim"));
  auto* out = static_cast<int64_t*>(args.out());
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    const Load<W> load = loader<W>(args.in_dtype(0));
    parallel_for(lanes.count(), grain_for(lanes.size), [&](int64_t begin, int64_t end) {
      std::vector<W> x(static_cast<size_t>(lanes.size));
      for (int64_t lane = begin; lane < end; ++lane) {
        load(args.in(0), lanes.offset(lane), lanes.inner, lanes.size, x.data());
        size_t best = 0;
        for (size_t i = 1; i < x.size(); ++i)
          if (kLargest ? beats_max(x[i], x[best]) : beats_min(x[i], x[best])) best = i;
        out[lane] = static_cast<int64_t>(best);
      }
    });
  });
}

}  // namespace

Kernel reduce_kernel(Op op) {
  switch (op) {
    case Op::sum_: return &reduce<Sum>;
    case Op::mean_: return &mean;
    case Op::prod_: return &reduce<Product>;
    case Op::amax_: return &reduce<Largest>;
    case Op::amin_: return &reduce<Smallest>;
    case Op::any_: return &reduce<Any>;
    case Op::all_: return &reduce<All>;
    case Op::argmax_: return &arg_reduce<true>;
    case Op::argmin_: return &arg_reduce<false>;
    default: return nullptr;
  }
}

}  // namespace ds::ref
