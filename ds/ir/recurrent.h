// SPDX-License-Identifier: Apache-2.0
// What the inputs and attributes of recurrent and recurrent_backward say, for everyone who reads
// such a node: its kind, its sizes and where the inputs stand that only some kinds have.
#pragma once

#include <string_view>

#include "ds/ir/node.h"

namespace ds {

enum class CellKind { rnn_tanh, rnn_relu, lstm, gru };

/// The attribute's text; ValueError for any other.
CellKind cell_kind(std::string_view name);
std::string cell_kind_name(CellKind kind);
/// Gates of a step: as many times the state's width comes from the input.
int64_t gate_count(CellKind kind);

struct RecurrentForm {
  CellKind kind;
  bool reverse;
  bool packed;     // sequences of different lengths: [R, width] instead of [T, N, width]
  bool projected;  // an LSTM whose h is narrower than its cell
  int64_t steps, batch, hidden, out;  // out: the width of h
  // Places of inputs, -1 where the node has none.
  int weight, c0 = -1, bias = -1, projection = -1, sizes = -1, diff_c = -1;
};
/// ShapeError when the inputs that sizes are read from have too few dimensions, or their number
/// does not fit.
RecurrentForm recurrent_form(Op op, const Values& inputs, const Attrs& attrs);
inline RecurrentForm recurrent_form(const Node& node) {
  return recurrent_form(node.op(), node.inputs(), node.attrs());
}

}  // namespace ds
