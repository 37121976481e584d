// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/gpt2.h"

#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/layer_checkpoint.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

constexpr BlockNames kBlock{.qkv = "attn.c_attn",
                            .out = "attn.c_proj",
                            .attention_norm = "ln_1",
                            .up = "mlp.c_fc",
                            .down = "mlp.c_proj",
                            .mlp_norm = "ln_2"};

BlockOptions block_options(const GPT2Config& c, int64_t layer) {
  BlockOptions o{.hidden_size = c.n_embd,
                 .heads = c.n_head,
                 .intermediate_size = c.n_inner.value_or(4 * c.n_embd),
                 .activation = c.activation_function,
                 .dropout = c.resid_pdrop,
                 .attention_dropout = c.attn_pdrop,
                 .eps = c.layer_norm_epsilon,
                 .pre_norm = true,
                 .causal = true,
                 .transposed = true};
  double scale = c.scale_attn_weights && c.n_head > 0 && c.n_embd >= c.n_head
                     ? 1.0 / std::sqrt(static_cast<double>(c.n_embd / c.n_head))
                     : 1.0;
  if (c.scale_attn_by_inverse_layer_idx) scale /= static_cast<double>(layer + 1);
  o.scale = scale;
  return o;
}

}  // namespace

GPT2Model::GPT2Model(const GPT2Config& config) : config_(config) {
  const GPT2Config& c = config_;
  DS_CHECK(c.vocab_size > 0 && c.n_embd > 0 && c.n_positions > 0 && c.n_layer >= 0, ValueError,
           "config: vocab_size ", c.vocab_size, ", n_embd ", c.n_embd, " and n_positions ",
           c.n_positions, " must be positive, n_layer ", c.n_layer, " not negative");
  add<nn::Embedding>("wte", c.vocab_size, c.n_embd);
  add<nn::Embedding>("wpe", c.n_positions, c.n_embd);
  const auto layers = add<nn::ModuleList>("h");
  for (int64_t i = 0; i < c.n_layer; ++i)
    layers->append(std::make_shared<TransformerBlock>(kBlock, block_options(c, i)));
  add<nn::LayerNorm>("ln_f", Shape{c.n_embd}, c.layer_norm_epsilon);
  init_weights(*this, c.initializer_range);
  // The sum of 2 n_layer branches keeps its size.
  const double deviation = c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.n_layer));
  for (const auto& [name, block] : layers->named_children())
    for (const char* out : {kBlock.out, kBlock.down})
      nn::init::normal_(block->get_submodule(out)->parameter("weight"), 0.0, deviation);
}

Output GPT2Model::forward(const TextInput& input) {
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first = embedded
                            ? *input.inputs_embeds
                            : given("GPT2Model", "input_ids or inputs_embeds", input.input_ids);
  // Padding in front of a cached prompt takes no positions.
  checked_length("GPT2Model", first, input.cache ? first.size(1) : config_.n_positions);
  const Tensor at = positions_of(first, input.cache, input.position_ids);
  Tensor x = (embedded ? first : call_at(*this, "wte", first)) + call_at(*this, "wpe", at);
  if (present(input.token_type_ids)) x = x + call_at(*this, "wte", *input.token_type_ids);
  x = dropout(x, config_.embd_pdrop, is_training());
  const std::optional<Tensor> mask = attention_mask(input.attention_mask);
  Output out;
  for (int64_t i = 0; i < config_.n_layer; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    auto& block = child("h")->child_as<TransformerBlock>(std::to_string(i));
    x = through_layer(x, [&](const Tensor& before) {
      return block.forward(before, mask,
                           {input.cache, static_cast<size_t>(i),
                            input.output_attentions ? &out.attentions : nullptr});
    });
  }
  x = call_at(*this, "ln_f", x);
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  return out;
}

HeadSetting GPT2Model::head_setting() const {
  const GPT2Config& c = config_;
  return {.labels = c,
          .model_type = "gpt2",
          .hidden_size = c.n_embd,
          .embedding_size = c.n_embd,
          .vocab_size = c.vocab_size,
          .max_positions = c.n_positions,
          .pad_token_id = c.pad_token_id,
          .table = "wte",
          .tied = c.tie_word_embeddings,
          .initializer_range = c.initializer_range,
          .dropout = c.resid_pdrop,
          .classifier_dropout = c.classifier_dropout.value_or(0.1),
          .summary_dropout = c.summary_first_dropout};
}

}  // namespace ds::hub
