// SPDX-License-Identifier: Apache-2.0
// LSTM over a whole sequence in f32, forward and back through time. Every thread takes some rows of
// the batch through all steps, so that none waits for another between steps; a row's sums do not
// depend on how many there are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ds::cpu {

struct LstmShape {
  int64_t steps, batch, hidden;
  bool reverse;
};

/// [T, N, width] whose rows are contiguous: strides in elements from step to step and row to row.
template <class T>
struct Sequence {
  T* data = nullptr;
  int64_t step = 0, row = 0;
  T* at(int64_t t, int64_t n) const { return data + t * step + n * row; }
};

/// Floats of scratch memory for the packed weight [4H, H].
size_t lstm_weight_space(const LstmShape& shape);
size_t lstm_backward_weight_space(const LstmShape& shape);

struct LstmForward {
  Sequence<const float> gates;  // of the input, [T, N, 4H]: i, f, g, o
  const float* h0;              // [N, H]
  const float* c0;
  const float* weight;        // [4H, H]
  Sequence<float> h, c;       // [T, N, H]
  Sequence<float> activated;  // [T, N, 4H], or no data
};
void lstm(const LstmShape& shape, const LstmForward& args, float* space);

struct LstmBackward {
  Sequence<const float> diff_h, activated, c;
  Sequence<const float> diff_c;  // or no data
  const float* c0;
  const float* weight;
  Sequence<float> diff_gates;  // [T, N, 4H]
  float* diff_h0;              // [N, H]
  float* diff_c0;
};
void lstm_backward(const LstmShape& shape, const LstmBackward& args, float* space);

}  // namespace ds::cpu
