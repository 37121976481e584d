// SPDX-License-Identifier: Apache-2.0
// Convolution and its gradients as matrix products over unfolded images (im2col), one image and
// group at a time. One and two spatial dimensions are three of which the first have size 1.
#include "ds/backends/ref/contraction.h"
#include "ds/backends/ref/families.h"
#include "ds/backends/ref/gemm.h"
#include "ds/backends/ref/spatial.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

struct Conv {
  int64_t images, groups;
  int64_t ic, oc;  // per group
  Sizes src, dst, kernel, stride, padding, dilation;

  int64_t src_area() const { return area(src); }
  int64_t dst_area() const { return area(dst); }
  int64_t kernel_area() const { return area(kernel); }
  /// Rows of the unfolded image: one per weight of an output channel.
  int64_t depth() const { return ic * kernel_area(); }
};

Conv make_conv(const Node& node, const Shape& src, const Shape& weights, const Shape& dst) {
  Conv c;
  c.images = src[0];
  c.groups = node.attr_int("groups");
  c.ic = src[1] / c.groups;
  c.oc = dst[1] / c.groups;
  c.src = spatial_sizes(src);
  c.dst = spatial_sizes(dst);
  c.kernel = spatial_sizes(weights);
  c.stride = three(node.attr_ints("stride"), 1);
  c.padding = three(node.attr_ints("padding"), 0);
  c.dilation = three(node.attr_ints("dilation"), 1);
  return c;
}

/// Calls f(row of the unfolded image, position in it, offset in the group's channels, stride of the
/// source, count) for every run of kernel taps that lie inside the image.
template <class F>
void for_each_run(const Conv& c, F f) {
  int64_t row = 0;
  for (int64_t channel = 0; channel < c.ic; ++channel)
    for (int64_t kd = 0; kd < c.kernel[0]; ++kd)
      for (int64_t kh = 0; kh < c.kernel[1]; ++kh)
        for (int64_t kw = 0; kw < c.kernel[2]; ++kw, ++row) {
          // First and last output column whose tap is inside.
          const int64_t shift = kw * c.dilation[2] - c.padding[2];
          const int64_t step = c.stride[2];
          const int64_t first = shift >= 0 ? 0 : (-shift + step - 1) / step;
          const int64_t room = c.src[2] - 1 - shift;
          const int64_t last = room < 0 ? -1 : std::min(c.dst[2] - 1, room / step);
          if (first > last) continue;
          for (int64_t od = 0; od < c.dst[0]; ++od) {
            const int64_t z = od * c.stride[0] - c.padding[0] + kd * c.dilation[0];
            if (z < 0 || z >= c.src[0]) continue;
            for (int64_t oh = 0; oh < c.dst[1]; ++oh) {
              const int64_t y = oh * c.stride[1] - c.padding[1] + kh * c.dilation[1];
              if (y < 0 || y >= c.src[1]) continue;
              const int64_t line = ((channel * c.src[0] + z) * c.src[1] + y) * c.src[2];
              f(row, (od * c.dst[1] + oh) * c.dst[2] + first, line + first * step + shift, step,
                last - first + 1);
            }
          }
        }
}

/// The unfolded image of one group: [depth, dst area], 0 where a tap lies in the padding.
void unfold(const Conv& c, const void* src, DType dtype, int64_t offset, std::vector<double>& out) {
  out.assign(static_cast<size_t>(c.depth() * c.dst_area()), 0.0);
  const Load<double> load = loader<double>(dtype);
  const int64_t width = c.dst_area();
  for_each_run(c, [&](int64_t row, int64_t at, int64_t from, int64_t stride, int64_t n) {
    load(src, offset + from, stride, n, out.data() + row * width + at);
  });
}

/// The transpose of unfold: adds every tap to where it was read.
void fold(const Conv& c, const std::vector<double>& columns, std::vector<double>& image) {
  image.assign(static_cast<size_t>(c.ic * c.src_area()), 0.0);
  const int64_t width = c.dst_area();
  for_each_run(c, [&](int64_t row, int64_t at, int64_t to, int64_t stride, int64_t n) {
    const double* from = columns.data() + row * width + at;
    for (int64_t i = 0; i < n; ++i) image[static_cast<size_t>(to + i * stride)] += from[i];
  });
}

/// Runs f(image, group) for all; a single one leaves the threads to gemm.
template <class F>
void for_each_image_group(const Conv& c, F f) {
  const int64_t work = c.oc * c.depth() * c.dst_area() / 4;
  parallel_for(c.images * c.groups, grain_for(work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i / c.groups, i % c.groups);
  });
}

}  // namespace

void convolution(const KernelArgs& args) {
  const Conv c = make_conv(args.node, args.in_shape(0), args.in_shape(1), args.out_shape());
  const int64_t depth = c.depth(), width = c.dst_area();
  const Store<double> store = storer<double>(args.out_dtype());
  for_each_image_group(c, [&](int64_t image, int64_t group) {
    std::vector<double> columns, out(static_cast<size_t>(c.oc * width));
    const int64_t index = image * c.groups + group;
    unfold(c, args.in(0), args.in_dtype(0), index * c.ic * c.src_area(), columns);
    gemm<double>(c.oc, width, depth, {args.in(1), args.in_dtype(1), group * c.oc * depth, depth, 1},
                 {columns.data(), DType::f64, 0, width, 1}, out.data());
    store(args.out(), index * c.oc * width, 1, c.oc * width, out.data());
  });
}

void conv_diff_src(const KernelArgs& args) {
  const Conv c = make_conv(args.node, args.out_shape(), args.in_shape(1), args.in_shape(0));
  const int64_t depth = c.depth(), width = c.dst_area();
  const Store<double> store = storer<double>(args.out_dtype());
  for_each_image_group(c, [&](int64_t image, int64_t group) {
    std::vector<double> columns(static_cast<size_t>(depth * width)), diff;
    const int64_t index = image * c.groups + group;
    gemm<double>(depth, width, c.oc, {args.in(1), args.in_dtype(1), group * c.oc * depth, 1, depth},
                 {args.in(0), args.in_dtype(0), index * c.oc * width, width, 1}, columns.data());
    fold(c, columns, diff);
    store(args.out(), index * c.ic * c.src_area(), 1, c.ic * c.src_area(), diff.data());
  });
}

void conv_diff_weights(const KernelArgs& args) {
  const Conv c = make_conv(args.node, args.in_shape(0), args.out_shape(), args.in_shape(1));
  const int64_t depth = c.depth(), width = c.dst_area();
  const Store<double> store = storer<double>(args.out_dtype());
  const int64_t work = c.images * c.oc * depth * width / 4;
  parallel_for(c.groups, grain_for(work), [&](int64_t begin, int64_t end) {
    std::vector<double> columns;
    for (int64_t group = begin; group < end; ++group) {
      std::vector<double> diff(static_cast<size_t>(c.oc * depth));
      for (int64_t image = 0; image < c.images; ++image) {
        const int64_t index = image * c.groups + group;
        unfold(c, args.in(0), args.in_dtype(0), index * c.ic * c.src_area(), columns);
        gemm<double>(c.oc, depth, width,
                     {args.in(1), args.in_dtype(1), index * c.oc * width, width, 1},
                     {columns.data(), DType::f64, 0, 1, width}, diff.data());
      }
      store(args.out(), group * c.oc * depth, 1, c.oc * depth, diff.data());
    }
  });
}

Kernel contraction_kernel(Op op) {
  switch (op) {
    case Op::matmul_: return &matmul;
    case Op::convolution_: return &convolution;
    case Op::conv_diff_src_: return &conv_diff_src;
    case Op::conv_diff_weights_: return &conv_diff_weights;
    default: return nullptr;
  }
}

}  // namespace ds::ref
