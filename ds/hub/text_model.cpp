// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/text_model.h"

#include "ds/base/error.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

Output run_cached(const std::function<Output(const TextInput&)>& forward, const std::string& model,
                  std::optional<int64_t> max_positions, const Tensor& tokens,
                  const std::optional<Tensor>& attention_mask, KeyValueCache& cache,
                  bool output_hidden_states) {
  const GradMode no_grad(false);
  const int64_t count = checked_length(model.c_str(), tokens, tokens.size(-1))[1];
  const int64_t total = cache.length() + count;
  DS_CHECK(!max_positions || total <= *max_positions, ValueError, model, ": ", total,
           " tokens with those of past_key_values are more than the ", max_positions.value_or(0),
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
  TextInput input;
  input.input_ids = cache.begin_step(to_rows(tokens), real);
  input.cache = &cache;
  input.output_hidden_states = output_hidden_states;
  Output out = forward(input);
  const int64_t padding = input.input_ids->size(1) - count;  // which the cache puts in front
  const auto own = [&](Tensor& x) {
    if (x.defined() && x.dim() > 1 && padding > 0) x = narrow(x, 1, padding, count);
  };
  for (auto& [name, value] : out.values) own(value);
  for (Tensor& state : out.hidden_states) own(state);
  return out;
}

}  // namespace ds::hub
