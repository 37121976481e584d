// SPDX-License-Identifier: Apache-2.0
// Data for the samples of ops, the same on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/ops/gradient_samples.h"
#include "tests/ops/interpreter.h"

namespace ds::testing {

/// A stream of numbers in [low, high).
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  double next() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(state_ >> 11) * 0x1p-53;
  }
  std::vector<double> draw(int64_t count, double low, double high) {
    std::vector<double> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(low + (high - low) * next());
    return result;
  }
  /// The operand's own values, else random ones of its range.
  std::vector<double> of(const Operand& operand) {
    return operand.values.empty() ? draw(operand.shape.numel(), operand.low, operand.high)
                                  : operand.values;
  }

 private:
  uint64_t state_;
};

inline std::string describe(const Sample& sample) {
  std::string text(op_name(sample.op));
  for (const Operand& operand : sample.operands)
    text += " " + std::string(dtype_name(operand.dtype)) + str(operand.shape);
  for (const Attr& attr : sample.attrs) text += " " + attr_text(attr);
  return text;
}

/// Turns the floating operands to a dtype, except parameters and statistics of norms, losses and
/// attention, which stay f32 beside 16-bit sources. False where a shape does not tell which those
/// are.
inline bool set_dtype(Sample& sample, DType dtype) {
  const bool is_norm = op_info(sample.op).op_class == OpClass::norm;
  const bool is_loss = sample.op == Op::softmax_cross_entropy_backward_;
  const bool is_attention = sample.op == Op::attention_backward_ && !sample.prelude;
  for (size_t i = 0; i < sample.operands.size(); ++i) {
    Operand& operand = sample.operands[i];
    const bool parameter = (is_norm && operand.shape != sample.operands[0].shape) ||
                           (is_loss && (i == 0 || i == 3)) || (is_attention && i == 5);
    if (is_floating(operand.dtype))
      operand.dtype = parameter && is_half(dtype) ? DType::f32 : dtype;
  }
  return !is_norm || sample.operands.back().shape != sample.operands[0].shape;
}

}  // namespace ds::testing
