// SPDX-License-Identifier: Apache-2.0
// From tokens back to text. https://huggingface.co/docs/tokenizers/api/decoders
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/text/json.h"

namespace ds::text {

/// Rewrites the tokens of a text, which are joined afterwards.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void run(std::vector<std::string>& tokens) const = 0;
};
using DecoderPtr = std::shared_ptr<const Decoder>;

/// The one that the "decoder" of a tokenizer.json describes, nullptr for null.
/// NotImplementedError for a kind that is not there.
DecoderPtr read_decoder(const Json& json, int depth = 0);

DecoderPtr word_piece_decoder(std::string prefix = "##", bool cleanup = true);
DecoderPtr byte_level_decoder();
/// SentencePiece's: bytes that stand for characters, marks that stand for spaces. The first mark is
/// dropped, or all before the first character.
enum class LeadingSpaces { keep, drop_one, drop_all };
DecoderPtr sentence_piece_decoder(LeadingSpaces leading);

}  // namespace ds::text
