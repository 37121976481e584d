// SPDX-License-Identifier: Apache-2.0
// Softmax, log-softmax, softmax cross-entropy and their gradients.
#include "ds/backends/cpu/kernels/softmax.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

bool is_compute_float(DType dtype) { return dtype == DType::f32 || is_half(dtype); }

bool refuse(std::string& why, const Node& node) {
  why = str("no kernel for ", node.input(0).type());
  return false;
}

}  // namespace

bool lower_softmax(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.type();
  if (!is_compute_float(type.dtype) || type.shape.numel() == 0 || type.shape.empty())
    return refuse(why, node);
  const View src = l.dense(node, l.view(node.input(0)));
  const Split s = split_around(
      src, normalize_dim(node.attr_int("dim"), src.dims.rank(), node.info().name.data()));
  const View out = l.temp(type.dtype, type.shape, src.strides);
  const DType dtype = type.dtype;
  const std::string kernel = str("cpu:", op_name(node.op()));
  if (node.inputs().size() == 1) {
    const auto function = node.op() == Op::softmax_ ? softmax : log_softmax;
    l.emit(node, kernel, {src}, {out}, [=](const Frame& frame) {
      function(dtype, frame.at(src), s.outer, s.n, s.inner, dtype, frame.at(out));
    });
  } else {
    const View dst = l.arranged(node, l.view(node.input(1)), src.strides);
    const auto function =
        node.op() == Op::softmax_backward_ ? softmax_backward : log_softmax_backward;
    l.emit(node, kernel, {src, dst}, {out}, [=](const Frame& frame) {
      function(dtype, frame.at(src), frame.at(dst), s.outer, s.n, s.inner, frame.at(out));
    });
  }
  l.define(node, 0, out);
  return true;
}

bool lower_cross_entropy(Lowering& l, const Node& node, std::string& why) {
  const bool forward = node.op() == Op::softmax_cross_entropy_;
  const int first = forward ? 0 : 1;  // position of logits
  const Type& type = node.input(first).type();
  if (!is_compute_float(type.dtype) || type.shape.rank() != 2 || type.shape.numel() == 0)
    return refuse(why, node);
  const View logits = l.row_major(node, l.view(node.input(first)));
  const View labels = l.row_major(node, l.view(node.input(first + 1)));
  const CrossEntropy shape{type.shape[0], type.shape[1], node.attr_int("ignore_index"),
                           static_cast<float>(node.attr_float("label_smoothing"))};
  const std::string kernel = str("cpu:", op_name(node.op()));
  if (forward) {
    const View loss = l.temp(DType::f32, {shape.rows}), lse = l.temp(DType::f32, {shape.rows});
    l.emit(node, kernel, {logits, labels}, {loss, lse}, [=](const Frame& frame) {
      cross_entropy(shape, logits.dtype, frame.at(logits), frame.at<int64_t>(labels),
                    frame.at<float>(loss), frame.at<float>(lse));
    });
    l.define(node, 0, loss);
    l.define(node, 1, lse);
    return true;
  }
  const View diff = l.view(node.input(0)), lse = l.row_major(node, l.view(node.input(3)));
  const View out = l.temp(type.dtype, type.shape);
  const int64_t stride = diff.strides[0];
  Step& step = l.emit(node, kernel, {diff, logits, labels, lse}, {out}, [=](const Frame& frame) {
    cross_entropy_backward(shape, logits.dtype, frame.at<float>(diff), stride, frame.at(logits),
                           frame.at<int64_t>(labels), frame.at<float>(lse), frame.at(out));
  });
  step.allow_in_place(logits, out);  // row by row
  l.define(node, 0, out);
  return true;
}

}  // namespace ds::cpu
