// SPDX-License-Identifier: Apache-2.0
// Rotary position embeddings (Su et al., "RoFormer", 2021): pairs of a head's elements are turned
// by an angle that grows with the position.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::hub {

struct RopeConfig {
  std::string type = "default";  // default, linear, dynamic, llama3, yarn or longrope
  double theta = 10000.0;
  double factor = 1.0;  // positions are this much closer together, or where turns are slow
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // of llama3
  int64_t original_max_position_embeddings = 8192;       // of llama3, yarn and longrope
  // Of yarn (Peng et al., "YaRN", 2023): turns in the original length from which on frequencies are
  // kept, and below which they are divided; growth of the scores.
  double beta_fast = 32.0, beta_slow = 1.0;
  std::optional<double> mscale = {}, mscale_all_dim = {}, attention_factor = {};
  /// Of longrope (Ding et al., "LongRoPE", 2024): what each frequency is divided by, in texts up to
  /// the original length and in longer ones; dim / 2 of each.
  std::vector<double> short_factor = {}, long_factor = {};
  double partial_rotary_factor = 1.0;  // the part of a head's elements that is turned
};

/// How long a text is, and how long those were that the model has seen in training.
struct RopeLength {
  int64_t tokens = 0, trained = 1;
};

/// What yarn multiplies scores by for a length `factor` times the original one.
double yarn_growth(double factor, double mscale);

/// cos and sin of the angles, [B, T, 1, dim / 2].
class Rotation {
 public:
  /// For heads of size dim (even) at positions i64 [B, T], in a dtype. ValueError for an unknown
  /// type, an odd dim and factors of another number.
  Rotation(const RopeConfig& config, int64_t dim, const Tensor& positions, DType dtype,
           RopeLength length);
  /// x [B, T, heads, dim] turned; element i goes with element i + dim / 2. Elements of x beyond dim
  /// stay as they are.
  Tensor operator()(const Tensor& x) const;
  /// The same for pairs of neighbours: element 2 i goes with 2 i + 1. In the result the first of
  /// all pairs come before the second ones.
  Tensor neighbours(const Tensor& x) const;

 private:
  Tensor cos_, sin_;
};

}  // namespace ds::hub
