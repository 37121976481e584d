// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/rotary.h"

#include <cmath>
#include <numbers>

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// Long waves are stretched by the factor, short ones kept, those between mixed: Llama 3.1.
double stretched(const RopeConfig& c, double frequency) {
  const double turns =
      static_cast<double>(c.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
  if (turns < c.low_freq_factor) return frequency / c.factor;
  if (turns > c.high_freq_factor) return frequency;
  const double kept = (turns - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
  return (1 - kept) * frequency / c.factor + kept * frequency;
}

/// Radians a position, f32 [dim / 2].
std::vector<float> frequencies(const RopeConfig& c, int64_t dim) {
  DS_CHECK(dim > 0 && dim % 2 == 0, ValueError,
           "config: rotary embeddings turn pairs, so the head ", "size ", dim, " must be even");
  DS_CHECK(c.type == "default" || c.type == "linear" || c.type == "llama3", ValueError,
           "config: rope_type '", c.type, "' is unknown; use default, linear or llama3");
  DS_CHECK(c.factor > 0 && c.theta > 0, ValueError, "config: rope_theta ", c.theta,
           " and the rope factor ", c.factor, " must be positive");
  std::vector<float> all;
  for (int64_t i = 0; i < dim; i += 2) {
    const double frequency = std::pow(c.theta, -static_cast<double>(i) / static_cast<double>(dim));
    all.push_back(static_cast<float>(c.type == "linear"   ? frequency / c.factor
                                     : c.type == "llama3" ? stretched(c, frequency)
                                                          : frequency));
  }
  return all;
}

}  // namespace

Rotation::Rotation(const RopeConfig& config, int64_t dim, const Tensor& positions, DType dtype) {
  const std::vector<float> turns = frequencies(config, dim);
  const Tensor frequency =
      Tensor::from_host(turns.data(), {DType::f32, {dim / 2}}, positions.device());
  const Tensor angle =
      reshape(to_dtype(positions, DType::f32), {positions.size(0), positions.size(1), 1, 1}) *
      frequency;
  cos_ = to_dtype(cos(angle), dtype);
  sin_ = to_dtype(sin(angle), dtype);
}

Tensor Rotation::operator()(const Tensor& x) const {
  const int64_t half = x.size(-1) / 2;
  const Tensor a = narrow(x, -1, 0, half), b = narrow(x, -1, half, half);
  return cat({a * cos_ - b * sin_, b * cos_ + a * sin_}, -1);
}

}  // namespace ds::hub
