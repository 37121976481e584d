// SPDX-License-Identifier: Apache-2.0
// Recurrent layers; arguments, defaults, gate order and parameter names as torch.nn.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "ds/ir/recurrent.h"
#include "ds/nn/module.h"

namespace ds::nn {

struct RecurrentOptions {
  int64_t input_size;
  int64_t hidden_size;
  int64_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;
  double dropout = 0.0;  // between layers
  bool bidirectional = false;
  int64_t proj_size = 0;  // LSTM only
};

/// Hidden state, and cell state for an LSTM.
struct RecurrentState {
  Tensor h;
  Tensor c;
};

/// The steps of packed sequences.
struct RecurrentPacking {
  RecurrentPacking(const std::vector<int64_t>& sizes, Device device);
  Tensor sizes;  // [T] i64: the rows of each step
  Tensor last;   // [N] i64, the row of each sequence's last step
};

/// RNN, LSTM and GRU: input [T, N, input_size] ([N, T, ...] with batch_first, or without N) ->
/// output [T, N, D * hidden_size] and the last state [D * num_layers, N, hidden_size].
/// The input projection of a layer is one matmul over all steps.
class Recurrent : public Module {
 public:
  Recurrent(CellKind kind, RecurrentOptions options);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override { return forward(x, std::nullopt).first; }
  std::pair<Tensor, RecurrentState> forward(const Tensor& x,
                                            const std::optional<RecurrentState>& initial);
  /// Sequences of different lengths, longest first: x [R, input_size] holds step 0 of each, then
  /// step 1, ...; `sizes` says how many of them have each step. Output [R, D * hidden_size]; the
  /// last state is that of a sequence's last step, and the reverse direction starts there.
  std::pair<Tensor, RecurrentState> forward_packed(const Tensor& x,
                                                   const std::vector<int64_t>& sizes,
                                                   const std::optional<RecurrentState>& initial);
  CellKind kind() const { return kind_; }
  const RecurrentOptions& options() const { return options_; }
  RecurrentOptions& options() { return options_; }

 private:
  void check_input(const Tensor& input, const std::optional<RecurrentState>& initial,
                   const Shape& batch) const;
  std::pair<Tensor, RecurrentState> run_layers(Tensor x,
                                               const std::optional<RecurrentState>& initial,
                                               int64_t batch, const RecurrentPacking* packing);
  /// All steps of one layer in one operation.
  std::pair<Tensor, RecurrentState> run_direction(const Tensor& x, int64_t layer, bool reverse,
                                                  RecurrentState state,
                                                  const RecurrentPacking* packing);
  /// One by one, in f64.
  std::pair<Tensor, RecurrentState> run_steps(const Tensor& projected, const Tensor& weight,
                                              const std::optional<Tensor>& bias,
                                              const std::string& end, bool reverse,
                                              RecurrentState state);
  std::string suffix(int64_t layer, bool reverse) const;

  CellKind kind_;
  RecurrentOptions options_;
};

/// One step: input [N, input_size] (or without N) and state [N, hidden_size] -> next state.
class RecurrentCell : public Module {
 public:
  RecurrentCell(CellKind kind, int64_t input_size, int64_t hidden_size, bool bias = true);
  std::string type_name() const override;
  std::string extra_repr() const override;
  using Module::forward;
  RecurrentState forward(const Tensor& x, const std::optional<RecurrentState>& state);
  CellKind kind() const { return kind_; }

  int64_t input_size, hidden_size;

 private:
  RecurrentState next_state(const Tensor& x, const RecurrentState& state);

  CellKind kind_;
};

/// nonlinearity is tanh or relu.
class RNN : public Recurrent {
 public:
  explicit RNN(RecurrentOptions options, const std::string& nonlinearity = "tanh");
};
class LSTM : public Recurrent {
 public:
  explicit LSTM(RecurrentOptions options) : Recurrent(CellKind::lstm, options) {}
};
class GRU : public Recurrent {
 public:
  explicit GRU(RecurrentOptions options) : Recurrent(CellKind::gru, options) {}
};
class RNNCell : public RecurrentCell {
 public:
  RNNCell(int64_t input_size, int64_t hidden_size, bool bias = true,
          const std::string& nonlinearity = "tanh");
};
class LSTMCell : public RecurrentCell {
 public:
  LSTMCell(int64_t input_size, int64_t hidden_size, bool bias = true)
      : RecurrentCell(CellKind::lstm, input_size, hidden_size, bias) {}
};
class GRUCell : public RecurrentCell {
 public:
  GRUCell(int64_t input_size, int64_t hidden_size, bool bias = true)
      : RecurrentCell(CellKind::gru, input_size, hidden_size, bias) {}
};

}  // namespace ds::nn
