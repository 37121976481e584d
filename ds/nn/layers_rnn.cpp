// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/layers_rnn.h"

#include <cmath>
#include <utility>

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/function.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

namespace ds::nn {
namespace {

int64_t gate_count(CellKind kind) {
  return kind == CellKind::lstm ? 4 : kind == CellKind::gru ? 3 : 1;
}

std::string kind_name(CellKind kind) {
  return kind == CellKind::lstm ? "LSTM" : kind == CellKind::gru ? "GRU" : "RNN";
}

RecurrentState next_state(CellKind kind, const Tensor& xp, const Tensor& hp,
                          const RecurrentState& s) {
  if (kind == CellKind::lstm) {  // i, f, g, o
    const std::vector<Tensor> gates = chunk(xp + hp, 4, 1);
    const Tensor c = sigmoid(gates[1]) * s.c + sigmoid(gates[0]) * tanh(gates[2]);
    return {sigmoid(gates[3]) * tanh(c), c};
  }
  if (kind == CellKind::gru) {  // r, z, n; the reset gate works on the projected state
    const std::vector<Tensor> x = chunk(xp, 3, 1), h = chunk(hp, 3, 1);
    const Tensor r = sigmoid(x[0] + h[0]), z = sigmoid(x[1] + h[1]);
    const Tensor n = tanh(x[2] + r * h[2]);
    return {n + z * (s.h - n), {}};
  }
  const Tensor sum = xp + hp;
  return {kind == CellKind::rnn_relu ? relu(sum) : tanh(sum), {}};
}

/// The next state from the projected input and the projected state (both [N, gates * hidden]). One
/// node: a sequence records hundreds of them.
RecurrentState step(CellKind kind, const Tensor& xp, const Tensor& hp, const RecurrentState& s) {
  std::vector<Tensor> inputs{xp, hp, s.h};
  if (s.c.defined()) inputs.push_back(s.c);
  const std::vector<Tensor> next = call_function(
      "recurrent step", {static_cast<double>(kind)}, inputs, [&](const std::vector<Tensor>& in) {
        const RecurrentState now =
            next_state(kind, in[0], in[1], {in[2], s.c.defined() ? in[3] : Tensor()});
        return now.c.defined() ? std::vector<Tensor>{now.h, now.c} : std::vector<Tensor>{now.h};
      });
  return {next[0], next.size() > 1 ? next[1] : Tensor()};
}

/// Whether the operation that takes an LSTM through all steps pays. It computes in f32, which only
/// a large product of 16 bits outruns.
bool runs_at_once(DType projected, const Tensor& h) {
  if (projected == DType::f32 && !autocast()) return true;
  constexpr double kFlops = 5e7;  // of one step
  const double hidden = static_cast<double>(h.size(1));
  return (projected == DType::f32 || is_half(projected)) &&
         8.0 * static_cast<double>(h.size(0)) * hidden * hidden <= kFlops;
}

CellKind rnn_kind(const std::string& nonlinearity) {
  DS_CHECK(nonlinearity == "tanh" || nonlinearity == "relu", ValueError, "RNN: nonlinearity '",
           nonlinearity, "' is unknown; use tanh or relu");
  return nonlinearity == "relu" ? CellKind::rnn_relu : CellKind::rnn_tanh;
}

void add_uniform(Module& module, const std::string& name, bool present, const Shape& shape,
                 int64_t hidden) {
  const Tensor t = module.register_parameter(name, present ? empty(shape) : Tensor());
  const double bound = hidden > 0 ? 1.0 / std::sqrt(static_cast<double>(hidden)) : 0.0;
  if (present) init::uniform_(t, -bound, bound);
}

}  // namespace

Recurrent::Recurrent(CellKind kind, RecurrentOptions options) : kind_(kind), options_(options) {
  const RecurrentOptions& o = options_;
  DS_CHECK(o.hidden_size >= 1 && o.num_layers >= 1, ValueError, type_name(), ": hidden_size ",
           o.hidden_size, " and num_layers ", o.num_layers, " must be positive");
  DS_CHECK(o.proj_size == 0 || (kind == CellKind::lstm && o.proj_size < o.hidden_size), ValueError,
           type_name(), ": proj_size ", o.proj_size,
           " needs an LSTM and must be smaller than hidden_size ", o.hidden_size);
  const int64_t directions = o.bidirectional ? 2 : 1, gates = gate_count(kind) * o.hidden_size;
  const int64_t out = o.proj_size > 0 ? o.proj_size : o.hidden_size;
  for (int64_t layer = 0; layer < o.num_layers; ++layer)
    for (int64_t d = 0; d < directions; ++d) {
      const std::string end = suffix(layer, d == 1);
      add_uniform(*this, "weight_ih" + end, true,
                  {gates, layer == 0 ? o.input_size : out * directions}, o.hidden_size);
      add_uniform(*this, "weight_hh" + end, true, {gates, out}, o.hidden_size);
      if (o.bias) {
        add_uniform(*this, "bias_ih" + end, true, {gates}, o.hidden_size);
        add_uniform(*this, "bias_hh" + end, true, {gates}, o.hidden_size);
      }
      if (o.proj_size > 0)
        add_uniform(*this, "weight_hr" + end, true, {o.proj_size, o.hidden_size}, o.hidden_size);
    }
}

std::string Recurrent::type_name() const { return kind_name(kind_); }

std::string Recurrent::extra_repr() const {
  const RecurrentOptions& o = options_;
  std::string text = str(o.input_size, ", ", o.hidden_size);
  if (o.proj_size != 0) text += str(", proj_size=", o.proj_size);
  if (o.num_layers != 1) text += str(", num_layers=", o.num_layers);
  if (!o.bias) text += ", bias=False";
  if (o.batch_first) text += ", batch_first=True";
  if (o.dropout != 0) text += str(", dropout=", o.dropout);
  if (o.bidirectional) text += ", bidirectional=True";
  return text;
}

std::string Recurrent::suffix(int64_t layer, bool reverse) const {
  return str("_l", layer, reverse ? "_reverse" : "");
}

RecurrentLengths::RecurrentLengths(const Tensor& lengths, int64_t steps) {
  const int64_t batch = lengths.size(0);
  const Tensor columns = arange(batch), length = unsqueeze(lengths, 0);
  const Tensor times = unsqueeze(arange(steps), 1);
  valid = gt(length, times);
  last = (lengths - 1) * batch + columns;
  mirrored = flatten(where(valid, length - 1 - times, times) * batch + columns);
}

std::pair<Tensor, RecurrentState> Recurrent::run_at_once(const Tensor& projected,
                                                         const RecurrentState& state,
                                                         const Tensor& weight, bool reverse,
                                                         const RecurrentLengths* lengths) {
  const DType dtype = promote(projected.dtype(), state.h.dtype());
  const auto f32 = [](const Tensor& t) { return to_dtype(t, DType::f32); };
  const auto rows_at = [](const Tensor& t, const Tensor& places) {
    return index_select(flatten(t, 0, 1), 0, places);
  };
  // Sequences that end at different times start there when they run backwards.
  const bool mirrored = reverse && lengths;
  const auto mirror = [&](const Tensor& t) {
    return reshape(rows_at(t, lengths->mirrored), t.shape());
  };
  const Tensor gates = mirrored ? mirror(f32(projected)) : f32(projected);
  const std::vector<Tensor> out = record_all(
      Op::lstm_, {gates, f32(state.h), f32(state.c), f32(weight)}, {reverse && !lengths});
  Tensor h = to_dtype(out[0], dtype);
  const Tensor c = to_dtype(out[1], dtype);
  if (!lengths) {
    const int64_t last = reverse ? 0 : projected.size(0) - 1;
    return {h, {select(h, 0, last), select(c, 0, last)}};
  }
  const RecurrentState end{rows_at(h, lengths->last), rows_at(c, lengths->last)};
  if (mirrored) h = mirror(h);
  return {where(unsqueeze(lengths->valid, 2), h, zeros_like(h)), end};
}

std::pair<Tensor, RecurrentState> Recurrent::run_direction(const Tensor& x, int64_t layer,
                                                           bool reverse, RecurrentState state,
                                                           const RecurrentLengths* lengths) {
  const std::string end = suffix(layer, reverse);
  const auto bias = [&](const char* name) {
    return options_.bias ? optional_parameter(name + end) : std::nullopt;
  };
  Tensor projected = linear(x, parameter("weight_ih" + end), bias("bias_ih"));
  // Where the gates add up both parts as they are, the second bias is added once for all steps.
  std::optional<Tensor> bias_hh = bias("bias_hh");
  if (bias_hh && autocast()) bias_hh = to_dtype(*bias_hh, projected.dtype());
  if (bias_hh && kind_ != CellKind::gru) projected = projected + *std::exchange(bias_hh, {});
  const Tensor weight = parameter("weight_hh" + end);
  const bool is_lstm = kind_ == CellKind::lstm && options_.proj_size == 0;
  // As in PyTorch, whose GRU and packed LSTM keep f32 states.
  if (autocast() && ((is_lstm && !lengths) || gate_count(kind_) == 1)) {
    state.h = to_dtype(state.h, projected.dtype());
    if (is_lstm) state.c = to_dtype(state.c, projected.dtype());
  }
  if (is_lstm && runs_at_once(projected.dtype(), state.h))
    return run_at_once(projected, state, weight, reverse, lengths);
  const int64_t steps = x.size(0);
  const Tensor turned = transpose(weight, 0, 1);
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = reverse ? steps - 1 - i : i;
    Tensor recurrent = matmul(state.h, turned);
    if (bias_hh) recurrent = recurrent + *bias_hh;
    RecurrentState next = step(kind_, select(projected, 0, t), recurrent, state);
    if (options_.proj_size > 0) next.h = linear(next.h, parameter("weight_hr" + end));
    Tensor out = next.h;
    if (lengths) {
      const Tensor valid = unsqueeze(select(lengths->valid, 0, t), 1);
      out = where(valid, next.h, zeros_like(next.h));
      next.h = where(valid, next.h, state.h);
      if (next.c.defined()) next.c = where(valid, next.c, state.c);
    }
    state = next;
    outputs[static_cast<size_t>(t)] = out;
  }
  return {stack(outputs), state};
}

std::pair<Tensor, RecurrentState> Recurrent::forward(const Tensor& input,
                                                     const std::optional<RecurrentState>& initial,
                                                     const std::optional<Tensor>& lengths) {
  const RecurrentOptions& o = options_;
  DS_CHECK(input.dim() == 2 || input.dim() == 3, ShapeError, type_name(), ": the input is ",
           input.type(), "; it must have 2 or 3 dimensions");
  DS_CHECK(input.size(-1) == o.input_size, ShapeError, type_name(), ": the input is ", input.type(),
           "; its last size must be ", o.input_size);
  const bool batched = input.dim() == 3;
  Tensor x = !batched ? unsqueeze(input, 1) : o.batch_first ? transpose(input, 0, 1) : input;
  DS_CHECK(x.size(0) >= 1, ShapeError, type_name(), ": the input ", input.type(), " has no steps");
  const int64_t directions = o.bidirectional ? 2 : 1, batch = x.size(1);
  const int64_t out = o.proj_size > 0 ? o.proj_size : o.hidden_size;
  const auto check_state = [&](const Tensor& state, const char* what, int64_t size) {
    const Shape wanted = batched ? Shape{directions * o.num_layers, batch, size}
                                 : Shape{directions * o.num_layers, size};
    DS_CHECK(state.shape() == wanted, ShapeError, type_name(), ": the initial ", what, " state is ",
             state.type(), "; it must be ", wanted, " for the input ", input.type());
  };
  if (initial) check_state(initial->h, "hidden", out);
  if (initial && kind_ == CellKind::lstm) check_state(initial->c, "cell", o.hidden_size);
  const auto initial_state = [&](int64_t index) -> RecurrentState {
    if (!initial)
      return {zeros({batch, out}, x.dtype(), x.device()),
              kind_ == CellKind::lstm ? zeros({batch, o.hidden_size}, x.dtype(), x.device())
                                      : Tensor()};
    const auto pick = [&](const Tensor& t) {
      return select(batched ? t : unsqueeze(t, 1), 0, index);
    };
    return {pick(initial->h), kind_ == CellKind::lstm ? pick(initial->c) : Tensor()};
  };
  std::optional<RecurrentLengths> packed;
  if (lengths) packed.emplace(*lengths, x.size(0));
  std::vector<Tensor> last_h, last_c;
  for (int64_t layer = 0; layer < o.num_layers; ++layer) {
    std::vector<Tensor> sides;
    for (int64_t d = 0; d < directions; ++d) {
      auto [side, state] = run_direction(x, layer, d == 1, initial_state(layer * directions + d),
                                         packed ? &*packed : nullptr);
      sides.push_back(side);
      last_h.push_back(state.h);
      last_c.push_back(state.c);
    }
    x = sides.size() == 1 ? sides[0] : cat(sides, 2);
    if (layer + 1 < o.num_layers && o.dropout > 0 && is_training()) x = dropout(x, o.dropout, true);
  }
  RecurrentState last{stack(last_h), kind_ == CellKind::lstm ? stack(last_c) : Tensor()};
  if (!batched) {
    x = squeeze(x, 1);
    last.h = squeeze(last.h, 1);
    if (last.c.defined()) last.c = squeeze(last.c, 1);
  } else if (o.batch_first) {
    x = transpose(x, 0, 1);
  }
  return {x, last};
}

RecurrentCell::RecurrentCell(CellKind kind, int64_t input_size, int64_t hidden_size, bool bias)
    : input_size(input_size), hidden_size(hidden_size), kind_(kind) {
  const int64_t gates = gate_count(kind) * hidden_size;
  add_uniform(*this, "weight_ih", true, {gates, input_size}, hidden_size);
  add_uniform(*this, "weight_hh", true, {gates, hidden_size}, hidden_size);
  add_uniform(*this, "bias_ih", bias, {gates}, hidden_size);
  add_uniform(*this, "bias_hh", bias, {gates}, hidden_size);
}

std::string RecurrentCell::type_name() const { return kind_name(kind_) + "Cell"; }
std::string RecurrentCell::extra_repr() const { return str(input_size, ", ", hidden_size); }

RecurrentState RecurrentCell::forward(const Tensor& input,
                                      const std::optional<RecurrentState>& given) {
  DS_CHECK((input.dim() == 1 || input.dim() == 2) && input.size(-1) == input_size, ShapeError,
           type_name(), ": the input is ", input.type(), "; it must be [N, ", input_size, "] or [",
           input_size, "]");
  const bool batched = input.dim() == 2;
  const Tensor x = batched ? input : unsqueeze(input, 0);
  Shape wanted = input.shape();
  wanted.back() = hidden_size;
  DS_CHECK(!given || (given->h.shape() == wanted &&
                      (kind_ != CellKind::lstm || given->c.shape() == wanted)),
           ShapeError, type_name(), ": the state is ", given->h.type(), "; it must be ", wanted,
           " for the input ", input.type());
  RecurrentState state;
  if (given) {
    state = *given;
    if (!batched)
      state = {unsqueeze(state.h, 0), state.c.defined() ? unsqueeze(state.c, 0) : Tensor()};
  } else {
    state.h = zeros({x.size(0), hidden_size}, x.dtype(), x.device());
    state.c = state.h;
  }
  RecurrentState next =
      step(kind_, linear(x, parameter("weight_ih"), optional_parameter("bias_ih")),
           linear(state.h, parameter("weight_hh"), optional_parameter("bias_hh")), state);
  if (!batched) next = {squeeze(next.h, 0), next.c.defined() ? squeeze(next.c, 0) : Tensor()};
  return next;
}

RNN::RNN(RecurrentOptions options, const std::string& nonlinearity)
    : Recurrent(rnn_kind(nonlinearity), options) {}
RNNCell::RNNCell(int64_t input_size, int64_t hidden_size, bool bias,
                 const std::string& nonlinearity)
    : RecurrentCell(rnn_kind(nonlinearity), input_size, hidden_size, bias) {}

}  // namespace ds::nn
