// SPDX-License-Identifier: Apache-2.0
// What a decoder remembers of earlier tokens: the keys and values of every layer. Plans depend on
// shapes, so prompts are padded to a few lengths and the memory is longer than what it holds: it
// doubles when it is full, and a step writes its tokens at a place that is an input of the plan.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::hub {

/// Rows of one length, such as token ids or 0/1 masks.
using TokenRows = std::vector<std::vector<int64_t>>;

/// i64 [rows, tokens]; ShapeError when rows differ in length.
Tensor to_tensor(const TokenRows& rows, Device device);
/// Elements of a 2-d integer tensor; ShapeError for another rank.
TokenRows to_rows(const Tensor& tensor);
/// The lengths that inputs are padded to: powers of two up to 64, then multiples of 64.
int64_t padded_length(int64_t tokens);

class KeyValueCache {
 public:
  /// For prompts with these masks: 0 marks padding, which no token sees and no position counts.
  KeyValueCache(TokenRows prompt_mask, Device device);

  /// Begins a step: the next tokens of every row as i64 [B, T], those of the first step (the
  /// prompt) padded in front. Mask, positions and slots are those of this step until the next one.
  /// real: 0 marks padding among these tokens, of another step than the first.
  Tensor begin_step(const TokenRows& tokens, const TokenRows& real = {});
  /// Forgets keys and values; the next step brings all tokens again, `tokens` of every row. real: 0
  /// marks padding among those that were not remembered.
  void restart(int64_t tokens, const TokenRows& real = {});
  /// Tokens of every row that are remembered, their padding included.
  int64_t length() const;
  int64_t rows() const { return static_cast<int64_t>(real_.size()); }
  /// bool [B, 1, T, S], true is seen. A token sees the real ones before it and itself.
  const Tensor& mask() const { return mask_; }
  /// i64 [B, T]: real tokens before this one in its row; 0 for padding.
  const Tensor& positions() const { return positions_; }
  /// Real tokens of the longest row, those of this step included.
  int64_t longest() const { return longest_; }
  /// The first of slots().
  int64_t first_slot() const { return used_; }
  /// i64 [T]: where the tokens lie among the S that mask() is about.
  const Tensor& slots() const { return slots_; }

  /// Remembers keys and values [B, T, heads, D] of this step's tokens in a layer; returns all that
  /// mask() is about, [B, S, heads, D].
  std::pair<Tensor, Tensor> extend(size_t layer, const Tensor& keys, const Tensor& values);
  /// Keys and values of what does not grow, such as an encoder's tokens: what `make` returns at
  /// the first call for a layer.
  template <class Make>
  std::pair<Tensor, Tensor> fixed(size_t layer, const Make& make) {
    if (fixed_.size() <= layer) fixed_.resize(layer + 1);
    if (!fixed_[layer].first.defined()) fixed_[layer] = make();
    return fixed_[layer];
  }
  /// Row i becomes what row rows[i] was. Beams that share an encoder's tokens keep the fixed part.
  void select_rows(const std::vector<int64_t>& rows);

 private:
  using Layer = std::pair<Tensor, Tensor>;
  void grow(int64_t tokens);
  void describe_step(int64_t tokens);

  Device device_;
  TokenRows real_;  // [B][used_]: 1 for real tokens
  bool begun_ = false;
  int64_t front_ = 0;  // slots in front of the prompt that hold nothing
  int64_t used_ = 0;   // slots written before this step
  int64_t longest_ = 0;
  int64_t capacity_ = 64;  // slots there are
  Tensor mask_, positions_, slots_;
  std::vector<Layer> layers_, fixed_;
};

}  // namespace ds::hub
