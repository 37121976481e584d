// SPDX-License-Identifier: Apache-2.0
// Recurrent layers. Sequences are taken and left as they lie, steps first or batch first.
#include "ds/backends/cpu/kernels/lstm.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// [T, N, width] with contiguous rows: the view itself, else a row-major copy.
View rows(Lowering& l, const Node& node, const View& view) {
  return view.strides[2] == 1 || view.dims[2] == 1 ? view : l.row_major(node, view);
}

/// A temporary [T, N, width] that lies as `like` does.
View sequence(Lowering& l, const View& like, int64_t width) {
  const Shape dims{like.dims[0], like.dims[1], width};
  if (like.strides[0] >= like.strides[1]) return l.temp(DType::f32, dims);
  return l.temp(DType::f32, dims, {width, like.dims[0] * width, 1});
}

template <class T>
Sequence<T> sequence_at(const Frame& frame, const View& view) {
  return {frame.at<float>(view), view.strides[0], view.strides[1]};
}

void lower_forward(Lowering& l, const Node& node, const LstmShape& shape) {
  const View gates = rows(l, node, l.view(node.input(0)));
  const View h0 = l.row_major(node, l.view(node.input(1)));
  const View c0 = l.row_major(node, l.view(node.input(2)));
  const View weight = l.row_major(node, l.view(node.input(3)));
  const View h = sequence(l, gates, shape.hidden), c = sequence(l, gates, shape.hidden);
  const bool keeps_gates = l.is_read(node, 2);
  const View activated = keeps_gates ? sequence(l, gates, 4 * shape.hidden) : View();
  const View space = l.scratch(lstm_weight_space(shape) * sizeof(float));
  std::vector<View> writes{h, c, space};
  if (keeps_gates) writes.push_back(activated);
  l.emit(node, "cpu:lstm", {gates, h0, c0, weight}, writes, [=](const Frame& frame) {
    LstmForward args{sequence_at<const float>(frame, gates),
                     frame.at<float>(h0),
                     frame.at<float>(c0),
                     frame.at<float>(weight),
                     sequence_at<float>(frame, h),
                     sequence_at<float>(frame, c),
                     {}};
    if (keeps_gates) args.activated = sequence_at<float>(frame, activated);
    lstm(shape, args, frame.at<float>(space));
  });
  l.define(node, 0, h);
  l.define(node, 1, c);
  if (keeps_gates) l.define(node, 2, activated);
}

void lower_backward(Lowering& l, const Node& node, const LstmShape& shape) {
  const View diff_h = rows(l, node, l.view(node.input(0)));
  const View activated = rows(l, node, l.view(node.input(1)));
  const View c = rows(l, node, l.view(node.input(2)));
  const View c0 = l.row_major(node, l.view(node.input(3)));
  const View weight = l.row_major(node, l.view(node.input(4)));
  const bool has_diff_c = node.inputs().size() > 5;
  const View diff_c = has_diff_c ? rows(l, node, l.view(node.input(5))) : View();
  const View diff_gates = sequence(l, activated, 4 * shape.hidden);
  const View diff_h0 = l.temp(DType::f32, c0.dims), diff_c0 = l.temp(DType::f32, c0.dims);
  const View space = l.scratch(lstm_backward_weight_space(shape) * sizeof(float));
  std::vector<View> reads{diff_h, activated, c, c0, weight};
  if (has_diff_c) reads.push_back(diff_c);
  l.emit(node, "cpu:lstm_backward", reads, {diff_gates, diff_h0, diff_c0, space},
         [=](const Frame& frame) {
           LstmBackward args{sequence_at<const float>(frame, diff_h),
                             sequence_at<const float>(frame, activated),
                             sequence_at<const float>(frame, c),
                             {},
                             frame.at<float>(c0),
                             frame.at<float>(weight),
                             sequence_at<float>(frame, diff_gates),
                             frame.at<float>(diff_h0),
                             frame.at<float>(diff_c0)};
           if (has_diff_c) args.diff_c = sequence_at<const float>(frame, diff_c);
           lstm_backward(shape, args, frame.at<float>(space));
         });
  l.define(node, 0, diff_gates);
  l.define(node, 1, diff_h0);
  l.define(node, 2, diff_c0);
}

}  // namespace

bool lower_recurrent(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(0).type();
  if (type.dtype != DType::f32 || type.shape.numel() == 0) {
    why = str("no kernel for ", type);
    return false;
  }
  const bool forward = node.op() == Op::lstm_;
  const int64_t hidden = forward ? type.shape[2] / 4 : type.shape[2];
  const LstmShape shape{type.shape[0], type.shape[1], hidden, node.attr_bool("reverse")};
  (forward ? lower_forward : lower_backward)(l, node, shape);
  return true;
}

}  // namespace ds::cpu
