// SPDX-License-Identifier: Apache-2.0
// Rewriting of text before it is cut into words: lower case, accents, Unicode's forms, tables of
// SentencePiece. https://huggingface.co/docs/tokenizers/api/normalizers
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/text/json.h"
#include "ds/text/piece.h"

namespace ds::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void run(Text& text) const = 0;
};
using NormalizerPtr = std::shared_ptr<const Normalizer>;

/// The one that the "normalizer" of a tokenizer.json describes, nullptr for null.
/// NotImplementedError for a kind that is not there.
NormalizerPtr read_normalizer(const Json& json, int depth = 0);

struct BertNormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
};
NormalizerPtr bert_normalizer(const BertNormalizerOptions& options);

/// Applies some after one another.
NormalizerPtr sequence_of(std::vector<NormalizerPtr> steps);

}  // namespace ds::text
