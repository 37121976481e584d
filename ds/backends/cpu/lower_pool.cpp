// SPDX-License-Identifier: Apache-2.0
// Pooling of activations as they lie.
#include "ds/backends/cpu/activation.h"
#include "ds/backends/cpu/kernels/pool.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

std::span<const int64_t> spatial(const Shape& dims) { return {dims.begin() + 2, dims.end()}; }
std::span<const int64_t> all(const Shape& values) { return {values.begin(), values.end()}; }

bool is_adaptive(Op op) {
  return op == Op::adaptive_avg_pool_ || op == Op::adaptive_max_pool_ ||
         op == Op::adaptive_avg_pool_backward_;
}

/// The pooling from `src` to `dst` (shapes [N, C, ...]) that a node describes.
PoolShape problem(const Node& node, const Shape& src, const Shape& dst, bool channels_last) {
  if (is_adaptive(node.op()))
    return adaptive_pool_shape(src[0], src[1], channels_last, spatial(src), spatial(dst));
  const Shape ones = Shape::filled(src.rank() - 2, 1), zeros = Shape::filled(src.rank() - 2, 0);
  // The indices of max_pool_backward say where everything goes; its windows are not asked for.
  if (node.op() == Op::max_pool_backward_)
    return pool_shape(src[0], src[1], channels_last, spatial(src), spatial(dst), all(ones),
                      all(ones), all(zeros), all(ones));
  const bool max = node.op() == Op::max_pool_;
  return pool_shape(src[0], src[1], channels_last, spatial(src), spatial(dst),
                    all(node.attr_ints("kernel")), all(node.attr_ints("stride")),
                    all(node.attr_ints("padding")), all(max ? node.attr_ints("dilation") : ones));
}

PoolMean mean_of(const Node& node) {
  if (is_adaptive(node.op())) return {};
  return {node.attr_bool("count_include_pad"), node.attr_int("divisor")};
}

View like(Lowering& l, DType dtype, const Shape& dims, bool channels_last) {
  return channels_last ? l.temp(dtype, dims, cpu::channels_last(dtype, dims).strides)
                       : l.temp(dtype, dims);
}

bool refuse(std::string& why, const Node& node) {
  why = str("no kernel for ", node.input(0).type());
  return false;
}

}  // namespace

bool lower_pool(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(0).type();
  if (!is_activation(type) || type.shape.rank() < 3 || node.type().shape.numel() == 0)
    return refuse(why, node);
  const Activation x = activation(l, node, l.view(node.input(0)));
  const PoolShape shape = problem(node, type.shape, node.type().shape, x.channels_last);
  const View src = x.view;
  const View dst = like(l, type.dtype, node.type().shape, x.channels_last);
  const std::string kernel = str("cpu:", op_name(node.op()));
  const DType dtype = type.dtype;
  if (node.outputs() == 2) {
    const View indices = like(l, DType::i64, node.type().shape, x.channels_last);
    l.emit(node, kernel, {src}, {dst, indices}, [=](const Frame& frame) {
      max_pool(dtype, frame.at(src), shape, frame.at(dst), frame.at<int64_t>(indices));
    });
    l.define(node, 1, indices);
  } else {
    const PoolMean mean = mean_of(node);
    l.emit(node, kernel, {src}, {dst},
           [=](const Frame& frame) { avg_pool(dtype, frame.at(src), shape, mean, frame.at(dst)); });
  }
  l.define(node, 0, dst);
  return true;
}

bool lower_pool_backward(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(0).type();
  if (!is_activation(type) || type.shape.rank() < 3 || node.type().shape.numel() == 0)
    return refuse(why, node);
  const Activation dy = activation(l, node, l.view(node.input(0)));
  const PoolShape shape = problem(node, node.type().shape, type.shape, dy.channels_last);
  const View dst = dy.view;
  const View dx = like(l, type.dtype, node.type().shape, dy.channels_last);
  const std::string kernel = str("cpu:", op_name(node.op()));
  const DType dtype = type.dtype;
  if (node.op() == Op::max_pool_backward_) {
    const View wanted = like(l, DType::i64, type.shape, dy.channels_last);
    const View indices = l.arranged(node, l.view(node.input(1)), wanted.strides);
    l.emit(node, kernel, {dst, indices}, {dx}, [=](const Frame& frame) {
      max_pool_backward(dtype, frame.at(dst), frame.at<int64_t>(indices), shape, frame.at(dx));
    });
  } else {
    const PoolMean mean = mean_of(node);
    l.emit(node, kernel, {dst}, {dx}, [=](const Frame& frame) {
      avg_pool_backward(dtype, frame.at(dst), shape, mean, frame.at(dx));
    });
  }
  l.define(node, 0, dx);
  return true;
}

}  // namespace ds::cpu
