// SPDX-License-Identifier: Apache-2.0
#include "ds/text/unicode.h"

#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <memory>

#include "ds/base/error.h"

namespace ds::text {
namespace {

enum : uint8_t {
  kLetter = 1,
  kNumber = 2,
  kSpace = 4,
  kWord = 8,
  kPunctuation = 16,
  kControl = 32,
  kNonspacing = 64,
  kCombining = 128
};

/// Whether Unicode had the character in version `major`. The tables that tokenizers were trained
/// with are older than ours: https://crates.io/crates/unicode_categories is of version 8,
/// https://crates.io/crates/unicode-normalization-alignments of 12.
bool known_in(int major, UChar32 c) {
  UVersionInfo version;
  u_charAge(c, version);
  return version[0] > 0 && (version[0] < major || (version[0] == major && version[1] == 0));
}

/// Punctuation and marks by version 8, where later versions think otherwise.
struct Reclassified {
  UChar32 c;
  uint8_t classes;
};
constexpr Reclassified kReclassified[] = {
    {0x166d, kPunctuation}, {0x1734, kNonspacing}, {0x1885, 0}, {0x1886, 0}, {0xa9bd, 0},
    {0x111c9, kPunctuation}};

uint8_t classes_of(UChar32 c) {
  const uint32_t category = U_GET_GC_MASK(c);
  uint8_t found = 0;
  if (category & U_GC_L_MASK) found |= kLetter;
  if (category & U_GC_N_MASK) found |= kNumber;
  if (u_hasBinaryProperty(c, UCHAR_WHITE_SPACE)) found |= kSpace;
  if (u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
      (category & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)))
    found |= kWord;
  const bool old = known_in(8, c);
  const bool ascii_sign = c > 32 && c < 127 && !u_isalnum(c);
  if (ascii_sign || ((category & U_GC_P_MASK) && old)) found |= kPunctuation;
  if ((category & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) && old && c != '\t' && c != '\n' &&
      c != '\r')
    found |= kControl;
  if ((category & U_GC_MN_MASK) && old) found |= kNonspacing;
  if ((category & U_GC_M_MASK) && known_in(12, c)) found |= kCombining;
  for (const Reclassified& row : kReclassified)
    if (row.c == c)
      found = static_cast<uint8_t>((found & ~(kPunctuation | kNonspacing)) | row.classes);
  return found;
}

/// Classes of the first plane, where nearly all text is, are looked up.
constexpr UChar32 kTable = 0x10000;

bool has(char32_t c, uint8_t wanted) {
  static const auto table = [] {
    auto made = std::make_unique<std::array<uint8_t, kTable>>();
    for (UChar32 i = 0; i < kTable; ++i) (*made)[i] = classes_of(i);
    return made;
  }();
  const auto code = static_cast<UChar32>(c);
  return (code < kTable ? (*table)[code] : classes_of(code)) & wanted;
}

/// The place of the first byte that is not UTF-8; the size when there is none.
size_t broken_at(std::string_view text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto size = static_cast<int64_t>(text.size());
  for (int64_t i = 0; i < size;) {
    if (bytes[i] < 0x80) {
      ++i;
      continue;
    }
    const int64_t start = i;
    UChar32 c;
    U8_NEXT(bytes, i, size, c);
    if (c < 0) return static_cast<size_t>(start);
  }
  return text.size();
}

}  // namespace

char32_t previous_char(std::string_view text, size_t& position) {
  do --position;
  while ((static_cast<unsigned char>(text[position]) & 0xc0) == 0x80);
  size_t at = position;
  return next_char(text, at);
}

void append_char(std::string& text, char32_t c) {
  char bytes[U8_MAX_LENGTH];
  int32_t size = 0;
  U8_APPEND_UNSAFE(bytes, size, c);
  text.append(bytes, static_cast<size_t>(size));
}

bool is_utf8(std::string_view text) { return broken_at(text) == text.size(); }

void check_utf8(std::string_view text, const char* what) {
  const size_t place = broken_at(text);
  DS_CHECK(place == text.size(), ValueError, what, " is not UTF-8 at byte ", place,
           "; decode it from its own encoding first");
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
}

std::string repaired_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const auto size = static_cast<int64_t>(bytes.size());
  for (int64_t i = 0; i < size;) {
    UChar32 c;
    U8_NEXT_OR_FFFD(data, i, size, c);
    append_char(text, static_cast<char32_t>(c));
  }
  return text;
}

bool is_letter(char32_t c) { return has(c, kLetter); }
bool is_number(char32_t c) { return has(c, kNumber); }
bool is_space(char32_t c) { return has(c, kSpace); }
bool is_word(char32_t c) { return has(c, kWord); }
bool is_punctuation(char32_t c) { return has(c, kPunctuation); }
bool is_control(char32_t c) { return has(c, kControl); }
bool is_nonspacing_mark(char32_t c) { return has(c, kNonspacing); }
bool is_combining_mark(char32_t c) { return has(c, kCombining); }

bool is_chinese(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b81f) ||
         (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0x2f800 && c <= 0x2fa1f);
}

void append_lower(std::string& text, char32_t c) {
  append_char(text, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
  if (c == 0x130) append_char(text, 0x307);  // the one letter whose lower case is two
}

}  // namespace ds::text
