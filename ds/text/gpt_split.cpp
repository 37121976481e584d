// SPDX-License-Identifier: Apache-2.0
#include "ds/text/gpt_split.h"

namespace ds::text {
namespace {

constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

bool is_line_end(char32_t c) { return c == '\r' || c == '\n'; }
bool is_sign(char32_t c) { return !is_space(c) && !is_letter(c) && !is_number(c); }

class Scanner {
 public:
  Scanner(std::string_view text, const GptRules& rules) : text_(text), rules_(rules) {}

  /// The end of the word that begins at `begin`.
  size_t word(size_t begin) const {
    if (const size_t end = contraction(begin)) return end;
    size_t second = begin;
    const char32_t first = next_char(text_, second);
    const bool space_ahead = first == ' ' && second < text_.size();
    const char32_t next = second < text_.size() ? at(second) : U'\0';
    if (is_letter(first)) return run(second, is_letter);
    const bool joins = rules_.gpt2 ? first == ' ' : !is_line_end(first) && !is_number(first);
    if (joins && second < text_.size() && is_letter(next)) return run(second, is_letter);
    if (is_number(first)) return number(begin);
    if (rules_.gpt2 && space_ahead && is_number(next)) return number(second);
    if (is_sign(first)) return signs(second);
    if (space_ahead && is_sign(next)) return signs(second);
    return space(begin);
  }

 private:
  char32_t at(size_t i) const { return next_char(text_, i); }

  template <class Member>
  size_t run(size_t i, const Member& member) const {
    while (i < text_.size()) {
      size_t next = i;
      if (!member(next_char(text_, next))) break;
      i = next;
    }
    return i;
  }

  /// 's, 't, 're, 've, 'm, 'll, 'd; 0 when there is none.
  size_t contraction(size_t i) const {
    if (text_[i] != '\'' || i + 1 == text_.size()) return 0;
    const auto letter = [&](size_t k) {
      if (k >= text_.size()) return '\0';
      const char c = text_[k];
      return !rules_.gpt2 && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char a = letter(i + 1), b = letter(i + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return i + 2;
    // The one letter beyond ASCII that is an s when case does not count: U+017F.
    if (!rules_.gpt2 && text_.substr(i + 1, 2) == "\xc5\xbf") return i + 3;
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? i + 3 : 0;
  }

  size_t number(size_t i) const {
    int count = 0;
    return run(i, [&](char32_t c) {
      return is_number(c) && (rules_.digits == 0 || count++ < rules_.digits);
    });
  }

  size_t signs(size_t i) const {
    i = run(i, is_sign);
    return rules_.gpt2 ? i : run(i, is_line_end);
  }

  /// Whitespace: up to the last line end in it, else all at the end of the text, else all but the
  /// last character, which goes with the word behind it.
  size_t space(size_t begin) const {
    const size_t end = run(begin, is_space);
    if (!rules_.gpt2) {
      size_t line = end;
      while (line > begin && !is_line_end(static_cast<unsigned char>(text_[line - 1]))) --line;
      if (line > begin) return line;
    }
    if (end == text_.size()) return end;
    size_t last = end;
    previous_char(text_, last);
    return last > begin ? last : end;
  }

  std::string_view text_;
  GptRules rules_;
};

}  // namespace

const char* const kGpt2Expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::optional<GptRules> gpt_rules(const std::string& expression) {
  if (expression == kGpt2Expression) return GptRules{true, 0};
  if (expression == kLlama3) return GptRules{false, 3};
  if (expression == kQwen2) return GptRules{false, 1};
  return std::nullopt;
}

void gpt_split(std::string_view text, Range range, const GptRules& rules,
               std::vector<Range>& words) {
  const std::string_view part = text.substr(range.begin, range.end - range.begin);
  const Scanner scanner(part, rules);
  for (size_t begin = 0; begin < part.size();) {
    const size_t end = scanner.word(begin);
    words.push_back(
        {range.begin + static_cast<uint32_t>(begin), range.begin + static_cast<uint32_t>(end)});
    begin = end;
  }
}

}  // namespace ds::text
