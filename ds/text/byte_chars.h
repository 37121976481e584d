// SPDX-License-Identifier: Apache-2.0
// The visible characters by which byte-level tokenizers write bytes.
// https://github.com/openai/gpt-2, encoder.py
#pragma once

#include <array>
#include <cstdint>

namespace ds::text {

/// Printable bytes stand for themselves, the other 68 for the characters from U+0100 on, in order.
constexpr char32_t kByteCharEnd = 0x100 + 68;

struct ByteChars {
  std::array<char32_t, 256> of_byte{};
  std::array<int16_t, kByteCharEnd> byte_of{};
};

inline constexpr ByteChars kByteChars = [] {
  ByteChars chars;
  chars.byte_of.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool own =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const char32_t c = own ? byte : next++;
    chars.of_byte[byte] = c;
    chars.byte_of[c] = static_cast<int16_t>(byte);
  }
  return chars;
}();

}  // namespace ds::text
