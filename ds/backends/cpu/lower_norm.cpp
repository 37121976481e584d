// SPDX-License-Identifier: Apache-2.0
// Normalisation. Batch and group normalisation take activations as they lie, channels first or
// last, so that nothing is rearranged between convolutions.
#include "ds/backends/cpu/activation.h"
#include "ds/backends/cpu/kernels/norm.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

bool refuse(std::string& why, const Node& node) {
  why = str("no kernel for ", node.input(0).type());
  return false;
}

BatchShape batch_shape(const Activation& x) {
  const Shape& dims = x.view.dims;
  return {dims[0], dims[1], dims.numel() / (dims[0] * dims[1]), x.channels_last};
}

/// Operands [C] and the variance-like scale of a batch normalisation.
BatchNorm batch_operands(const Frame& frame, const View& mean, const View& var, const View& gamma,
                         const View* beta, float eps) {
  return {frame.at<float>(mean), frame.at<float>(var), frame.at<float>(gamma),
          beta ? frame.at<float>(*beta) : nullptr, eps};
}

View statistic(Lowering& l, const Node& node, int input) {
  return l.row_major(node, l.view(node.input(input)));
}

void lower_forward(Lowering& l, const Node& node) {
  const Activation x = activation(l, node, l.view(node.input(0)));
  const View gamma = statistic(l, node, 1), beta = statistic(l, node, 2);
  const BatchShape shape = batch_shape(x);
  const auto eps = static_cast<float>(node.attr_float("eps"));
  const DType dtype = x.view.dtype;
  const View mean = l.temp(DType::f32, {shape.c}), var = l.temp(DType::f32, {shape.c});
  const View src = x.view;
  l.emit(node, "cpu:batch_norm statistics", {src}, {mean, var}, [=](const Frame& frame) {
    batch_norm_statistics(dtype, frame.at(src), shape, frame.at<float>(mean), frame.at<float>(var));
  });
  l.define(node, 1, mean);
  l.define(node, 2, var);
  if (!l.is_read(node, 0)) return;
  const View y = l.temp(dtype, src.dims, src.strides);
  l.emit(node, "cpu:batch_norm", {src, mean, var, gamma, beta}, {y}, [=](const Frame& frame) {
    batch_norm_apply(dtype, frame.at(src), shape,
                     batch_operands(frame, mean, var, gamma, &beta, eps), nullptr, false,
                     frame.at(y));
  });
  l.define(node, 0, y);
}

void lower_backward(Lowering& l, const Node& node) {
  const Activation x = activation(l, node, l.view(node.input(1)));
  const View src = x.view;
  const View dy = l.arranged(node, l.view(node.input(0)), src.strides);
  const View gamma = statistic(l, node, 2), mean = statistic(l, node, 3),
             var = statistic(l, node, 4);
  const BatchShape shape = batch_shape(x);
  const auto eps = static_cast<float>(node.attr_float("eps"));
  const DType dtype = src.dtype;
  const View dgamma = l.temp(DType::f32, {shape.c}), dbeta = l.temp(DType::f32, {shape.c});
  l.emit(node, "cpu:batch_norm_backward sums", {dy, src, gamma, mean, var}, {dgamma, dbeta},
         [=](const Frame& frame) {
           batch_norm_backward_reduce(dtype, frame.at(dy), frame.at(src), nullptr, shape,
                                      batch_operands(frame, mean, var, gamma, nullptr, eps),
                                      frame.at<float>(dgamma), frame.at<float>(dbeta));
         });
  l.define(node, 1, dgamma);
  l.define(node, 2, dbeta);
  if (!l.is_read(node, 0)) return;
  const View dx = l.temp(dtype, src.dims, src.strides);
  Step& step =
      l.emit(node, "cpu:batch_norm_backward", {dy, src, gamma, mean, var, dgamma, dbeta}, {dx},
             [=](const Frame& frame) {
               batch_norm_backward_apply(dtype, frame.at(dy), frame.at(src), nullptr, shape,
                                         batch_operands(frame, mean, var, gamma, nullptr, eps),
                                         frame.at<float>(dgamma), frame.at<float>(dbeta), false,
                                         frame.at(dx), nullptr);
             });
  step.allow_in_place(dy, dx);
  step.allow_in_place(src, dx);
  l.define(node, 0, dx);
}

GroupShape group_shape(const Activation& x, const Node& node) {
  return {batch_shape(x), node.attr_int("groups")};
}

void lower_group_forward(Lowering& l, const Node& node) {
  const Activation x = activation(l, node, l.view(node.input(0)));
  const View gamma = statistic(l, node, 1), beta = statistic(l, node, 2), src = x.view;
  const GroupShape shape = group_shape(x, node);
  const auto eps = static_cast<float>(node.attr_float("eps"));
  const DType dtype = src.dtype;
  const View mean = l.temp(DType::f32, node.type(1).shape);
  const View var = l.temp(DType::f32, node.type(1).shape);
  l.emit(node, "cpu:group_norm statistics", {src}, {mean, var}, [=](const Frame& frame) {
    group_norm_statistics(dtype, frame.at(src), shape, frame.at<float>(mean), frame.at<float>(var));
  });
  l.define(node, 1, mean);
  l.define(node, 2, var);
  if (!l.is_read(node, 0)) return;
  const View y = l.temp(dtype, src.dims, src.strides);
  l.emit(node, "cpu:group_norm", {src, mean, var, gamma, beta}, {y}, [=](const Frame& frame) {
    group_norm_apply(dtype, frame.at(src), shape,
                     batch_operands(frame, mean, var, gamma, &beta, eps), frame.at(y));
  });
  l.define(node, 0, y);
}

void lower_group_backward(Lowering& l, const Node& node) {
  const Activation x = activation(l, node, l.view(node.input(1)));
  const View src = x.view;
  const View dy = l.arranged(node, l.view(node.input(0)), src.strides);
  const View gamma = statistic(l, node, 2), mean = statistic(l, node, 3),
             var = statistic(l, node, 4);
  const GroupShape shape = group_shape(x, node);
  const auto eps = static_cast<float>(node.attr_float("eps"));
  const DType dtype = src.dtype;
  const View dgamma = l.temp(DType::f32, {shape.c}), dbeta = l.temp(DType::f32, {shape.c});
  const bool wants_dx = l.is_read(node, 0);
  const View dx = wants_dx ? l.temp(dtype, src.dims, src.strides) : View();
  std::vector<View> outputs{dgamma, dbeta};
  if (wants_dx) outputs.push_back(dx);
  Step& step = l.emit(node, "cpu:group_norm_backward", {dy, src, gamma, mean, var}, outputs,
                      [=](const Frame& frame) {
                        group_norm_backward(dtype, frame.at(dy), frame.at(src), shape,
                                            batch_operands(frame, mean, var, gamma, nullptr, eps),
                                            wants_dx ? frame.at(dx) : nullptr,
                                            frame.at<float>(dgamma), frame.at<float>(dbeta));
                      });
  l.define(node, 1, dgamma);
  l.define(node, 2, dbeta);
  if (!wants_dx) return;
  step.allow_in_place(dy, dx);
  l.define(node, 0, dx);
}

/// Rows of the last `ndims` dimensions.
struct RowShape {
  int64_t rows, n;
  Shape leading;
};

RowShape row_shape(const Shape& dims, int64_t ndims) {
  RowShape r{1, 1, {}};
  for (int i = 0; i < dims.rank(); ++i) {
    if (i < dims.rank() - ndims) {
      r.rows *= dims[i];
      r.leading.push_back(dims[i]);
    } else {
      r.n *= dims[i];
    }
  }
  return r;
}

}  // namespace

bool lower_batch_norm(Lowering& l, const Node& node, std::string& why) {
  const bool forward = node.op() == Op::batch_norm_;
  const Type& type = node.input(forward ? 0 : 1).type();
  if (!is_activation(type)) return refuse(why, node);
  if (forward)
    lower_forward(l, node);
  else
    lower_backward(l, node);
  return true;
}

bool lower_group_norm(Lowering& l, const Node& node, std::string& why) {
  const bool forward = node.op() == Op::group_norm_;
  if (!is_activation(node.input(forward ? 0 : 1).type())) return refuse(why, node);
  if (forward)
    lower_group_forward(l, node);
  else
    lower_group_backward(l, node);
  return true;
}

bool lower_layer_norm(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(0).type();
  if (!is_half_or_f32(type.dtype) || type.shape.numel() == 0) return refuse(why, node);
  const bool rms = node.op() == Op::rms_norm_;
  const View x = l.row_major(node, l.view(node.input(0))), gamma = statistic(l, node, 1);
  const View beta = rms ? gamma : statistic(l, node, 2);
  const RowShape r = row_shape(type.shape, node.attr_int("ndims"));
  const auto eps = static_cast<float>(node.attr_float("eps"));
  const View y = l.temp(type.dtype, type.shape);
  const View mean = rms ? View() : l.temp(DType::f32, r.leading);
  const View rstd = l.temp(DType::f32, r.leading);
  const DType dtype = type.dtype;
  if (rms) {
    l.emit(node, "cpu:rms_norm", {x, gamma}, {y, rstd}, [=](const Frame& frame) {
      rms_norm(dtype, frame.at(x), r.rows, r.n, frame.at<float>(gamma), eps, frame.at(y),
               frame.at<float>(rstd));
    });
  } else {
    l.emit(node, "cpu:layer_norm", {x, gamma, beta}, {y, mean, rstd}, [=](const Frame& frame) {
      layer_norm(dtype, frame.at(x), r.rows, r.n, frame.at<float>(gamma), frame.at<float>(beta),
                 eps, frame.at(y), frame.at<float>(mean), frame.at<float>(rstd));
    });
  }
  l.define(node, 0, y);
  if (!rms) l.define(node, 1, mean);
  l.define(node, rms ? 1 : 2, rstd);
  return true;
}

bool lower_layer_norm_backward(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(1).type();
  if (!is_half_or_f32(type.dtype) || type.shape.numel() == 0) return refuse(why, node);
  const bool rms = node.op() == Op::rms_norm_backward_;
  const View dy = l.row_major(node, l.view(node.input(0)));
  const View x = l.row_major(node, l.view(node.input(1))), gamma = statistic(l, node, 2);
  const View mean = statistic(l, node, 3), rstd = rms ? mean : statistic(l, node, 4);
  const RowShape r = row_shape(type.shape, node.attr_int("ndims"));
  const View dx = l.temp(type.dtype, type.shape), dgamma = l.temp(DType::f32, gamma.dims);
  const View dbeta = rms ? View() : l.temp(DType::f32, gamma.dims);
  const DType dtype = type.dtype;
  if (rms) {
    l.emit(
        node, "cpu:rms_norm_backward", {dy, x, gamma, rstd}, {dx, dgamma}, [=](const Frame& frame) {
          rms_norm_backward(dtype, frame.at(dy), frame.at(x), r.rows, r.n, frame.at<float>(gamma),
                            frame.at<float>(rstd), frame.at(dx), frame.at<float>(dgamma));
        });
  } else {
    l.emit(node, "cpu:layer_norm_backward", {dy, x, gamma, mean, rstd}, {dx, dgamma, dbeta},
           [=](const Frame& frame) {
             layer_norm_backward(dtype, frame.at(dy), frame.at(x), r.rows, r.n,
                                 frame.at<float>(gamma), frame.at<float>(mean),
                                 frame.at<float>(rstd), frame.at(dx), frame.at<float>(dgamma),
                                 frame.at<float>(dbeta));
           });
  }
  l.define(node, 0, dx);
  l.define(node, 1, dgamma);
  if (!rms) l.define(node, 2, dbeta);
  return true;
}

}  // namespace ds::cpu
