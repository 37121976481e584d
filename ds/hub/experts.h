// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: every token chooses a few of many gated networks; names of parameters as in
// transformers.
#pragma once

#include <string>

#include "ds/hub/llama.h"

namespace ds::hub {

struct ExpertSizes {
  int64_t hidden_size = 0, inner_size = 0, count = 0;
  std::string activation = "silu";
};

/// The matrices of all experts: gate_up_proj [count, 2 * inner_size, hidden_size] and down_proj
/// [count, hidden_size, inner_size].
///
/// Only what tokens have chosen is computed, and shapes do not depend on the choice: rows are
/// sorted by expert and cut into blocks, each of which takes the matrices of its expert. The last
/// block of an expert may be part empty. Where there are fewer rows than experts, a row is a block.
class Experts : public nn::Module {
 public:
  Experts(const ExpertSizes& sizes, double deviation);
  std::string type_name() const override { return "Experts"; }
  using nn::Module::forward;
  /// Tokens x [N, hidden_size] with the experts they chose, i64 [N, k], and the shares of these in
  /// the sum, [N, k] -> [N, hidden_size].
  Tensor forward(const Tensor& x, const Tensor& chosen, const Tensor& shares);

 private:
  /// Blocks of rows [blocks, rows, hidden_size] through the experts i64 [blocks].
  Tensor run(const Tensor& rows, const Tensor& experts) const;

  ExpertSizes sizes_;
};

/// gate_proj, up_proj and down_proj.
nn::ModulePtr gated_network(int64_t hidden_size, int64_t inner_size, bool bias);
Tensor run_gated(nn::Module& network, const std::string& activation, const Tensor& x);

/// Jiang et al., "Mixtral of Experts", 2024: x [..., hidden_size] -> the same shape, the sum of the
/// chosen experts by their probabilities, and of a shared one in Qwen2-MoE.
class MixtureOfExperts : public nn::Module {
 public:
  explicit MixtureOfExperts(const LlamaConfig& config);
  std::string type_name() const override { return "SparseMoeBlock"; }
  Tensor forward(const Tensor& x) override;

 private:
  LlamaConfig config_;
};

}  // namespace ds::hub
