// SPDX-License-Identifier: Apache-2.0
// Text on its way to tokens: what it became, and where in the original every byte of it was.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ds/text/unicode.h"

namespace ds::text {

/// A part of a text: bytes [begin, end).
struct Range {
  uint32_t begin = 0, end = 0;
  bool operator==(const Range&) const = default;
};

/// Text that normalisers rewrite. `origin` says for each byte which bytes of the original made it;
/// it is empty while nobody asks.
struct Text {
  std::string bytes;
  std::vector<Range> origin;
  bool tracked = false;

  /// The part of an original that begins at `offset` of it.
  static Text of(std::string_view part, uint32_t offset, bool tracked);
  /// What made bytes [begin, end); begin < end.
  Range origin_of(size_t begin, size_t end) const {
    return tracked ? Range{origin[begin].begin, origin[end - 1].end} : Range{};
  }
};

/// Writes the next form of a text.
class Rewriter {
 public:
  explicit Rewriter(const Text& from) : from_(from) {
    to_.tracked = from.tracked;
    to_.bytes.reserve(from.bytes.size() + from.bytes.size() / 4);
  }
  /// Adds what bytes [begin, end) of the old text became.
  void put(char32_t c, size_t begin, size_t end) {
    append_char(to_.bytes, c);
    note(begin, end);
  }
  void put(std::string_view text, size_t begin, size_t end) {
    to_.bytes.append(text);
    note(begin, end);
  }
  void put_lower(char32_t c, size_t begin, size_t end) {
    append_lower(to_.bytes, c);
    note(begin, end);
  }
  /// Keeps bytes [begin, end) as they are.
  void keep(size_t begin, size_t end);
  size_t size() const { return to_.bytes.size(); }
  Text done() { return std::move(to_); }

 private:
  void note(size_t begin, size_t end) {
    if (to_.tracked) to_.origin.resize(to_.bytes.size(), from_.origin_of(begin, end));
  }

  const Text& from_;
  Text to_;
};

/// A text cut into words. Words never overlap and are in order; what lies between them is dropped.
struct Words {
  Text text;
  std::vector<Range> ranges;

  std::string_view word(Range range) const {
    return std::string_view(text.bytes).substr(range.begin, range.end - range.begin);
  }
};

}  // namespace ds::text
