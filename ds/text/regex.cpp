// SPDX-License-Identifier: Apache-2.0
#include "ds/text/regex.h"

#include <unicode/regex.h>

#include "ds/base/error.h"

namespace ds::text {
namespace {

// Units of work of ICU's matcher, about a second; an expression of a hostile file ends there.
constexpr int32_t kTimeLimit = 1000;

/// Whitespace is Unicode's White_Space, as in the expressions' own library; ICU's \s is smaller.
std::string with_unicode_space(const std::string& expression) {
  std::string out;
  for (size_t i = 0; i < expression.size(); ++i) {
    if (expression[i] != '\\' || i + 1 == expression.size()) {
      out += expression[i];
      continue;
    }
    const char kind = expression[++i];
    if (kind == 's')
      out += "\\p{White_Space}";
    else if (kind == 'S')
      out += "\\P{White_Space}";
    else
      (out += '\\') += kind;
  }
  return out;
}

}  // namespace

struct Pattern::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
  std::string expression;
};

Pattern Pattern::regex(const std::string& expression) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError place;
  std::unique_ptr<icu::RegexPattern> pattern(icu::RegexPattern::compile(
      icu::UnicodeString::fromUTF8(with_unicode_space(expression)), 0, place, status));
  DS_CHECK(U_SUCCESS(status), ValueError, "tokenizer: the expression '", expression,
           "' is not valid: ", u_errorName(status), " at character ", place.offset);
  Pattern made;
  made.compiled_ = std::make_shared<Compiled>(Compiled{std::move(pattern), expression});
  return made;
}

Pattern Pattern::literal(std::string text) {
  Pattern made;
  made.literal_ = std::move(text);
  return made;
}

Pattern read_pattern(const Json& json) {
  if (json.is_string()) return Pattern::literal(json.get<std::string>());
  return !field(json, "String").is_null() ? Pattern::literal(text_field(json, "String"))
                                          : Pattern::regex(text_field(json, "Regex"));
}

std::vector<Range> Pattern::find(std::string_view text) const {
  std::vector<Range> found;
  if (!compiled_) {
    if (literal_.empty()) return found;
    for (size_t i = text.find(literal_); i != text.npos;
         i = text.find(literal_, i + literal_.size()))
      found.push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(i + literal_.size())});
    return found;
  }
  const auto wide = icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(wide, status));
  if (U_SUCCESS(status)) matcher->setTimeLimit(kTimeLimit, status);
  size_t bytes = 0;
  int32_t units = 0;
  const auto bytes_at = [&](int32_t unit) {
    while (units < unit) units += next_char(text, bytes) > 0xffff ? 2 : 1;
    return static_cast<uint32_t>(bytes);
  };
  while (U_SUCCESS(status) && matcher->find(status)) {
    const int32_t begin = matcher->start(status), end = matcher->end(status);
    if (begin == end) continue;
    const uint32_t from = bytes_at(begin);
    found.push_back({from, bytes_at(end)});
  }
  DS_CHECK(U_SUCCESS(status), ValueError, "tokenizer: the expression '", compiled_->expression,
           "' fails on a text of ", text.size(), " bytes: ", u_errorName(status));
  return found;
}

}  // namespace ds::text
