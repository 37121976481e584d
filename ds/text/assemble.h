// SPDX-License-Identifier: Apache-2.0
// From the tokens of texts to inputs of a model: windows over what is too long, special tokens,
// padding.
#pragma once

#include <vector>

#include "ds/text/piece.h"
#include "ds/text/post_processor.h"
#include "ds/text/tokenizer.h"

namespace ds::text {

/// The tokens of one text, before special ones.
struct TextTokens {
  std::vector<Id> ids;
  std::vector<Range> origin;    // when offsets are asked for
  std::vector<Range> if_first;  // instead of origin for the first token of an input; or empty
};

/// One input of one or two texts; with options.overflow also the other windows over what was cut.
/// ValueError when the texts cannot be cut so.
Encoding assemble(const std::vector<TextTokens>& texts, const PostProcessor& post,
                  const EncodeOptions& options);

/// Pads encodings, windows included, to one length.
void pad_all(std::vector<Encoding>& encodings, int64_t pad_id, const EncodeOptions& options);

}  // namespace ds::text
