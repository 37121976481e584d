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

/// The next state, in f64, from the projected input and the projected state (both [N, gates *
/// hidden]). One node: a sequence records hundreds of them.
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

/// What the projected input starts from. Where the gates add up both parts as they are, that is
/// both biases, once for all steps; the candidate of a GRU takes its second one with the state.
std::optional<Tensor> input_bias(CellKind kind, const std::optional<Tensor>& ih,
                                 const std::optional<Tensor>& hh) {
  if (!ih) return std::nullopt;
  if (kind != CellKind::gru) return *ih + *hh;
  const int64_t hidden = hh->size(0) / 3;
  return *ih + pad(narrow(*hh, 0, 0, 2 * hidden), {0, hidden});
}

/// Steps that gates [T, N, ...] ([R, ...] for packed sequences) make of a state.
struct Steps {
  CellKind kind;
  Tensor weight;
  std::optional<Tensor> bias_hh, projection, sizes;
  bool reverse = false;

  /// h and c (an LSTM's) of every step, in f32, or in f64 for f64.
  std::pair<Tensor, Tensor> run(const Tensor& gates, const RecurrentState& state) const {
    const DType inner = gates.dtype() == DType::f64 ? DType::f64 : DType::f32;
    const auto as_weight = [inner](const Tensor& t) {
      const DType dtype = autocast() && autocast()->matmul ? autocast()->dtype : t.dtype();
      return to_dtype(t, dtype == DType::bf16 && inner == DType::f32 ? dtype : inner);
    };
    std::vector<Tensor> inputs{to_dtype(gates, inner), to_dtype(state.h, inner), as_weight(weight)};
    if (kind == CellKind::lstm) inputs.push_back(to_dtype(state.c, inner));
    if (kind == CellKind::gru) {
      const int64_t hidden = weight.size(0) / 3;
      inputs.push_back(bias_hh ? to_dtype(narrow(*bias_hh, 0, 2 * hidden, hidden), inner)
                               : zeros({hidden}, inner, gates.device()));
    }
    if (projection) inputs.push_back(as_weight(*projection));
    if (sizes) inputs.push_back(*sizes);
    const std::vector<Tensor> out =
        record_all(Op::recurrent_, inputs, {cell_kind_name(kind), reverse});
    return {out[0], kind == CellKind::lstm ? out[1] : Tensor()};
  }
};

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

RecurrentPacking::RecurrentPacking(const std::vector<int64_t>& sizes, Device device)
    : sizes(tensor(sizes, std::nullopt, std::nullopt, device)) {
  std::vector<int64_t> rows(static_cast<size_t>(sizes.empty() ? 0 : sizes[0]));
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    for (int64_t n = 0; n < size; ++n) rows[static_cast<size_t>(n)] = begin + n;
    begin += size;
  }
  last = tensor(rows, std::nullopt, std::nullopt, device);
}

std::pair<Tensor, RecurrentState> Recurrent::run_steps(const Tensor& projected,
                                                       const Tensor& weight,
                                                       const std::optional<Tensor>& bias,
                                                       const std::string& end, bool reverse,
                                                       RecurrentState state) {
  const int64_t steps = projected.size(0);
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = reverse ? steps - 1 - i : i;
    state = step(kind_, select(projected, 0, t), linear(state.h, weight, bias), state);
    if (options_.proj_size > 0) state.h = linear(state.h, parameter("weight_hr" + end));
    outputs[static_cast<size_t>(t)] = state.h;
  }
  return {stack(outputs), state};
}

std::pair<Tensor, RecurrentState> Recurrent::run_direction(const Tensor& x, int64_t layer,
                                                           bool reverse, RecurrentState state,
                                                           const RecurrentPacking* packing) {
  const std::string end = suffix(layer, reverse);
  const auto bias = [&](const char* name) {
    return options_.bias ? optional_parameter(name + end) : std::nullopt;
  };
  const bool lstm = kind_ == CellKind::lstm, narrow_h = options_.proj_size > 0;
  const std::optional<Tensor> bias_hh = bias("bias_hh");
  const Tensor weight = parameter("weight_hh" + end), weight_ih = parameter("weight_ih" + end);
  if (x.dtype() == DType::f64 && !packing)
    return run_steps(linear(x, weight_ih, bias("bias_ih")), weight, bias_hh, end, reverse, state);
  const Tensor projected = linear(x, weight_ih, input_bias(kind_, bias("bias_ih"), bias_hh));
  // The dtypes of PyTorch, whose GRU and packed LSTM keep f32 states under autocast.
  const DType wide = promote(projected.dtype(), state.h.dtype());
  const bool casts_states =
      autocast() && (narrow_h || (lstm && !packing) || gate_count(kind_) == 1);
  const DType h_dtype = casts_states ? projected.dtype() : wide;
  const DType c_dtype = narrow_h ? promote(projected.dtype(), state.h.dtype()) : h_dtype;
  Steps steps{kind_, weight, bias_hh, std::nullopt, std::nullopt, reverse};
  if (narrow_h) steps.projection = parameter("weight_hr" + end);
  if (packing) steps.sizes = packing->sizes;
  const auto [h, c] = steps.run(projected, state);
  const auto last = [&](const Tensor& t) {
    if (!packing) return select(t, 0, reverse ? 0 : x.size(0) - 1);
    return reverse ? narrow(t, 0, 0, state.h.size(0)) : index_select(t, 0, packing->last);
  };
  const Tensor out = to_dtype(h, h_dtype);
  return {out, {last(out), lstm ? to_dtype(last(c), c_dtype) : Tensor()}};
}

std::pair<Tensor, RecurrentState> Recurrent::run_layers(
    Tensor x, const std::optional<RecurrentState>& initial, int64_t batch,
    const RecurrentPacking* packing) {
  const RecurrentOptions& o = options_;
  const int64_t directions = o.bidirectional ? 2 : 1;
  const int64_t out = o.proj_size > 0 ? o.proj_size : o.hidden_size;
  const bool lstm = kind_ == CellKind::lstm;
  const auto initial_state = [&](int64_t index) -> RecurrentState {
    if (initial)
      return {select(initial->h, 0, index), lstm ? select(initial->c, 0, index) : Tensor()};
    return {zeros({batch, out}, x.dtype(), x.device()),
            lstm ? zeros({batch, o.hidden_size}, x.dtype(), x.device()) : Tensor()};
  };
  std::vector<Tensor> last_h, last_c;
  for (int64_t layer = 0; layer < o.num_layers; ++layer) {
    std::vector<Tensor> sides;
    for (int64_t d = 0; d < directions; ++d) {
      auto [side, state] =
          run_direction(x, layer, d == 1, initial_state(layer * directions + d), packing);
      sides.push_back(side);
      last_h.push_back(state.h);
      last_c.push_back(state.c);
    }
    x = sides.size() == 1 ? sides[0] : cat(sides, -1);
    if (layer + 1 < o.num_layers && o.dropout > 0 && is_training()) x = dropout(x, o.dropout, true);
  }
  return {x, {stack(last_h), lstm ? stack(last_c) : Tensor()}};
}

void Recurrent::check_input(const Tensor& input, const std::optional<RecurrentState>& initial,
                            const Shape& batch) const {
  const RecurrentOptions& o = options_;
  DS_CHECK(input.size(-1) == o.input_size, ShapeError, type_name(), ": the input is ", input.type(),
           "; its last size must be ", o.input_size);
  const auto check_state = [&](const Tensor& state, const char* what, int64_t size) {
    Shape wanted{(o.bidirectional ? 2 : 1) * o.num_layers};
    for (const int64_t rows : batch) wanted.push_back(rows);
    wanted.push_back(size);
    DS_CHECK(state.shape() == wanted, ShapeError, type_name(), ": the initial ", what, " state is ",
             state.type(), "; it must be ", wanted, " for the input ", input.type());
  };
  if (!initial) return;
  check_state(initial->h, "hidden", o.proj_size > 0 ? o.proj_size : o.hidden_size);
  if (kind_ == CellKind::lstm) check_state(initial->c, "cell", o.hidden_size);
}

std::pair<Tensor, RecurrentState> Recurrent::forward(const Tensor& input,
                                                     const std::optional<RecurrentState>& initial) {
  DS_CHECK(input.dim() == 2 || input.dim() == 3, ShapeError, type_name(), ": the input is ",
           input.type(), "; it must have 2 or 3 dimensions");
  const bool batched = input.dim() == 3, turned = batched && options_.batch_first;
  const Tensor x = !batched ? unsqueeze(input, 1) : turned ? transpose(input, 0, 1) : input;
  check_input(input, initial, batched ? Shape{x.size(1)} : Shape{});
  DS_CHECK(x.size(0) >= 1, ShapeError, type_name(), ": the input ", input.type(), " has no steps");
  const auto in_batch = [](const Tensor& t) { return t.defined() ? unsqueeze(t, 1) : t; };
  const auto alone = [](const Tensor& t) { return t.defined() ? squeeze(t, 1) : t; };
  std::optional<RecurrentState> first = initial;
  if (first && !batched) first = {in_batch(first->h), in_batch(first->c)};
  auto [out, last] = run_layers(x, first, x.size(1), nullptr);
  if (!batched) return {alone(out), {alone(last.h), alone(last.c)}};
  return {turned ? transpose(out, 0, 1) : out, last};
}

std::pair<Tensor, RecurrentState> Recurrent::forward_packed(
    const Tensor& x, const std::vector<int64_t>& sizes,
    const std::optional<RecurrentState>& initial) {
  int64_t rows = 0;
  for (size_t t = 0; t < sizes.size(); ++t) {
    DS_CHECK(sizes[t] >= 1 && (t == 0 || sizes[t] <= sizes[t - 1]), ValueError, type_name(),
             ": step ", t, " of the packed sequences has ", sizes[t],
             " rows; there must be at least one, and never more than before");
    rows += sizes[t];
  }
  DS_CHECK(!sizes.empty() && x.dim() == 2 && x.size(0) == rows, ShapeError, type_name(),
           ": the packed input is ", x.type(), "; its steps have ", rows, " rows");
  check_input(x, initial, {sizes[0]});
  const RecurrentPacking packing(sizes, x.device());
  return run_layers(x, initial, sizes[0], &packing);
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

RecurrentState RecurrentCell::next_state(const Tensor& x, const RecurrentState& state) {
  const Tensor weight = parameter("weight_hh"), weight_ih = parameter("weight_ih");
  const std::optional<Tensor> ih = optional_parameter("bias_ih"),
                              hh = optional_parameter("bias_hh");
  if (x.dtype() == DType::f64)
    return step(kind_, linear(x, weight_ih, ih), linear(state.h, weight, hh), state);
  const Tensor projected = linear(x, weight_ih, input_bias(kind_, ih, hh));
  const auto [h, c] = Steps{kind_, weight, hh, {}, {}}.run(unsqueeze(projected, 0), state);
  const DType dtype =
      gate_count(kind_) == 1 ? projected.dtype() : promote(projected.dtype(), state.h.dtype());
  const auto only = [dtype](const Tensor& t) { return to_dtype(squeeze(t, 0), dtype); };
  return {only(h), c.defined() ? only(c) : Tensor()};
}

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
  RecurrentState next = next_state(x, state);
  if (!batched) next = {squeeze(next.h, 0), next.c.defined() ? squeeze(next.c, 0) : Tensor()};
  return next;
}

RNN::RNN(RecurrentOptions options, const std::string& nonlinearity)
    : Recurrent(rnn_kind(nonlinearity), options) {}
RNNCell::RNNCell(int64_t input_size, int64_t hidden_size, bool bias,
                 const std::string& nonlinearity)
    : RecurrentCell(rnn_kind(nonlinearity), input_size, hidden_size, bias) {}

}  // namespace ds::nn
