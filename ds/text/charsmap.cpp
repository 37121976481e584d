// SPDX-License-Identifier: Apache-2.0
#include "ds/text/charsmap.h"

#include <cstring>

#include "ds/base/error.h"
#include "ds/text/unicode.h"

namespace ds::text {
namespace {

// One unit of a double array: the label and the way to the children, or a value (Darts-clone).
bool has_leaf(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t value_of(uint32_t unit) { return unit & 0x7fffffffu; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000ffu; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string_view bytes) {
  if (bytes.empty()) return;
  uint32_t size = 0;
  DS_CHECK(bytes.size() >= 4, FileFormatError, "tokenizer: the table of characters is cut off");
  std::memcpy(&size, bytes.data(), 4);
  DS_CHECK(size % 4 == 0 && size >= 4 && size <= bytes.size() - 4, FileFormatError,
           "tokenizer: the table of characters claims ", size, " bytes of ", bytes.size());
  units_.resize(size / 4);
  std::memcpy(units_.data(), bytes.data() + 4, size);
  texts_ = bytes.substr(4 + size);
  DS_CHECK(is_utf8(texts_), FileFormatError,
           "tokenizer: a replacement in the table of characters is not UTF-8");
}

Charsmap::Match Charsmap::match(std::string_view text, bool longest) const {
  Match found;
  if (units_.empty()) return found;
  const uint32_t size = static_cast<uint32_t>(units_.size());
  uint32_t node = offset_of(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= size || label_of(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit) || node >= size) continue;
    const uint32_t at = value_of(units_[node]);
    if (at >= texts_.size()) continue;
    const size_t end = std::min(texts_.find('\0', at), texts_.size());
    // A value into the middle of a character is a damaged file's.
    if ((static_cast<unsigned char>(texts_[at]) & 0xc0) == 0x80) continue;
    found = {i + 1, std::string_view(texts_).substr(at, end - at)};
    if (!longest) break;
  }
  return found;
}

std::string from_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0, count = 0;
  for (const char c : text) {
    uint32_t value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<uint32_t>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<uint32_t>(c - 'a' + 26);
    else if (c >= '0' && c <= '9')
      value = static_cast<uint32_t>(c - '0' + 52);
    else if (c == '+' || c == '/')
      value = c == '+' ? 62 : 63;
    else
      throw FileFormatError("tokenizer: the table of characters is not base64");
    bits = (bits << 6) | value;
    if (++count % 4 == 0) {
      bytes += static_cast<char>(bits >> 16);
      bytes += static_cast<char>(bits >> 8);
      bytes += static_cast<char>(bits);
      bits = 0;
    }
  }
  if (count % 4 == 2) bytes += static_cast<char>(bits >> 4);
  if (count % 4 == 3) {
    bytes += static_cast<char>(bits >> 10);
    bytes += static_cast<char>(bits >> 2);
  }
  return bytes;
}

}  // namespace ds::text
