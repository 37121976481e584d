// SPDX-License-Identifier: Apache-2.0
// What decoders that predict the next token share, whatever their layers look like.
#pragma once

#include <optional>
#include <string>

#include "ds/hub/generate.h"
#include "ds/hub/transformer_block.h"

namespace ds::hub {

struct DecoderInput {
  std::optional<Tensor> input_ids;       // i64 [B, T]
  std::optional<Tensor> attention_mask;  // [B, T], 0 where there is padding
  std::optional<Tensor> position_ids;    // i64 [B, T] or [1, T]
  std::optional<Tensor> inputs_embeds;   // [B, T, hidden size] instead of input_ids
  bool output_hidden_states = false;
  KeyValueCache* cache = nullptr;  // of generation: decides mask and positions
};

/// A decoder below the head lm_head. Logits of the next token [B, T, vocab_size], and with labels
/// i64 [B, T] (the input itself, -100 where there is nothing to predict) the loss.
class CausalDecoder : public nn::Module, public GenerativeModel {
 public:
  using nn::Module::forward;
  Output forward(const DecoderInput& input, const std::optional<Tensor>& labels = {});
  /// Logits of tokens i64 [B, T] that follow those of the cache, where they are remembered; no
  /// gradients are recorded. attention_mask: [B, earlier ones and T], 0 where there is padding.
  /// ValueError for another batch and for more tokens than the model has positions for.
  Output forward_cached(const Tensor& tokens, const std::optional<Tensor>& attention_mask,
                        KeyValueCache& cache, bool output_hidden_states = false);
  Tensor next_logits(const Tensor& tokens, KeyValueCache& cache) override;

 protected:
  /// The head, with the table of tokens as its weight when `tied`.
  void add_head(const Tensor& table, bool tied, double initializer_range);
  /// last_hidden_state [B, T, hidden size] and hidden states.
  virtual Output run_body(const DecoderInput& input) = 0;
};

}  // namespace ds::hub
