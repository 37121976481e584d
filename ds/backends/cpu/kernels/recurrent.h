// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over a whole sequence in f32, forward and back through time. Every thread takes
// some rows of the batch through all steps, so that none waits for another between steps; a row's
// sums do not depend on how many there are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ds/ir/recurrent.h"

namespace ds::cpu {

/// [T, N, width] whose rows are contiguous: strides in elements from step to step and row to row;
/// or [R, width], where each step begins at a row of its own.
template <class T>
struct Sequence {
  T* data = nullptr;
  int64_t step = 0, row = 0;
  const int64_t* starts = nullptr;
  T* at(int64_t t, int64_t n) const {
    return data + (starts ? starts[t] * row : t * step) + n * row;
  }
};

struct RecurrentShape : RecurrentForm {
  const int64_t* rows = nullptr;  // of each step, never rising; null when all have the batch's
  bool bf16 = false;              // products round both sides to bf16, where the processor can
  int64_t rows_at(int64_t t) const { return rows ? rows[t] : batch; }
};

/// What a step multiplies with, forward and back through time.
enum class RecurrentWeight { weight, projection, weight_back, projection_back };
/// Floats of it in strips, as the products read it, and a number that says how they lie.
size_t packed_floats(const RecurrentShape& shape, RecurrentWeight which);
size_t packed_width(const RecurrentShape& shape);
void pack_weight(const RecurrentShape& shape, RecurrentWeight which, const float* source,
                 float* packed);

struct RecurrentForward {
  Sequence<const float> gates;  // of the input
  const float* h0;
  const float* c0;          // lstm
  const float* bias;        // gru
  const float* weight;      // packed
  const float* projection;  // packed, or null
  Sequence<float> h;
  Sequence<float> c, activated;  // or no data; an lstm needs c
};
void recurrent(const RecurrentShape& shape, const RecurrentForward& args);

struct RecurrentBackward {
  Sequence<const float> diff_h, h, activated, c;
  Sequence<const float> diff_c;  // or no data
  const float* h0;
  const float* c0;
  const float* weight;      // packed as weight_back
  const float* projection;  // packed as projection_back, or null
  Sequence<float> diff_gates;
  float* diff_h0;
  float* diff_c0;
  Sequence<float> before;  // or no data
  Sequence<float> diff_state;
};
void recurrent_backward(const RecurrentShape& shape, const RecurrentBackward& args);

}  // namespace ds::cpu
