// SPDX-License-Identifier: Apache-2.0
// Sample calls of every differentiable op, for the gradient harness (gradient_test.cpp).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ds/ir/build.h"

namespace ds::testing {

/// One graph input of a sample: random in [low, high], or the given values. Floating operands are
/// differentiated.
struct Operand {
  Shape shape;
  double low = -2;
  double high = 2;
  std::vector<double> values = {};
  DType dtype = DType::f64;
};

/// An i64 or bool operand.
Operand index_operand(const Shape& shape, std::vector<double> values);
Operand bool_operand(const Shape& shape, std::vector<double> values);

struct Sample {
  Op op;
  std::vector<Operand> operands;
  Attrs attrs = {};
  /// Makes the op's inputs from the operands; the operands themselves when empty.
  std::function<Values(const Values&)> prelude = nullptr;
  /// Whether the gradient is itself differentiated.
  bool second_order = true;
};

using Samples = std::vector<Sample>;

void add_elementwise_samples(Samples& samples);
void add_reduce_samples(Samples& samples);
void add_movement_samples(Samples& samples);
void add_index_samples(Samples& samples);
void add_contraction_samples(Samples& samples);
void add_pool_samples(Samples& samples);
void add_norm_samples(Samples& samples);
void add_softmax_samples(Samples& samples);
void add_recurrent_samples(Samples& samples);
void add_attention_samples(Samples& samples);
void add_linalg_samples(Samples& samples);

/// All of them.
const Samples& gradient_samples();

}  // namespace ds::testing
