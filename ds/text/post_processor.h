// SPDX-License-Identifier: Apache-2.0
// The special tokens around the texts of an input, as a template.
// https://huggingface.co/docs/tokenizers/api/post-processors
#pragma once

#include <vector>

#include "ds/text/json.h"
#include "ds/text/vocabulary.h"

namespace ds::text {

/// A part of an input: the tokens of one of the texts, or special tokens.
struct TemplatePart {
  int sequence = -1;    // 0 or 1 for a text, -1 for special tokens
  std::vector<Id> ids;  // of special tokens
  int64_t type = 0;
};

struct PostProcessor {
  std::vector<TemplatePart> single{{0, {}, 0}}, pair{{0, {}, 0}, {1, {}, 1}};
  bool trim_offsets = false;  // offsets leave out the space that byte-level tokens begin with
  bool keep_first_space = false;

  const std::vector<TemplatePart>& parts(bool is_pair) const { return is_pair ? pair : single; }
  /// Special tokens that a template adds.
  int64_t added(bool is_pair) const;
};

/// The one that the "post_processor" of a tokenizer.json describes.
PostProcessor read_post_processor(const Json& json, int depth = 0);

/// [CLS] A [SEP], and [CLS] A [SEP] B [SEP] whose second part has type 1.
PostProcessor bert_post_processor(Id cls, Id sep);

}  // namespace ds::text
