// SPDX-License-Identifier: Apache-2.0
// SentencePiece's table of replacements: a double array of prefixes and the texts that they become.
// https://github.com/google/sentencepiece, normalizer.cc
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ds::text {

class Charsmap {
 public:
  Charsmap() = default;
  /// FileFormatError when the sizes in the bytes do not fit them.
  explicit Charsmap(std::string_view bytes);

  struct Match {
    size_t length = 0;  // bytes that are replaced; 0 when none are
    std::string_view text;
  };
  /// What the longest, or the shortest, prefix of `text` that the table knows becomes.
  Match longest(std::string_view text) const { return match(text, true); }
  Match shortest(std::string_view text) const { return match(text, false); }

 private:
  Match match(std::string_view text, bool longest) const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

/// Base64 text of a tokenizer.json as bytes. FileFormatError when it is none.
std::string from_base64(std::string_view text);

}  // namespace ds::text
