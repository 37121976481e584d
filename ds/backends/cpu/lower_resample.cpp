// SPDX-License-Identifier: Apache-2.0
// Interpolation of activations as they lie.
#include "ds/backends/cpu/activation.h"
#include "ds/backends/cpu/kernels/resample.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// What lies before and behind a dimension of [N, C, spatial...] in memory.
struct Around {
  int64_t outer = 1, inner = 1;
};
Around around(const Shape& dims, int dim, bool channels_last) {
  Around result;
  for (int d = 0; d < dims.rank(); ++d) {
    if (d == dim) continue;
    const bool behind = channels_last ? dim != 1 && (d == 1 || d > dim) : d > dim;
    (behind ? result.inner : result.outer) *= dims[d];
  }
  return result;
}

}  // namespace

bool lower_resample(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(0).type();
  if (type.dtype != DType::f32 || type.shape.rank() < 2 || type.shape.numel() == 0 ||
      node.type().shape.numel() == 0) {
    why = str("no kernel for ", type);
    return false;
  }
  const Activation x = activation(l, node, l.view(node.input(0)));
  const View index = l.row_major(node, l.view(node.input(1)));
  const View weight = l.row_major(node, l.view(node.input(2)));
  const bool backward = node.op() == Op::resample_backward_;
  const bool last = x.channels_last && type.shape.rank() > 2;
  const int dim = static_cast<int>(node.attr_int("dim"));
  const Shape& dims = node.type().shape;
  const View src = x.view;
  const View dst = last ? l.temp(DType::f32, dims, channels_last(DType::f32, dims).strides)
                        : l.temp(DType::f32, dims);
  const Around sizes = around(dims, dim, last);
  const int64_t size = backward ? dims[dim] : type.shape[dim];
  const int64_t taps = index.dims[0], out = index.dims[1];
  l.emit(
      node, str("cpu:", op_name(node.op())), {src, index, weight}, {dst}, [=](const Frame& frame) {
        const Taps all{
            {frame.at<int64_t>(index), taps * out, dim, size}, frame.at<float>(weight), taps, out};
        (backward ? resample_backward : resample)(all, sizes.outer, sizes.inner,
                                                  frame.at<float>(src), frame.at<float>(dst));
      });
  l.define(node, 0, dst);
  return true;
}

}  // namespace ds::cpu
