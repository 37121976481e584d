// SPDX-License-Identifier: Apache-2.0
// Cutting of text into words, within which a model looks for tokens.
// https://huggingface.co/docs/tokenizers/api/pre-tokenizers
#pragma once

#include <memory>
#include <vector>

#include "ds/text/json.h"
#include "ds/text/piece.h"

namespace ds::text {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void run(Words& words) const = 0;
  /// Whether the text must say where it comes from.
  virtual bool needs_origin() const { return false; }
};
using PreTokenizerPtr = std::shared_ptr<const PreTokenizer>;

/// The one that the "pre_tokenizer" of a tokenizer.json describes, nullptr for null.
/// NotImplementedError for a kind that is not there.
PreTokenizerPtr read_pre_tokenizer(const Json& json, int depth = 0);

PreTokenizerPtr bert_pre_tokenizer();
PreTokenizerPtr byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex);

}  // namespace ds::text
