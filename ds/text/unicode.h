// SPDX-License-Identifier: Apache-2.0
// Characters of UTF-8 text and the classes that tokenizers split by.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ds::text {

/// The character at `position` of valid UTF-8, which moves behind it.
inline char32_t next_char(std::string_view text, size_t& position) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(position);
  if (first < 0x80) return text[position++];
  if (first < 0xe0) {
    position += 2;
    return ((first & 0x1fu) << 6) | (at(position - 1) & 0x3fu);
  }
  if (first < 0xf0) {
    position += 3;
    return ((first & 0xfu) << 12) | ((at(position - 2) & 0x3fu) << 6) | (at(position - 1) & 0x3fu);
  }
  position += 4;
  return ((first & 7u) << 18) | ((at(position - 3) & 0x3fu) << 12) |
         ((at(position - 2) & 0x3fu) << 6) | (at(position - 1) & 0x3fu);
}

/// The character that ends before `position`, which moves to its start.
char32_t previous_char(std::string_view text, size_t& position);

void append_char(std::string& text, char32_t c);

/// ValueError with the place of the first byte that is not UTF-8; `what` names the text.
void check_utf8(std::string_view text, const char* what);
bool is_utf8(std::string_view text);
bool is_ascii(std::string_view text);
/// Valid UTF-8: what is broken becomes U+FFFD.
std::string repaired_utf8(std::string_view bytes);

bool is_letter(char32_t c);       // \p{L}
bool is_number(char32_t c);       // \p{N}
bool is_space(char32_t c);        // White_Space
bool is_word(char32_t c);         // \w
bool is_punctuation(char32_t c);  // ASCII signs and \p{P}
/// What BERT's normaliser removes: controls, formats, private use. Tab and line ends are not.
bool is_control(char32_t c);
bool is_nonspacing_mark(char32_t c);  // \p{Mn}
bool is_combining_mark(char32_t c);   // \p{M}
bool is_chinese(char32_t c);          // the blocks that BERT sets apart

/// The lower case of one character, not looking at its neighbours.
void append_lower(std::string& text, char32_t c);

}  // namespace ds::text
