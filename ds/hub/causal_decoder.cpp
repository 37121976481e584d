// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/causal_decoder.h"

#include "ds/base/error.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

void CausalDecoder::add_head(const Tensor& table, bool tied, double initializer_range) {
  const auto head = add<nn::Linear>("lm_head", table.size(1), table.size(0), false);
  init_weights(*head, initializer_range);
  if (tied) head->set_parameter("weight", table);
}

Output CausalDecoder::forward(const DecoderInput& input, const std::optional<Tensor>& labels) {
  Output body = run_body(input);
  const Tensor logits = (*child("lm_head"))(body.values[0].second);
  Output out;
  out.values = {{"loss", present(labels) ? next_token_loss(logits, *labels) : Tensor()},
                {"logits", logits}};
  out.hidden_states = std::move(body.hidden_states);
  return out;
}

Output CausalDecoder::forward_cached(const Tensor& tokens,
                                     const std::optional<Tensor>& attention_mask,
                                     KeyValueCache& cache, bool output_hidden_states) {
  const GradMode no_grad(false);
  const int64_t count = checked_length(type_name().c_str(), tokens, tokens.size(-1))[1];
  const int64_t total = cache.length() + count;
  const std::optional<int64_t> limit = max_positions();
  DS_CHECK(!limit || total <= *limit, ValueError, type_name(), ": ", total,
           " tokens with those of past_key_values are more than the ", limit.value_or(0),
           " the model has positions for");
  TokenRows real;
  if (present(attention_mask)) {
    real = to_rows(*attention_mask);
    for (auto& row : real) {
      DS_CHECK(static_cast<int64_t>(row.size()) == total, ShapeError,
               "attention_mask: ", attention_mask->type(), " for ", total,
               " tokens with those of past_key_values");
      row.erase(row.begin(), row.begin() + cache.length());
    }
  }
  DecoderInput input;
  input.input_ids = cache.begin_step(to_rows(tokens), real);
  input.cache = &cache;
  input.output_hidden_states = output_hidden_states;
  Output out = forward(input);
  const int64_t padding = input.input_ids->size(1) - count;  // which the cache puts in front
  const auto own = [&](Tensor& x) {
    if (x.defined() && padding > 0) x = narrow(x, 1, padding, count);
  };
  for (auto& [name, value] : out.values) own(value);
  for (Tensor& state : out.hidden_states) own(state);
  return out;
}

Tensor CausalDecoder::next_logits(const Tensor& tokens, KeyValueCache& cache) {
  DecoderInput input;
  input.input_ids = tokens;
  input.cache = &cache;
  return (*child("lm_head"))(select(run_body(input).values[0].second, 1, -1));
}

}  // namespace ds::hub
