// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/experts.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// Rows of a block: an expert's share of the rows, so that there are about twice as many blocks as
/// experts, but no more than pays for fetching the matrices.
int64_t rows_of_block(int64_t rows, int64_t experts) {
  constexpr int64_t kMost = 256;
  int64_t size = 1;
  while (size < kMost && size * experts < rows) size *= 2;
  return size;
}

}  // namespace

Tensor marked(const Tensor& indices, int64_t experts) {
  const Tensor none = zeros({indices.size(0), experts}, DType::f32, indices.device());
  return scatter(none, 1, indices, 1.0);
}

Tensor balancing_loss(const std::vector<Tensor>& routers, int64_t chosen,
                      const std::optional<Tensor>& mask) {
  const int64_t tokens = routers.at(0).size(0), experts = routers[0].size(1);
  Tensor weights;
  if (present(mask)) {
    DS_CHECK(mask->numel() == tokens, ShapeError, "attention_mask: ", mask->type(), " for ", tokens,
             " tokens; the loss that balances experts needs one number a token");
    weights = reshape(to_dtype(*mask, DType::f32), {tokens, 1});
  }
  const auto counted = [&](const Tensor& x) { return sum(weights.defined() ? x * weights : x, 0); };
  Tensor taken = zeros({experts}, DType::f32, routers[0].device()), likely = taken;
  for (const Tensor& logits : routers) {
    const Tensor shares = softmax(to_dtype(logits, DType::f32), -1);
    taken = taken + counted(marked(topk(shares.detach(), chosen, -1).second, experts));
    likely = likely + counted(shares);
  }
  const Tensor rows =
      (weights.defined() ? sum(weights)
                         : full({}, static_cast<double>(tokens), DType::f32, taken.device())) *
      static_cast<double>(routers.size());
  return sum(taken / rows * (likely / rows)) * static_cast<double>(experts);
}

nn::ModulePtr gated_network(int64_t hidden_size, int64_t inner_size, bool bias) {
  auto network = std::make_shared<Group>();
  for (const char* name : {"gate_proj", "up_proj"})
    network->add<nn::Linear>(name, hidden_size, inner_size, bias);
  network->add<nn::Linear>("down_proj", inner_size, hidden_size, bias);
  return network;
}

Tensor run_gated(nn::Module& network, const std::string& activation, const Tensor& x) {
  const Tensor gate = activate(activation, call_at(network, "gate_proj", x));
  return call_at(network, "down_proj", gate * call_at(network, "up_proj", x));
}

Experts::Experts(const ExpertSizes& sizes, double deviation) : sizes_(sizes) {
  const auto draw = [&](const char* name, const Shape& shape) {
    nn::init::normal_(register_parameter(name, empty(shape)), 0.0, deviation);
  };
  draw("gate_up_proj", {sizes.count, 2 * sizes.inner_size, sizes.hidden_size});
  draw("down_proj", {sizes.count, sizes.hidden_size, sizes.inner_size});
}

Tensor Experts::run(const Tensor& rows, const Tensor& experts) const {
  const Tensor up = index_select(parameter("gate_up_proj"), 0, experts);
  const Tensor down = index_select(parameter("down_proj"), 0, experts);
  const std::vector<Tensor> both = chunk(matmul(rows, mT(up)), 2, -1);
  return matmul(activate(sizes_.activation, both[0]) * both[1], mT(down));
}

Tensor Experts::forward(const Tensor& x, const Tensor& chosen, const Tensor& shares) {
  const int64_t tokens = x.size(0), each = chosen.size(1), hidden = x.size(1);
  const int64_t rows = tokens * each, size = rows_of_block(rows, sizes_.count);
  const Tensor expert = reshape(chosen, {rows});
  const auto summed = [&](const Tensor& out) {
    const Tensor share = unsqueeze(to_dtype(shares, x.dtype()), -1);
    return sum(reshape(out, {tokens, each, hidden}) * share, 1);
  };
  if (size == 1) {
    const Tensor own = reshape(expand(unsqueeze(x, 1), {tokens, each, hidden}), {rows, 1, hidden});
    return summed(run(own, expert));
  }
  // The first row of every block but the last of its expert is followed by size - 1 others.
  const int64_t count = sizes_.count, used = std::min(count, rows);
  const int64_t blocks = (rows - used) / size + used;
  const auto range = [&](int64_t end) { return arange(end, DType::i64, x.device()); };
  const Tensor marks = to_dtype(eq(unsqueeze(expert, 1), range(count)), DType::i64);
  const Tensor before = cumsum(marks, 0);
  const Tensor filled = floor_divide(sum(marks, 0) + (size - 1), size);
  const Tensor ends = cumsum(filled, 0);
  const Tensor first = (ends - filled) * size;
  const Tensor rank = select(gather(before, 1, unsqueeze(expert, 1)), 1, 0) - 1;
  const Tensor place = index_select(first, 0, expert) + rank;
  const Tensor owner = clamp(sum(to_dtype(le(ends, unsqueeze(range(blocks), 1)), DType::i64), 1),
                             std::nullopt, count - 1);
  // What no row fills takes the zeros behind the tokens.
  const Tensor token = reshape(expand(unsqueeze(range(tokens), 1), {tokens, each}), {rows});
  const Tensor source =
      scatter(full({blocks * size}, tokens, DType::i64, x.device()), 0, place, token);
  const Tensor padded = cat({x, zeros({1, hidden}, x.dtype(), x.device())}, 0);
  const Tensor sorted = reshape(index_select(padded, 0, source), {blocks, size, hidden});
  const Tensor out = reshape(run(sorted, owner), {blocks * size, hidden});
  return summed(index_select(out, 0, place));
}

MixtureOfExperts::MixtureOfExperts(const LlamaConfig& config) : config_(config) {
  const LlamaConfig& c = config_;
  const int64_t chosen = c.num_experts_per_tok.value_or(0);
  const int64_t inner = c.moe_intermediate_size.value_or(c.intermediate_size);
  DS_CHECK(chosen > 0 && chosen <= c.num_experts, ValueError, "config: num_experts_per_tok ",
           chosen, " must be between 1 and the number of experts ", c.num_experts);
  DS_CHECK(inner > 0, ValueError, "config: moe_intermediate_size ", inner, " must be positive");
  add<Experts>("experts", ExpertSizes{c.hidden_size, inner, c.num_experts, c.hidden_act},
               c.initializer_range);
  const auto gate = add<Group>("gate");
  nn::init::normal_(gate->register_parameter("weight", empty({c.num_experts, c.hidden_size})), 0.0,
                    c.initializer_range);
  if (c.shared_expert_intermediate_size <= 0) return;
  register_module("shared_expert",
                  gated_network(c.hidden_size, c.shared_expert_intermediate_size, false));
  add<nn::Linear>("shared_expert_gate", c.hidden_size, 1, false);
}

Tensor MixtureOfExperts::forward(const Tensor& x, std::vector<Tensor>* routers) {
  const Tensor flat = reshape(x, {-1, config_.hidden_size});
  const Tensor logits = linear(flat, child("gate")->parameter("weight"));
  if (routers) routers->push_back(logits);
  const Tensor scores = softmax(to_dtype(logits, DType::f32), -1);
  const Tensor chosen = topk(scores.detach(), *config_.num_experts_per_tok, -1).second;
  Tensor shares = gather(scores, 1, chosen);
  if (config_.norm_topk_prob) shares = shares / sum(shares, -1, true);
  const Tensor out = child_as<Experts>("experts").forward(flat, chosen, shares);
  if (!has_child("shared_expert")) return reshape(out, x.shape());
  const Tensor shared = run_gated(*child("shared_expert"), config_.hidden_act, flat);
  return reshape(out + sigmoid((*child("shared_expert_gate"))(flat)) * shared, x.shape());
}

}  // namespace ds::hub
