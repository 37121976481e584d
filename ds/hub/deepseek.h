// SPDX-License-Identifier: Apache-2.0
// DeepSeek-V2 and V3: a decoder that remembers compressed keys and values and whose tokens choose
// among experts; names of parameters as in transformers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ds/hub/llama.h"

namespace ds::hub {

/// Keys of config.json beside those of Llama.
struct DeepseekConfig : LlamaConfig {
  std::optional<int64_t> q_lora_rank = 1536;  // queries are not compressed when absent
  int64_t kv_lora_rank = 512, qk_nope_head_dim = 128, qk_rope_head_dim = 64, v_head_dim = 128;
  bool rope_interleave = true;  // neighbours are turned, not halves
  int64_t n_routed_experts = 64, n_shared_experts = 2;
  std::optional<int64_t> n_group = {}, topk_group = {};  // experts of the best groups only
  int64_t first_k_dense_replace = 0;                     // layers before this one have no experts
  double routed_scaling_factor = 1.0;
  std::string topk_method = "greedy";  // of V2: greedy or group_limited_greedy
};

/// Liu et al., "DeepSeek-V2", 2024, and "DeepSeek-V3", 2024. x [..., hidden_size] -> the same
/// shape: the sum of the chosen experts by weight, and of the shared ones.
class DeepseekExperts : public nn::Module {
 public:
  explicit DeepseekExperts(const DeepseekConfig& config);
  std::string type_name() const override { return "DeepseekMoE"; }
  Tensor forward(const Tensor& x) override { return forward(x, nullptr); }
  /// `routers` takes what every token gives the experts, f32 [N, experts].
  Tensor forward(const Tensor& x, std::vector<Tensor>* routers);

 private:
  /// Which experts are chosen for what tokens give them, i64 [N, num_experts_per_tok], and their
  /// shares.
  std::pair<Tensor, Tensor> choose(const Tensor& logits) const;

  DeepseekConfig config_;
};

/// Latent attention and a gated network or experts.
class DeepseekLayer : public DecoderLayer {
 public:
  DeepseekLayer(const DeepseekConfig& config, int64_t layer);
  std::string type_name() const override { return "DeepseekDecoderLayer"; }
  using nn::Module::forward;
  Tensor forward(const Tensor& x, const Rotation& rotation, const std::optional<Tensor>& mask,
                 AttentionPlace place) override;

 private:
  Tensor attend(const Tensor& x, const Rotation& rotation, const std::optional<Tensor>& mask,
                AttentionPlace place);

  DeepseekConfig config_;
  int64_t layer_;
};

class DeepseekModel : public LlamaModel {
 public:
  explicit DeepseekModel(const DeepseekConfig& config);
};

}  // namespace ds::hub
