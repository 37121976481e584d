// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/deepseek.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/experts.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr double kLow = -1e30;  // below every score

bool is_v3(const DeepseekConfig& c) { return c.model_type == "deepseek_v3"; }

bool is_grouped(const DeepseekConfig& c) {
  return is_v3(c) ? c.n_group.has_value() : c.topk_method == "group_limited_greedy";
}

/// As LlamaModel wants it: what is rotated is a head of its own there.
DeepseekConfig with_heads(DeepseekConfig c) {
  c.head_dim = c.qk_rope_head_dim;
  c.num_key_value_heads = c.num_attention_heads;
  return c;
}

void check(const DeepseekConfig& c) {
  DS_CHECK(c.kv_lora_rank > 0 && c.qk_nope_head_dim > 0 && c.qk_rope_head_dim > 0 &&
               c.v_head_dim > 0 && c.q_lora_rank.value_or(1) > 0,
           ValueError, "config: kv_lora_rank ", c.kv_lora_rank, ", qk_nope_head_dim ",
           c.qk_nope_head_dim, ", qk_rope_head_dim ", c.qk_rope_head_dim, " and v_head_dim ",
           c.v_head_dim, " must be positive");
  const int64_t chosen = c.num_experts_per_tok.value_or(0);
  DS_CHECK(c.n_routed_experts > 0 && chosen > 0 && chosen <= c.n_routed_experts, ValueError,
           "config: num_experts_per_tok ", chosen, " must be between 1 and n_routed_experts ",
           c.n_routed_experts);
  DS_CHECK(c.moe_intermediate_size.value_or(0) > 0, ValueError, "config: moe_intermediate_size ",
           c.moe_intermediate_size.value_or(0), " must be positive");
  DS_CHECK(c.topk_method == "greedy" || c.topk_method == "group_limited_greedy" || is_v3(c),
           ValueError, "config: topk_method '", c.topk_method,
           "' is unknown; use greedy or group_limited_greedy");
  if (!is_grouped(c)) return;
  const int64_t groups = c.n_group.value_or(0), best = c.topk_group.value_or(0);
  DS_CHECK(groups > 0 && c.n_routed_experts % groups == 0 && best > 0 && best <= groups, ValueError,
           "config: n_group ", groups, " must divide n_routed_experts ", c.n_routed_experts,
           " and topk_group ", best, " be between 1 and it");
}

}  // namespace

DeepseekExperts::DeepseekExperts(const DeepseekConfig& config) : config_(config) {
  const DeepseekConfig& c = config_;
  check(c);
  const int64_t inner = *c.moe_intermediate_size;
  add<Experts>("experts", ExpertSizes{c.hidden_size, inner, c.n_routed_experts, c.hidden_act},
               c.initializer_range);
  const auto gate = add<Group>("gate");
  nn::init::normal_(gate->register_parameter("weight", empty({c.n_routed_experts, c.hidden_size})),
                    0.0, c.initializer_range);
  if (is_v3(c))
    gate->register_buffer("e_score_correction_bias", clone(zeros({c.n_routed_experts})));
  register_module("shared_experts",
                  gated_network(c.hidden_size, inner * c.n_shared_experts, c.mlp_bias));
}

std::pair<Tensor, Tensor> DeepseekExperts::choose(const Tensor& logits) const {
  const DeepseekConfig& c = config_;
  const Tensor scores = is_v3(c) ? sigmoid(logits) : softmax(logits, -1);
  // What the choice looks at; its weights are the scores themselves.
  Tensor choice = scores.detach();
  if (is_v3(c))
    choice = choice + to_dtype(child("gate")->buffer("e_score_correction_bias"), DType::f32);
  if (is_grouped(c)) {
    const int64_t groups = *c.n_group, size = c.n_routed_experts / groups;
    const Tensor by_group = reshape(choice, {-1, groups, size});
    const Tensor best = is_v3(c) ? sum(topk(by_group, 2, -1).first, -1) : amax(by_group, -1);
    const Tensor open = ne(marked(topk(best, *c.topk_group, -1).second, groups), 0);
    const Tensor visible =
        reshape(expand(unsqueeze(open, -1), {-1, groups, size}), {-1, c.n_routed_experts});
    choice = where(visible, choice, is_v3(c) ? kLow : 0.0);
  }
  const Tensor chosen = topk(choice, *c.num_experts_per_tok, -1).second;
  Tensor shares = gather(scores, 1, chosen);
  if (is_v3(c) && c.norm_topk_prob) shares = shares / (sum(shares, -1, true) + 1e-20);
  return {chosen, shares * c.routed_scaling_factor};
}

Tensor DeepseekExperts::forward(const Tensor& x, std::vector<Tensor>* routers) {
  const Tensor flat = reshape(x, {-1, config_.hidden_size});
  const Tensor logits =
      linear(to_dtype(flat, DType::f32), to_dtype(child("gate")->parameter("weight"), DType::f32));
  if (routers) routers->push_back(logits);
  const auto [chosen, shares] = choose(logits);
  const Tensor out = child_as<Experts>("experts").forward(flat, chosen, shares);
  return reshape(out, x.shape()) + run_gated(*child("shared_experts"), config_.hidden_act, x);
}

DeepseekLayer::DeepseekLayer(const DeepseekConfig& config, int64_t layer)
    : config_(config), layer_(layer) {
  const DeepseekConfig& c = config_;
  check(c);
  const int64_t heads = c.num_attention_heads, dim = c.qk_nope_head_dim + c.qk_rope_head_dim;
  const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias) {
    add_at(*this, std::string("self_attn.") + name, std::make_shared<nn::Linear>(in, out, bias));
  };
  const auto norm = [&](const char* name, int64_t size, double eps) {
    add_at(*this, name, std::make_shared<nn::RMSNorm>(Shape{size}, eps));
  };
  constexpr double kLatentEps = 1e-6;  // whatever the configuration says
  if (c.q_lora_rank) {
    dense("q_a_proj", c.hidden_size, *c.q_lora_rank, c.attention_bias);
    norm("self_attn.q_a_layernorm", *c.q_lora_rank, kLatentEps);
    dense("q_b_proj", *c.q_lora_rank, heads * dim, false);
  } else {
    dense("q_proj", c.hidden_size, heads * dim, false);
  }
  dense("kv_a_proj_with_mqa", c.hidden_size, c.kv_lora_rank + c.qk_rope_head_dim, c.attention_bias);
  norm("self_attn.kv_a_layernorm", c.kv_lora_rank, kLatentEps);
  dense("kv_b_proj", c.kv_lora_rank, heads * (c.qk_nope_head_dim + c.v_head_dim), false);
  dense("o_proj", heads * c.v_head_dim, c.hidden_size, c.attention_bias);
  if (layer >= c.first_k_dense_replace)
    add<DeepseekExperts>("mlp", c);
  else
    register_module("mlp", gated_network(c.hidden_size, c.intermediate_size, c.mlp_bias));
  norm("input_layernorm", c.hidden_size, c.rms_norm_eps);
  norm("post_attention_layernorm", c.hidden_size, c.rms_norm_eps);
}

Tensor DeepseekLayer::attend(const Tensor& x, const Rotation& rotation,
                             const std::optional<Tensor>& mask, AttentionPlace place) {
  const DeepseekConfig& c = config_;
  const auto call = [&](const char* name, const Tensor& in) {
    return call_at(*this, std::string("self_attn.") + name, in);
  };
  const auto turn = [&](const Tensor& in) {
    return c.rope_interleave ? rotation.neighbours(in) : rotation(in);
  };
  const int64_t nope = c.qk_nope_head_dim, heads = c.num_attention_heads;
  const Tensor q =
      split_heads(c.q_lora_rank ? call("q_b_proj", call("q_a_layernorm", call("q_a_proj", x)))
                                : call("q_proj", x),
                  heads);
  const Tensor query =
      cat({narrow(q, -1, 0, nope), turn(narrow(q, -1, nope, c.qk_rope_head_dim))}, -1);
  const Tensor both = call("kv_a_proj_with_mqa", x);
  Tensor latent = split_heads(call("kv_a_layernorm", narrow(both, -1, 0, c.kv_lora_rank)), 1);
  Tensor turned = turn(split_heads(narrow(both, -1, c.kv_lora_rank, c.qk_rope_head_dim), 1));
  Attention attention{mask, true, is_training() ? c.attention_dropout : 0.0};
  const double growth = c.rope.type != "default" && c.rope.mscale_all_dim.value_or(0) != 0
                            ? yarn_growth(c.rope.factor, *c.rope.mscale_all_dim)
                            : 1.0;
  attention.scale = growth * growth / std::sqrt(static_cast<double>(nope + c.qk_rope_head_dim));
  attention.place.weights = place.weights;
  if (place.cache) {  // what is remembered is compressed
    std::tie(latent, turned) = place.cache->extend(place.layer, latent, turned);
    attention.mask = place.cache->mask();
    attention.causal = false;
  }
  const Tensor kv = split_heads(call("kv_b_proj", select(latent, 2, 0)), heads);
  const int64_t batch = kv.size(0), keys = kv.size(1);
  const Tensor key =
      cat({narrow(kv, -1, 0, nope), expand(turned, {batch, keys, heads, c.qk_rope_head_dim})}, -1);
  return call("o_proj", attention(query, key, narrow(kv, -1, nope, c.v_head_dim)));
}

Tensor DeepseekLayer::forward(const Tensor& x, const Rotation& rotation,
                              const std::optional<Tensor>& mask, AttentionPlace place) {
  const Tensor y = x + attend(call_at(*this, "input_layernorm", x), rotation, mask, place);
  const Tensor z = call_at(*this, "post_attention_layernorm", y);
  if (layer_ >= config_.first_k_dense_replace)
    return y + child_as<DeepseekExperts>("mlp").forward(z, place.routers);
  return y + run_gated(*child("mlp"), config_.hidden_act, z);
}

DeepseekModel::DeepseekModel(const DeepseekConfig& config)
    : LlamaModel(with_heads(config),
                 [&](int64_t i) { return std::make_shared<DeepseekLayer>(config, i); }) {}

}  // namespace ds::hub
