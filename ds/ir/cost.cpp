// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/cost.h"

#include <algorithm>

#include "ds/ir/recurrent.h"

namespace ds {
namespace {

double numel(const Type& type) { return static_cast<double>(type.shape.numel()); }

double bytes(const Type& type) { return numel(type) * static_cast<double>(dtype_size(type.dtype)); }

/// Every output of a convolution meets the weights of one of its channels.
double convolution_flops(const Type& dst, const Type& weights) {
  return 2.0 * numel(dst) * numel(weights) /
         static_cast<double>(std::max<int64_t>(weights.shape[0], 1));
}

/// Both products of softmax(q k') v.
double attention_flops(const Type& q, const Type& k, const Type& v) {
  const Shape& shape = q.shape;
  return 2.0 * static_cast<double>(shape[0] * shape[1] * shape[2]) *
         static_cast<double>(k.shape[2] * (shape[3] + v.shape[3]));
}

/// Every gate of every step meets the state; a projection the cell.
double recurrent_flops(const Node& node, const Type& gates) {
  const RecurrentForm form = recurrent_form(node);
  const double products = 2.0 * numel(gates) * static_cast<double>(form.out);
  return form.projected ? 1.25 * products : products;
}

double flops(const Node& node) {
  const auto in = [&](int i) -> const Type& { return node.input(i).type(); };
  switch (node.op()) {
    case Op::matmul_: return 2.0 * numel(node.type()) * static_cast<double>(in(0).shape.back());
    case Op::convolution_: return convolution_flops(node.type(), in(1));
    case Op::conv_diff_src_: return convolution_flops(in(0), in(1));
    case Op::conv_diff_weights_: return convolution_flops(in(1), node.type());
    case Op::attention_: return attention_flops(in(0), in(1), in(2));
    case Op::recurrent_: return recurrent_flops(node, in(0));
    case Op::recurrent_backward_: return recurrent_flops(node, node.type(0));
    case Op::attention_backward_: return 2.5 * attention_flops(in(1), in(2), in(3));
    default: break;
  }
  double count = 0;
  for (int i = 0; i < node.outputs(); ++i) count += numel(node.type(i));
  return count;
}

/// Reads another node's memory in another way.
bool is_reading_of_another(Op op) {
  switch (op) {
    case Op::reshape_:
    case Op::permute_:
    case Op::expand_:
    case Op::slice_:
    case Op::as_strided_: return true;
    default: return false;
  }
}

/// What a reader fetches of a value: a number that is expanded to a tensor stays one number.
double bytes_under(const Value& value) {
  double least = bytes(value.type());
  for (const Node* node = value.node.get(); is_reading_of_another(node->op());
       node = node->input(0).node.get())
    least = std::min(least, bytes(node->input(0).type()));
  return least;
}

}  // namespace

bool is_view(const Node& node) {
  if (is_reading_of_another(node.op())) return true;
  switch (node.op()) {
    case Op::slice_scatter_:
    case Op::as_strided_scatter_: return node.input(1).shape().numel() == 0;
    default: return node.info().op_class == OpClass::source;
  }
}

Cost node_cost(const Node& node) {
  if (is_view(node)) return {};
  Cost cost{flops(node), 0};
  const Values& inputs = node.inputs();
  for (auto it = inputs.begin(); it != inputs.end(); ++it)
    if (std::find(inputs.begin(), it, *it) == it) cost.bytes += bytes_under(*it);
  for (int i = 0; i < node.outputs(); ++i) cost.bytes += bytes(node.type(i));
  return cost;
}

}  // namespace ds
