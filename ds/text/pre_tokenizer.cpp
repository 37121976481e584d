// SPDX-License-Identifier: Apache-2.0
#include "ds/text/pre_tokenizer.h"

#include <algorithm>
#include <functional>

#include "ds/text/byte_chars.h"
#include "ds/text/gpt_split.h"
#include "ds/text/regex.h"

namespace ds::text {
namespace {

/// What becomes of a separator.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct BehaviorName {
  const char* name;
  Behavior behavior;
};
constexpr BehaviorName kBehaviors[] = {
    {"Removed", Behavior::removed},
    {"Isolated", Behavior::isolated},
    {"MergedWithPrevious", Behavior::merged_with_previous},
    {"MergedWithNext", Behavior::merged_with_next},
    {"Contiguous", Behavior::contiguous},
};

Behavior read_behavior(const Json& json) {
  const std::string name = text_field(json, "behavior", "Isolated");
  for (const BehaviorName& row : kBehaviors)
    if (name == row.name) return row.behavior;
  throw FileFormatError(str("tokenizer: the behavior '", name, "' is unknown"));
}

struct Cut {
  Range range;
  bool separator;
};

/// Joins a separator with the cut before it; the second of two separators stays alone.
void merge_with_previous(std::vector<Cut>& cuts, bool backwards) {
  if (backwards) std::reverse(cuts.begin(), cuts.end());
  std::vector<Cut> merged;
  bool after_separator = false;
  for (const Cut& cut : cuts) {
    if (cut.separator && !after_separator && !merged.empty()) {
      Range& range = merged.back().range;
      range = {std::min(range.begin, cut.range.begin), std::max(range.end, cut.range.end)};
    } else {
      merged.push_back(cut);
    }
    after_separator = cut.separator;
  }
  if (backwards) std::reverse(merged.begin(), merged.end());
  cuts = std::move(merged);
}

void apply(Behavior behavior, std::vector<Cut>& cuts, std::vector<Range>& out) {
  if (behavior == Behavior::merged_with_previous) merge_with_previous(cuts, false);
  if (behavior == Behavior::merged_with_next) merge_with_previous(cuts, true);
  bool joinable = false, last = false;
  for (const Cut& cut : cuts) {
    if (behavior == Behavior::removed && cut.separator) continue;
    if (behavior == Behavior::contiguous && joinable && last == cut.separator)
      out.back().end = cut.range.end;
    else
      out.push_back(cut.range);
    joinable = true;
    last = cut.separator;
  }
}

/// Cuts every word: cut(text, range, out) appends its parts.
template <class CutWord>
void cut_words(Words& words, const CutWord& cut) {
  std::vector<Range> parts;
  parts.reserve(words.text.bytes.size() / 4 + 4);
  for (const Range& range : words.ranges) cut(words.text.bytes, range, parts);
  words.ranges = std::move(parts);
}

/// Rewrites every word: each(text, range, writer).
template <class Each>
void rewrite_words(Words& words, const Each& each) {
  Rewriter out(words.text);
  std::vector<Range> ranges;
  ranges.reserve(words.ranges.size());
  for (const Range& range : words.ranges) {
    const auto begin = static_cast<uint32_t>(out.size());
    each(words.text, range, out);
    ranges.push_back({begin, static_cast<uint32_t>(out.size())});
  }
  words = {out.done(), std::move(ranges)};
}

/// Separators are single characters.
class CharSplit : public PreTokenizer {
 public:
  CharSplit(std::function<bool(char32_t)> separates, Behavior behavior)
      : separates_(std::move(separates)), behavior_(behavior) {}

  void run(Words& words) const override {
    std::vector<Cut> cuts;
    cut_words(words, [&](const std::string& text, Range range, std::vector<Range>& out) {
      cuts.clear();
      uint32_t begin = range.begin;
      for (size_t i = range.begin; i < range.end;) {
        const auto from = static_cast<uint32_t>(i);
        if (!separates_(next_char(text, i))) continue;
        if (begin < from) cuts.push_back({{begin, from}, false});
        begin = static_cast<uint32_t>(i);
        cuts.push_back({{from, begin}, true});
      }
      if (begin < range.end) cuts.push_back({{begin, range.end}, false});
      apply(behavior_, cuts, out);
    });
  }

 private:
  std::function<bool(char32_t)> separates_;
  Behavior behavior_;
};

/// BERT's: words between spaces, each punctuation mark by itself.
class BertSplit : public PreTokenizer {
 public:
  void run(Words& words) const override {
    cut_words(words, [](const std::string& text, Range range, std::vector<Range>& out) {
      uint32_t begin = range.begin;
      for (size_t i = range.begin; i < range.end;) {
        const auto from = static_cast<uint32_t>(i);
        const char32_t c = next_char(text, i);
        const bool sign = is_punctuation(c);
        if (!sign && !is_space(c)) continue;
        if (begin < from) out.push_back({begin, from});
        begin = static_cast<uint32_t>(i);
        if (sign) out.push_back({from, begin});
      }
      if (begin < range.end) out.push_back({begin, range.end});
    });
  }
};

/// Runs of word characters and runs of signs: \w+|[^\w\s]+.
class WhitespaceSplit : public PreTokenizer {
 public:
  void run(Words& words) const override {
    cut_words(words, [](const std::string& text, Range range, std::vector<Range>& out) {
      int last = kSpace;
      for (size_t i = range.begin; i < range.end;) {
        const auto from = static_cast<uint32_t>(i);
        const char32_t c = next_char(text, i);
        const int kind = is_word(c) ? kWord : is_space(c) ? kSpace : kSign;
        if (kind != kSpace) {
          if (kind != last) out.push_back({from, from});
          out.back().end = static_cast<uint32_t>(i);
        }
        last = kind;
      }
    });
  }

 private:
  enum { kSpace, kWord, kSign };
};

class PatternSplit : public PreTokenizer {
 public:
  PatternSplit(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void run(Words& words) const override {
    cut_words(words, [&](const std::string& text, Range range, std::vector<Range>& out) {
      std::vector<Cut> cuts;
      uint32_t done = range.begin;
      for (Range match :
           pattern_.find(std::string_view(text).substr(range.begin, range.end - range.begin))) {
        match = {match.begin + range.begin, match.end + range.begin};
        if (done < match.begin) cuts.push_back({{done, match.begin}, invert_});
        cuts.push_back({match, !invert_});
        done = match.end;
      }
      if (done < range.end) cuts.push_back({{done, range.end}, invert_});
      apply(behavior_, cuts, out);
    });
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class GptSplit : public PreTokenizer {
 public:
  explicit GptSplit(const GptRules& rules) : rules_(rules) {}
  void run(Words& words) const override {
    cut_words(words, [&](const std::string& text, Range range, std::vector<Range>& out) {
      gpt_split(text, range, rules_, out);
    });
  }

 private:
  GptRules rules_;
};

/// The end of the first character of a word.
size_t first_end(const Text& text, Range range) {
  size_t end = range.begin;
  next_char(text.bytes, end);
  return end;
}

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool prefix, bool regex) : prefix_(prefix), regex_(regex) {}

  void run(Words& words) const override {
    if (prefix_)
      rewrite_words(words, [](const Text& text, Range range, Rewriter& out) {
        if (range.begin < range.end && text.bytes[range.begin] != ' ')
          out.put(U' ', range.begin, first_end(text, range));
        out.keep(range.begin, range.end);
      });
    if (regex_)
      cut_words(words, [](const std::string& text, Range range, std::vector<Range>& out) {
        gpt_split(text, range, GptRules{}, out);
      });
    rewrite_words(words, [](const Text& text, Range range, Rewriter& out) {
      for (size_t i = range.begin; i < range.end; ++i)
        out.put(kByteChars.of_byte[static_cast<unsigned char>(text.bytes[i])], i, i + 1);
    });
  }

 private:
  bool prefix_, regex_;
};

class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(const Json& json)
      : mark_(text_field(json, "replacement", "\u2581")), split_(bool_field(json, "split", true)) {
    DS_CHECK(!mark_.empty() && is_utf8(mark_) && first_end({mark_, {}, false}, {}) == mark_.size(),
             FileFormatError, "tokenizer: the replacement of Metaspace is not one character");
    const std::string scheme = text_field(
        json, "prepend_scheme", bool_field(json, "add_prefix_space", true) ? "always" : "never");
    DS_CHECK(scheme == "always" || scheme == "first" || scheme == "never", FileFormatError,
             "tokenizer: the prepend_scheme '", scheme, "' is unknown");
    always_ = scheme == "always";
    first_ = scheme == "first";
  }

  void run(Words& words) const override {
    rewrite_words(words, [&](const Text& text, Range range, Rewriter& out) {
      if (range.begin == range.end) return;
      const std::string_view bytes(text.bytes);
      const size_t end = first_end(text, range);
      const bool marked =
          bytes[range.begin] == ' ' || bytes.substr(range.begin, end - range.begin) == mark_;
      if (!marked && (always_ || (first_ && text.origin[range.begin].begin == 0)))
        out.put(mark_, range.begin, end);
      for (size_t i = range.begin; i < range.end;) {
        const size_t space = std::min<size_t>(bytes.find(' ', i), range.end);
        out.keep(i, space);
        if (space < range.end) out.put(mark_, space, space + 1);
        i = space + 1;
      }
    });
    if (split_)
      cut_words(words, [&](const std::string& text, Range range, std::vector<Range>& out) {
        uint32_t begin = range.begin;
        while (begin < range.end) {
          const size_t next = std::min<size_t>(text.find(mark_, begin + 1), range.end);
          out.push_back({begin, static_cast<uint32_t>(next)});
          begin = static_cast<uint32_t>(next);
        }
      });
  }
  bool needs_origin() const override { return first_; }

 private:
  std::string mark_;
  bool split_, always_ = false, first_ = false;
};

class Sequence : public StepSequence<PreTokenizer, Words> {
 public:
  using StepSequence::StepSequence;
  bool needs_origin() const override {
    return std::any_of(steps().begin(), steps().end(),
                       [](const PreTokenizerPtr& step) { return step->needs_origin(); });
  }
};

PreTokenizerPtr read_split(const Json& json) {
  const Behavior behavior = read_behavior(json);
  const bool invert = bool_field(json, "invert", false);
  const Json& pattern = field(json, "pattern");
  if (pattern.is_object() && !field(pattern, "Regex").is_null() && !invert &&
      behavior == Behavior::isolated)
    if (const auto rules = gpt_rules(text_field(pattern, "Regex")))
      return std::make_shared<GptSplit>(*rules);
  return std::make_shared<PatternSplit>(read_pattern(pattern), behavior, invert);
}

}  // namespace

PreTokenizerPtr bert_pre_tokenizer() { return std::make_shared<BertSplit>(); }

PreTokenizerPtr byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex) {
  return std::make_shared<ByteLevel>(add_prefix_space, use_regex);
}

PreTokenizerPtr read_pre_tokenizer(const Json& json, int depth) {
  if (json.is_null()) return nullptr;
  check_depth(depth);
  const std::string type = text_field(json, "type");
  if (type == "Sequence")
    return std::make_shared<Sequence>(read_steps(json, "pretokenizers", depth, read_pre_tokenizer));
  if (type == "BertPreTokenizer") return bert_pre_tokenizer();
  if (type == "ByteLevel")
    return byte_level_pre_tokenizer(bool_field(json, "add_prefix_space", true),
                                    bool_field(json, "use_regex", true));
  if (type == "Metaspace") return std::make_shared<Metaspace>(json);
  if (type == "Split") return read_split(json);
  if (type == "Whitespace") return std::make_shared<WhitespaceSplit>();
  if (type == "WhitespaceSplit") return std::make_shared<CharSplit>(is_space, Behavior::removed);
  if (type == "Punctuation")
    return std::make_shared<CharSplit>(is_punctuation, read_behavior(json));
  if (type == "Digits")
    return std::make_shared<CharSplit>(is_number, bool_field(json, "individual_digits", false)
                                                      ? Behavior::isolated
                                                      : Behavior::contiguous);
  if (type == "CharDelimiterSplit") {
    const std::string delimiter = text_field(json, "delimiter");
    DS_CHECK(!delimiter.empty() && is_utf8(delimiter), FileFormatError,
             "tokenizer: the delimiter of CharDelimiterSplit is no character");
    size_t i = 0;
    return std::make_shared<CharSplit>([c = next_char(delimiter, i)](char32_t d) { return c == d; },
                                       Behavior::removed);
  }
  throw NotImplementedError(str("tokenizer: the pre-tokenizer '", type,
                                "' is not available; use the package tokenizers for this file"));
}

}  // namespace ds::text
