// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: every token chooses a few of many gated networks; names of parameters as in
// transformers.
#pragma once

#include <optional>
#include <string>
#include <vector>

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

/// 1 in f32 [N, experts] for the indices i64 [N, k], else 0.
Tensor marked(const Tensor& indices, int64_t experts);

/// The loss that balances experts, equations 4 to 6 of Fedus et al., "Switch Transformers", 2021:
/// over all layers, the tokens that have each among their `chosen` best times its probability.
/// routers: logits [B * T, experts] of every layer; mask [B, T], 0 where there is padding.
Tensor balancing_loss(const std::vector<Tensor>& routers, int64_t chosen,
                      const std::optional<Tensor>& mask);

/// gate_proj, up_proj and down_proj.
nn::ModulePtr gated_network(int64_t hidden_size, int64_t inner_size, bool bias);
Tensor run_gated(nn::Module& network, const std::string& activation, const Tensor& x);

/// Jiang et al., "Mixtral of Experts", 2024: x [..., hidden_size] -> the same shape, the sum of the
/// chosen experts by their probabilities, and of a shared one in Qwen2-MoE.
class MixtureOfExperts : public nn::Module {
 public:
  explicit MixtureOfExperts(const LlamaConfig& config);
  std::string type_name() const override { return "SparseMoeBlock"; }
  Tensor forward(const Tensor& x) override { return forward(x, nullptr); }
  /// `routers` takes what every token gives the experts, [N, experts].
  Tensor forward(const Tensor& x, std::vector<Tensor>* routers);

 private:
  LlamaConfig config_;
};

}  // namespace ds::hub
