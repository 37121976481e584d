// SPDX-License-Identifier: Apache-2.0
// Pooling of the planes behind [N, C]; one and two spatial dimensions are three of which the first
// have size 1.
#include <algorithm>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/spatial.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// Positions begin, begin + step, ... below end; `padded` counts those avg_pool divides by.
struct Range {
  int64_t begin, end, step, padded;
  int64_t count() const { return end > begin ? (end - begin + step - 1) / step : 0; }
};
/// One range per output position, for each of the three dimensions.
using Windows = std::array<std::vector<Range>, 3>;

Windows fixed_windows(const Node& node, const Sizes& src, const Sizes& dst) {
  const Sizes kernel = three(node.attr_ints("kernel"), 1);
  const Sizes stride = three(node.attr_ints("stride"), 1);
  const Sizes padding = three(node.attr_ints("padding"), 0);
  const bool dilates = node.op() == Op::max_pool_;
  const Sizes dilation = dilates ? three(node.attr_ints("dilation"), 1) : Sizes{1, 1, 1};
  Windows windows;
  for (size_t d = 0; d < 3; ++d)
    for (int64_t o = 0; o < dst[d]; ++o) {
      const int64_t step = dilation[d];
      int64_t begin = o * stride[d] - padding[d];
      const int64_t end = begin + (kernel[d] - 1) * step + 1;
      // Windows may reach past the padding where the output size was rounded up; that part does not
      // count.
      const int64_t padded = std::min(end, src[d] + padding[d]) - begin;
      if (begin < 0) begin += (-begin + step - 1) / step * step;
      windows[d].push_back({begin, std::min(end, src[d]), step, padded});
    }
  return windows;
}

/// Nearly equal windows, from floor(o * src / dst) to ceil((o + 1) * src / dst).
Windows adaptive_windows(const Sizes& src, const Sizes& dst) {
  Windows windows;
  for (size_t d = 0; d < 3; ++d)
    for (int64_t o = 0; o < dst[d]; ++o) {
      const int64_t begin = o * src[d] / dst[d];
      const int64_t end = ((o + 1) * src[d] + dst[d] - 1) / dst[d];
      windows[d].push_back({begin, end, 1, end - begin});
    }
  return windows;
}

/// Calls f(position in the source plane) for the positions of one window.
template <class F>
void for_each_position(const Sizes& src, const Range& z, const Range& y, const Range& x, F f) {
  for (int64_t i = z.begin; i < z.end; i += z.step)
    for (int64_t j = y.begin; j < y.end; j += y.step)
      for (int64_t k = x.begin; k < x.end; k += x.step) f((i * src[1] + j) * src[2] + k);
}

/// Calls f(output position, z, y, x) for all windows in row-major order.
template <class F>
void for_each_window(const Windows& windows, F f) {
  int64_t at = 0;
  for (const Range& z : windows[0])
    for (const Range& y : windows[1])
      for (const Range& x : windows[2]) f(at++, z, y, x);
}

/// Planes of the two sides of a pooling op.
struct Planes {
  int64_t count;
  Sizes src, dst;
};
Planes planes_of(const Shape& src, const Shape& dst) {
  return {src[0] * src[1], spatial_sizes(src), spatial_sizes(dst)};
}

void run_max(const KernelArgs& args, const Planes& planes, const Windows& windows) {
  const int64_t src_area = area(planes.src), dst_area = area(planes.dst);
  auto* indices = static_cast<int64_t*>(args.out(1));
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    const Load<W> load = loader<W>(args.in_dtype(0));
    const Store<W> store = storer<W>(args.out_dtype());
    parallel_for(planes.count, grain_for(src_area + dst_area), [&](int64_t begin, int64_t end) {
      std::vector<W> src(static_cast<size_t>(src_area)), dst(static_cast<size_t>(dst_area));
      for (int64_t plane = begin; plane < end; ++plane) {
        load(args.in(0), plane * src_area, 1, src_area, src.data());
        for_each_window(windows, [&](int64_t at, const Range& z, const Range& y, const Range& x) {
          int64_t best = (z.begin * planes.src[1] + y.begin) * planes.src[2] + x.begin;
          for_each_position(planes.src, z, y, x, [&](int64_t i) {
            // The first largest, but the last NaN, as in PyTorch.
            const W value = src[static_cast<size_t>(i)];
            if (value > src[static_cast<size_t>(best)] || value != value) best = i;
          });
          dst[static_cast<size_t>(at)] = src[static_cast<size_t>(best)];
          indices[plane * dst_area + at] = best;
        });
        store(args.out(), plane * dst_area, 1, dst_area, dst.data());
      }
    });
  });
}

void max_pool(const KernelArgs& args) {
  const Planes planes = planes_of(args.in_shape(0), args.out_shape());
  const Windows windows = fixed_windows(args.node, planes.src, planes.dst);
  for (const auto& ranges : windows)
    for (const Range& range : ranges)
      DS_CHECK(range.count() > 0, ValueError,
               "max_pool: a window lies outside the input; padding must be at most half the "
               "kernel, input ",
               args.in_type(0));
  run_max(args, planes, windows);
}

void adaptive_max_pool(const KernelArgs& args) {
  const Planes planes = planes_of(args.in_shape(0), args.out_shape());
  run_max(args, planes, adaptive_windows(planes.src, planes.dst));
}

void max_pool_backward(const KernelArgs& args) {
  const Planes planes = planes_of(args.out_shape(), args.in_shape(0));
  const int64_t src_area = area(planes.src), dst_area = area(planes.dst);
  const auto* indices = static_cast<const int64_t*>(args.in(1));
  const Load<double> load = loader<double>(args.in_dtype(0));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(planes.count, grain_for(src_area + dst_area), [&](int64_t begin, int64_t end) {
    std::vector<double> diff(static_cast<size_t>(dst_area)), sum(static_cast<size_t>(src_area));
    for (int64_t plane = begin; plane < end; ++plane) {
      std::fill(sum.begin(), sum.end(), 0.0);
      load(args.in(0), plane * dst_area, 1, dst_area, diff.data());
      for (int64_t i = 0; i < dst_area; ++i) {
        const int64_t to = indices[plane * dst_area + i];
        DS_CHECK(to >= 0 && to < src_area, IndexError, op_name(args.node.op()), ": index ", to,
                 " is out of range for a plane of ", src_area, " elements");
        sum[static_cast<size_t>(to)] += diff[static_cast<size_t>(i)];
      }
      store(args.out(), plane * src_area, 1, src_area, sum.data());
    }
  });
}

/// What the mean of a window divides by.
class Divisor {
 public:
  /// By counting: elements, with the padding or without.
  explicit Divisor(bool include_padding) : include_padding_(include_padding) {}
  explicit Divisor(const Node& node)
      : include_padding_(node.attr_bool("count_include_pad")), fixed_(node.attr_int("divisor")) {}

  double of(const Range& z, const Range& y, const Range& x) const {
    if (fixed_ != 0) return static_cast<double>(fixed_);
    return static_cast<double>(include_padding_ ? z.padded * y.padded * x.padded
                                                : z.count() * y.count() * x.count());
  }

 private:
  bool include_padding_;
  int64_t fixed_ = 0;
};

void run_mean(const KernelArgs& args, const Planes& planes, const Windows& windows,
              const Divisor& divisor) {
  const int64_t src_area = area(planes.src), dst_area = area(planes.dst);
  const Load<double> load = loader<double>(args.in_dtype(0));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(planes.count, grain_for(src_area + dst_area), [&](int64_t begin, int64_t end) {
    std::vector<double> src(static_cast<size_t>(src_area)), dst(static_cast<size_t>(dst_area));
    for (int64_t plane = begin; plane < end; ++plane) {
      load(args.in(0), plane * src_area, 1, src_area, src.data());
      for_each_window(windows, [&](int64_t at, const Range& z, const Range& y, const Range& x) {
        double sum = 0;
        int64_t count = 0;
        for_each_position(planes.src, z, y, x, [&](int64_t i) {
          sum += src[static_cast<size_t>(i)];
          ++count;
        });
        dst[static_cast<size_t>(at)] = count == 0 ? 0 : sum / divisor.of(z, y, x);
      });
      store(args.out(), plane * dst_area, 1, dst_area, dst.data());
    }
  });
}

void run_mean_backward(const KernelArgs& args, const Planes& planes, const Windows& windows,
                       const Divisor& divisor) {
  const int64_t src_area = area(planes.src), dst_area = area(planes.dst);
  const Load<double> load = loader<double>(args.in_dtype(0));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(planes.count, grain_for(src_area + dst_area), [&](int64_t begin, int64_t end) {
    std::vector<double> diff(static_cast<size_t>(dst_area)), sum(static_cast<size_t>(src_area));
    for (int64_t plane = begin; plane < end; ++plane) {
      std::fill(sum.begin(), sum.end(), 0.0);
      load(args.in(0), plane * dst_area, 1, dst_area, diff.data());
      for_each_window(windows, [&](int64_t at, const Range& z, const Range& y, const Range& x) {
        const double share = diff[static_cast<size_t>(at)] / divisor.of(z, y, x);
        for_each_position(planes.src, z, y, x,
                          [&](int64_t i) { sum[static_cast<size_t>(i)] += share; });
      });
      store(args.out(), plane * src_area, 1, src_area, sum.data());
    }
  });
}

void avg_pool(const KernelArgs& args) {
  const Planes planes = planes_of(args.in_shape(0), args.out_shape());
  run_mean(args, planes, fixed_windows(args.node, planes.src, planes.dst), Divisor(args.node));
}

void avg_pool_backward(const KernelArgs& args) {
  const Planes planes = planes_of(args.out_shape(), args.in_shape(0));
  run_mean_backward(args, planes, fixed_windows(args.node, planes.src, planes.dst),
                    Divisor(args.node));
}

void adaptive_avg_pool(const KernelArgs& args) {
  const Planes planes = planes_of(args.in_shape(0), args.out_shape());
  run_mean(args, planes, adaptive_windows(planes.src, planes.dst), Divisor(false));
}

void adaptive_avg_pool_backward(const KernelArgs& args) {
  const Planes planes = planes_of(args.out_shape(), args.in_shape(0));
  run_mean_backward(args, planes, adaptive_windows(planes.src, planes.dst), Divisor(false));
}

}  // namespace

Kernel pool_kernel(Op op) {
  switch (op) {
    case Op::max_pool_: return &max_pool;
    case Op::max_pool_backward_: return &max_pool_backward;
    case Op::avg_pool_: return &avg_pool;
    case Op::avg_pool_backward_: return &avg_pool_backward;
    case Op::adaptive_avg_pool_: return &adaptive_avg_pool;
    case Op::adaptive_avg_pool_backward_: return &adaptive_avg_pool_backward;
    case Op::adaptive_max_pool_: return &adaptive_max_pool;
    default: return nullptr;
  }
}

}  // namespace ds::ref
