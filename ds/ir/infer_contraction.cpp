// SPDX-License-Identifier: Apache-2.0
// Types of matmul, convolution and pooling.
#include "ds/ir/infer_checks.h"

namespace ds {
namespace {

struct Window {
  const Shape& kernel;
  const Shape& stride;
  const Shape& padding;
  const Shape& padding_hi;
  Shape dilation;
};

void check_window(const InferContext& c, const Window& w, int spatial) {
  for (const Shape* s :
       {&w.kernel, &w.stride, &w.padding, &w.padding_hi, static_cast<const Shape*>(&w.dilation)})
    DS_CHECK(s->rank() == spatial, ValueError, c.name(), ": ", *s,
             " needs one entry for each of the ", spatial, " spatial dimensions of ", c.type(0));
  // Sizes, strides and paddings below 2^30 keep every product of two of them far from overflow.
  constexpr int64_t kLimit = int64_t{1} << 30;
  for (const Shape* s :
       {&w.kernel, &w.stride, &w.padding, &w.padding_hi, static_cast<const Shape*>(&w.dilation)})
    for (int64_t size : *s)
      DS_CHECK(size < kLimit, ValueError, c.name(), ": ", *s, " must be below ", kLimit);
  for (int i = 0; i < spatial; ++i)
    DS_CHECK(w.kernel[i] >= 1 && w.stride[i] >= 1 && w.dilation[i] >= 1 && w.padding[i] >= 0 &&
                 w.padding_hi[i] >= 0,
             ValueError, c.name(), ": kernel ", w.kernel, ", stride ", w.stride, " and dilation ",
             w.dilation, " must be positive, padding ", w.padding, " not negative");
}

/// [N, C, outputs of the window over src's spatial sizes].
Shape window_shape(const InferContext& c, const Shape& src, int64_t channels, const Window& w) {
  check_window(c, w, src.rank() - 2);
  for (int64_t size : src)  // an attribute of gradients
    DS_CHECK(size >= 0 && size <= kMaxElements, ValueError, c.name(), ": shape ", src,
             " has a negative or huge size");
  Shape out{src[0], channels};
  for (int i = 0; i < src.rank() - 2; ++i) {
    const int64_t size = window_output(src[i + 2], w.kernel[i], w.stride[i], w.padding[i],
                                       w.padding_hi[i], w.dilation[i]);
    DS_CHECK(size >= 1, ShapeError, c.name(), ": kernel ", w.kernel, " with dilation ", w.dilation,
             " is larger than the padded input ", c.type(0), " at spatial dimension ", i);
    out.push_back(size);
  }
  return out;
}

Shape spatial_of(const Shape& shape) { return Shape(shape.begin() + 2, shape.end()); }

void check_groups(const InferContext& c, int64_t groups, int64_t ic, const Type& weights) {
  DS_CHECK(groups >= 1 && ic % groups == 0 && weights.shape[0] % groups == 0, ValueError, c.name(),
           ": groups ", groups, " do not divide ", ic, " input and ", weights.shape[0],
           " output channels");
  DS_CHECK(weights.shape[1] == ic / groups, ShapeError, c.name(), ": weights ", weights, " expect ",
           weights.shape[1] * groups, " input channels, the input has ", ic);
}

}  // namespace

std::vector<Type> infer_matmul(const InferContext& c) {
  check_same_dtype(c, 0, 1);
  const Shape &a = c.shape(0), &b = c.shape(1);
  DS_CHECK(a.rank() >= 2 && b.rank() >= 2, ShapeError, "matmul: lhs ", c.type(0), " and rhs ",
           c.type(1), " need at least 2 dimensions");
  DS_CHECK(a.back() == b[b.rank() - 2], ShapeError, "matmul: inner sizes differ: lhs ", c.type(0),
           ", rhs ", c.type(1), " (", a.back(), " != ", b[b.rank() - 2], ")");
  Shape out =
      broadcast_shapes(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2), "matmul");
  out.push_back(a[a.rank() - 2]);
  out.push_back(b.back());
  return {{c.dtype(0), out}};
}

std::vector<Type> infer_convolution(const InferContext& c) {
  check_floating(c, 0);
  check_same_dtype(c, 0, 1);
  check_rank(c, 0, 3, 5, "input");
  DS_CHECK(c.shape(1).rank() == c.shape(0).rank(), ShapeError, "convolution: input ", c.type(0),
           " and weights ", c.type(1), " differ in rank");
  check_groups(c, c.int_at(4), c.shape(0)[1], c.type(1));
  const Shape kernel = spatial_of(c.shape(1));
  const Window w{kernel, c.ints_at(0), c.ints_at(1), c.ints_at(2), c.ints_at(3)};
  return {{c.dtype(0), window_shape(c, c.shape(0), c.shape(1)[0], w)}};
}

std::vector<Type> infer_conv_diff_src(const InferContext& c) {
  check_floating(c, 0);
  check_same_dtype(c, 0, 1);
  check_rank(c, 0, 3, 5, "input");
  DS_CHECK(c.shape(1).rank() == c.shape(0).rank(), ShapeError, c.name(), ": input ", c.type(0),
           " and weights ", c.type(1), " differ in rank");
  const int64_t groups = c.int_at(5);
  DS_CHECK(groups >= 1 && groups <= std::max<int64_t>(c.shape(1)[0], 1), ValueError, c.name(),
           ": groups ", groups, " do not divide the channels of weights ", c.type(1));
  const int64_t ic = c.shape(1)[1] * groups;
  DS_CHECK(c.shape(0)[1] == c.shape(1)[0], ShapeError, c.name(), ": input ", c.type(0),
           " and weights ", c.type(1), " differ in channels (", c.shape(0)[1],
           " != ", c.shape(1)[0], ")");
  check_groups(c, groups, ic, c.type(1));
  Shape src{c.shape(0)[0], ic};
  for (int64_t size : c.ints_at(0)) src.push_back(size);
  DS_CHECK(src.rank() == c.shape(0).rank(), ShapeError, c.name(), ": src_spatial ", c.ints_at(0),
           " does not match ", c.type(0));
  const Shape kernel = spatial_of(c.shape(1));
  const Window w{kernel, c.ints_at(1), c.ints_at(2), c.ints_at(3), c.ints_at(4)};
  const Shape dst = window_shape(c, src, c.shape(0)[1], w);
  DS_CHECK(dst == c.shape(0), ShapeError, c.name(), ": a source ", src, " gives ", dst,
           ", the input is ", c.type(0));
  return {{c.dtype(0), src}};
}

std::vector<Type> infer_conv_diff_weights(const InferContext& c) {
  check_floating(c, 0);
  check_same_dtype(c, 0, 1);
  check_rank(c, 0, 3, 5, "src");
  check_rank(c, 1, c.shape(0).rank(), c.shape(0).rank(), "diff_dst");
  const Window w{c.ints_at(0), c.ints_at(1), c.ints_at(2), c.ints_at(3), c.ints_at(4)};
  const Shape dst = window_shape(c, c.shape(0), c.shape(1)[1], w);
  DS_CHECK(dst == c.shape(1), ShapeError, c.name(), ": src ", c.type(0), " gives ", dst,
           ", diff_dst is ", c.type(1));
  const int64_t groups = c.int_at(5);
  DS_CHECK(groups >= 1 && c.shape(0)[1] % groups == 0 && c.shape(1)[1] % groups == 0, ValueError,
           c.name(), ": groups ", groups, " do not divide the channels of ", c.type(0), " and ",
           c.type(1));
  Shape weights{c.shape(1)[1], c.shape(0)[1] / groups};
  for (int64_t size : c.ints_at(0)) weights.push_back(size);
  return {{c.dtype(0), weights}};
}

namespace {

Shape pool_shape(const InferContext& c, const Shape& src, int first_attr, Shape dilation) {
  const Window w{c.ints_at(first_attr), c.ints_at(first_attr + 1), c.ints_at(first_attr + 2),
                 c.ints_at(first_attr + 3), std::move(dilation)};
  return window_shape(c, src, src[1], w);
}

Shape with_spatial(const Shape& shape, const Shape& spatial) {
  Shape out{shape[0], shape[1]};
  for (int64_t size : spatial) out.push_back(size);
  return out;
}

void check_spatial_rank(const InferContext& c, const Shape& spatial) {
  check_rank(c, 0, 3, 5, "input");
  DS_CHECK(spatial.rank() == c.shape(0).rank() - 2, ShapeError, c.name(), ": ", spatial,
           " does not match the spatial dimensions of ", c.type(0));
}

}  // namespace

std::vector<Type> infer_max_pool(const InferContext& c) {
  check_rank(c, 0, 3, 5, "input");
  const Shape out = pool_shape(c, c.shape(0), 0, c.ints_at(4));
  return {{c.dtype(0), out}, {DType::i64, out}};
}

std::vector<Type> infer_max_pool_backward(const InferContext& c) {
  check_dtype(c, 1, DType::i64);
  check_shape(c, 1, c.shape(0), "indices");
  check_spatial_rank(c, c.ints_at(0));
  return {{c.dtype(0), with_spatial(c.shape(0), c.ints_at(0))}};
}

std::vector<Type> infer_avg_pool(const InferContext& c) {
  check_floating(c, 0);
  check_rank(c, 0, 3, 5, "input");
  return {{c.dtype(0), pool_shape(c, c.shape(0), 0, Shape::filled(c.shape(0).rank() - 2, 1))}};
}

std::vector<Type> infer_avg_pool_backward(const InferContext& c) {
  check_spatial_rank(c, c.ints_at(0));
  const Shape src = with_spatial(c.shape(0), c.ints_at(0));
  check_shape(c, 0, pool_shape(c, src, 1, Shape::filled(src.rank() - 2, 1)), "diff_dst");
  return {{c.dtype(0), src}};
}

std::vector<Type> infer_adaptive_pool(const InferContext& c) {
  check_spatial_rank(c, c.ints_at(0));
  for (int64_t size : c.ints_at(0))
    DS_CHECK(size >= 1, ValueError, c.name(), ": output_size ", c.ints_at(0), " must be positive");
  return {{c.dtype(0), with_spatial(c.shape(0), c.ints_at(0))}};
}

std::vector<Type> infer_adaptive_avg_pool_backward(const InferContext& c) {
  check_spatial_rank(c, c.ints_at(0));
  return {{c.dtype(0), with_spatial(c.shape(0), c.ints_at(0))}};
}

std::vector<Type> infer_adaptive_max_pool(const InferContext& c) {
  const std::vector<Type> values = infer_adaptive_pool(c);
  return {values[0], {DType::i64, values[0].shape}};
}

}  // namespace ds
