// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/rotary.h"

#include <algorithm>
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

/// Frequencies that turn often in the original length are kept, seldom ones divided, others mixed.
double yarn(const RopeConfig& c, int64_t dim, int64_t pair, double frequency) {
  const auto pair_of_turns = [&](double turns) {
    return static_cast<double>(dim) *
           std::log(static_cast<double>(c.original_max_position_embeddings) /
                    (turns * 2 * std::numbers::pi)) /
           (2 * std::log(c.theta));
  };
  const double low = std::max(std::floor(pair_of_turns(c.beta_fast)), 0.0);
  const double high = std::min(std::ceil(pair_of_turns(c.beta_slow)), static_cast<double>(dim - 1));
  const double width = std::max(high - low, 0.001);
  const double divided = std::clamp((static_cast<double>(pair) - low) / width, 0.0, 1.0);
  return divided * frequency / c.factor + (1 - divided) * frequency;
}

/// The base of dynamic scaling, which grows with texts longer than those of training.
double grown_theta(const RopeConfig& c, int64_t dim, RopeLength length) {
  DS_CHECK(dim > 2, ValueError, "config: rope_type 'dynamic' needs heads of more than 2 elements");
  const double ratio = static_cast<double>(std::max(length.tokens, length.trained)) /
                       static_cast<double>(length.trained);
  const auto d = static_cast<double>(dim);
  return c.theta * std::pow(c.factor * ratio - (c.factor - 1), d / (d - 2));
}

/// Radians a position, f32 [dim / 2].
std::vector<float> frequencies(const RopeConfig& c, int64_t dim, RopeLength length) {
  DS_CHECK(dim > 0 && dim % 2 == 0, ValueError,
           "config: rotary embeddings turn pairs, so the head ", "size ", dim, " must be even");
  const bool dynamic = c.type == "dynamic", parts = c.type == "longrope";
  const bool known = c.type == "default" || c.type == "linear" || c.type == "llama3" ||
                     c.type == "yarn" || dynamic || parts;
  DS_CHECK(known, ValueError, "config: rope_type '", c.type,
           "' is unknown; use default, linear, dynamic, llama3, yarn or longrope");
  DS_CHECK(c.factor > 0 && c.theta > 0, ValueError, "config: rope_theta ", c.theta,
           " and the rope factor ", c.factor, " must be positive");
  const bool is_long = length.tokens > c.original_max_position_embeddings;
  const std::vector<double>& factors = is_long ? c.long_factor : c.short_factor;
  DS_CHECK(!parts || static_cast<int64_t>(factors.size()) == dim / 2, ValueError,
           "config: ", is_long ? "long_factor" : "short_factor", " has ", factors.size(),
           " numbers; heads of ", dim, " elements need ", dim / 2);
  const double theta = dynamic ? grown_theta(c, dim, length) : c.theta;
  std::vector<float> all;
  for (int64_t i = 0; i < dim; i += 2) {
    const double frequency = std::pow(theta, -static_cast<double>(i) / static_cast<double>(dim));
    all.push_back(static_cast<float>(c.type == "linear"   ? frequency / c.factor
                                     : c.type == "llama3" ? stretched(c, frequency)
                                     : c.type == "yarn"   ? yarn(c, dim, i / 2, frequency)
                                     : parts ? frequency / factors[static_cast<size_t>(i / 2)]
                                             : frequency));
  }
  return all;
}

/// What cos and sin are multiplied by.
double growth(const RopeConfig& c) {
  if (c.type != "yarn" && c.type != "longrope") return 1.0;
  if (c.attention_factor) return *c.attention_factor;
  if (c.type == "longrope") {
    const auto original = static_cast<double>(c.original_max_position_embeddings);
    return c.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(c.factor) / std::log(original));
  }
  if (c.mscale.value_or(0) != 0 && c.mscale_all_dim.value_or(0) != 0)
    return yarn_growth(c.factor, *c.mscale) / yarn_growth(c.factor, *c.mscale_all_dim);
  return yarn_growth(c.factor, 1.0);
}

}  // namespace

double yarn_growth(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

Rotation::Rotation(const RopeConfig& config, int64_t dim, const Tensor& positions, DType dtype,
                   RopeLength length) {
  const std::vector<float> turns = frequencies(config, dim, length);
  const Tensor frequency =
      Tensor::from_host(turns.data(), {DType::f32, {dim / 2}}, positions.device());
  const Tensor angle =
      reshape(to_dtype(positions, DType::f32), {positions.size(0), positions.size(1), 1, 1}) *
      frequency;
  const double scale = growth(config);
  const auto scaled = [&](const Tensor& x) { return to_dtype(scale == 1 ? x : x * scale, dtype); };
  cos_ = scaled(cos(angle));
  sin_ = scaled(sin(angle));
}

Tensor Rotation::operator()(const Tensor& x) const {
  const int64_t half = cos_.size(-1), rest = x.size(-1) - 2 * half;
  const Tensor a = narrow(x, -1, 0, half), b = narrow(x, -1, half, half);
  std::vector<Tensor> parts = {a * cos_ - b * sin_, b * cos_ + a * sin_};
  if (rest > 0) parts.push_back(narrow(x, -1, 2 * half, rest));
  return cat(parts, -1);
}

Tensor Rotation::neighbours(const Tensor& x) const {
  const Tensor a = slice(x, -1, 0, std::nullopt, 2), b = slice(x, -1, 1, std::nullopt, 2);
  return cat({a * cos_ - b * sin_, b * cos_ + a * sin_}, -1);
}

}  // namespace ds::hub
