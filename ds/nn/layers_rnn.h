// SPDX-License-Identifier: Apache-2.0
// Recurrent layers; arguments, defaults, gate order and parameter names as torch.nn.
#pragma once

#include <optional>
#include <utility>

#include "ds/nn/module.h"

namespace ds::nn {

enum class CellKind { rnn_tanh, rnn_relu, lstm, gru };

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

/// Where sequences of different lengths (i64 [N]) stand in [T, N].
struct RecurrentLengths {
  RecurrentLengths(const Tensor& lengths, int64_t steps);
  Tensor valid;     // [T, N] bool
  Tensor last;      // [N], the place of the last step in [T * N]
  Tensor mirrored;  // [T * N], the place of the step as far from the end as this from the start
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
  /// `lengths` [N] i64: steps of each sequence; later outputs are zero, the last state is that of
  /// the last step, and the reverse direction starts there.
  std::pair<Tensor, RecurrentState> forward(const Tensor& x,
                                            const std::optional<RecurrentState>& initial,
                                            const std::optional<Tensor>& lengths = {});
  CellKind kind() const { return kind_; }
  const RecurrentOptions& options() const { return options_; }
  RecurrentOptions& options() { return options_; }

 private:
  std::pair<Tensor, RecurrentState> run_direction(const Tensor& x, int64_t layer, bool reverse,
                                                  RecurrentState state,
                                                  const RecurrentLengths* lengths);
  /// All steps of an LSTM in one operation.
  std::pair<Tensor, RecurrentState> run_at_once(const Tensor& projected,
                                                const RecurrentState& state, const Tensor& weight,
                                                bool reverse, const RecurrentLengths* lengths);
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
