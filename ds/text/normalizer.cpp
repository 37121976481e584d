// SPDX-License-Identifier: Apache-2.0
#include "ds/text/normalizer.h"

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include "ds/text/byte_chars.h"
#include "ds/text/charsmap.h"
#include "ds/text/regex.h"

namespace ds::text {
namespace {

/// Rewrites a text character by character: each(c, begin, end, writer).
template <class Each>
void rewrite(Text& text, const Each& each) {
  Rewriter out(text);
  for (size_t i = 0; i < text.bytes.size();) {
    const size_t begin = i;
    const char32_t c = next_char(text.bytes, i);
    each(c, begin, i, out);
  }
  text = out.done();
}

template <class Drop>
void drop_if(Text& text, const Drop& drop) {
  rewrite(text, [&](char32_t c, size_t begin, size_t end, Rewriter& out) {
    if (!drop(c)) out.keep(begin, end);
  });
}

void lowercase(Text& text) {
  rewrite(text, [](char32_t c, size_t begin, size_t end, Rewriter& out) {
    out.put_lower(c, begin, end);
  });
}

class FunctionNormalizer : public Normalizer {
 public:
  explicit FunctionNormalizer(void (*function)(Text&)) : function_(function) {}
  void run(Text& text) const override { function_(text); }

 private:
  void (*function_)(Text&);
};

/// A form of Unicode's normalisation, of the version that tokenizers know (see unicode.cpp).
class UnicodeForm : public Normalizer {
 public:
  UnicodeForm(const char* data, UNormalization2Mode mode) {
    UErrorCode status = U_ZERO_ERROR;
    static const icu::UnicodeSet* const known = [] {
      UErrorCode made = U_ZERO_ERROR;
      auto* set = new icu::UnicodeSet(u"[:Age=12.0:]", made);
      DS_ASSERT(U_SUCCESS(made), u_errorName(made));
      return static_cast<const icu::UnicodeSet*>(set->freeze());
    }();
    const auto* form = icu::Normalizer2::getInstance(nullptr, data, mode, status);
    DS_ASSERT(U_SUCCESS(status), "ICU has no data for ", data, ": ", u_errorName(status));
    form_ = std::make_unique<icu::FilteredNormalizer2>(*form, *known);
  }

  void run(Text& text) const override {
    if (is_ascii(text.bytes)) return;
    std::string bytes;
    icu::StringByteSink<std::string> sink(&bytes, static_cast<int32_t>(text.bytes.size()));
    icu::Edits edits;
    UErrorCode status = U_ZERO_ERROR;
    form_->normalizeUTF8(0, {text.bytes.data(), static_cast<int32_t>(text.bytes.size())}, sink,
                         text.tracked ? &edits : nullptr, status);
    DS_CHECK(U_SUCCESS(status), ValueError, "tokenizer: a text of ", text.bytes.size(),
             " bytes cannot be normalised: ", u_errorName(status));
    if (!text.tracked) {
      text.bytes = std::move(bytes);
      return;
    }
    Rewriter out(text);
    size_t from = 0, to = 0;
    for (auto edit = edits.getFineIterator(); edit.next(status);) {
      const auto old = static_cast<size_t>(edit.oldLength());
      const auto made = static_cast<size_t>(edit.newLength());
      if (edit.hasChange())
        out.put(std::string_view(bytes).substr(to, made), from, from + old);
      else
        out.keep(from, from + old);
      from += old;
      to += made;
    }
    text = out.done();
  }

 private:
  std::unique_ptr<icu::FilteredNormalizer2> form_;
};

NormalizerPtr unicode_form(const std::string& name) {
  const bool composed = name.back() == 'C';
  return std::make_shared<UnicodeForm>(name[2] == 'K' ? "nfkc" : "nfc",
                                       composed ? UNORM2_COMPOSE : UNORM2_DECOMPOSE);
}

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options)
      : options_(options), decomposed_(unicode_form("NFD")) {}

  void run(Text& text) const override {
    if (options_.clean_text || options_.handle_chinese_chars || options_.lowercase) clean(text);
    if (is_ascii(text.bytes)) return;
    if (options_.strip_accents) {
      decomposed_->run(text);
      drop_if(text, is_nonspacing_mark);
    }
    if (options_.lowercase) lowercase(text);
  }

 private:
  /// Everything that ASCII text needs, and what comes first for other text.
  void clean(Text& text) const {
    rewrite(text, [&](char32_t c, size_t begin, size_t end, Rewriter& out) {
      if (options_.clean_text && (c == 0 || c == 0xfffd || is_control(c))) return;
      if (options_.clean_text && is_space(c)) return out.put(U' ', begin, end);
      if (c < 0x80 && options_.lowercase) return out.put_lower(c, begin, end);
      if (!options_.handle_chinese_chars || !is_chinese(c)) return out.keep(begin, end);
      out.put(U' ', begin, end);
      out.keep(begin, end);
      out.put(U' ', begin, end);
    });
  }

  BertNormalizerOptions options_;
  NormalizerPtr decomposed_;
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void run(Text& text) const override {
    size_t begin = 0, end = text.bytes.size();
    for (size_t i = begin; left_ && i < end && is_space(next_char(text.bytes, i));) begin = i;
    for (size_t i = end; right_ && i > begin && is_space(previous_char(text.bytes, i));) end = i;
    Rewriter out(text);
    out.keep(begin, end);
    text = out.done();
  }

 private:
  bool left_, right_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void run(Text& text) const override {
    const std::vector<Range> found = pattern_.find(text.bytes);
    if (found.empty()) return;
    Rewriter out(text);
    size_t done = 0;
    for (const Range& match : found) {
      out.keep(done, match.begin);
      out.put(content_, match.begin, match.end);
      done = match.end;
    }
    out.keep(done, text.bytes.size());
    text = out.done();
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string content) : content_(std::move(content)) {}
  void run(Text& text) const override {
    if (text.bytes.empty()) return;
    size_t first = 0;
    next_char(text.bytes, first);
    Rewriter out(text);
    out.put(content_, 0, first);
    out.keep(0, text.bytes.size());
    text = out.done();
  }

 private:
  std::string content_;
};

/// A table of SentencePiece as the tokenizers library applies it: a cluster of characters that
/// begins with an entry becomes that entry, whatever else is in it; longer ones go by character.
class Precompiled : public Normalizer {
 public:
  explicit Precompiled(const std::string& bytes) : map_(bytes) {}

  void run(Text& text) const override {
    const std::string& bytes = text.bytes;
    Clusters clusters(bytes);
    Rewriter out(text);
    for (size_t i = 0; i < bytes.size();) {
      const size_t end = clusters.end_of(i);
      const std::string_view cluster = std::string_view(bytes).substr(i, end - i);
      const auto whole = end - i < kLongCluster ? map_.shortest(cluster) : Charsmap::Match{};
      if (whole.length > 0)
        out.put(whole.text, i, end);
      else
        by_character(bytes, i, end, out);
      i = end;
    }
    text = out.done();
  }

 private:
  static constexpr size_t kLongCluster = 6;  // bytes

  /// Ends of grapheme clusters; ICU is asked only where two characters may belong together.
  class Clusters {
   public:
    explicit Clusters(const std::string& text) : text_(text) {}

    size_t end_of(size_t begin) {
      size_t end = begin;
      const char32_t first = next_char(text_, end);
      if (end == text_.size()) return end;
      size_t behind = end;
      const char32_t next = next_char(text_, behind);
      if (alone(first) && alone(next) && first != '\r') return end;
      if (!iterator_) start();
      return static_cast<size_t>(iterator_->following(static_cast<int32_t>(begin)));
    }

   private:
    static bool alone(char32_t c) {
      if (c < 0x80) return true;
      return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_GRAPHEME_CLUSTER_BREAK) ==
             U_GCB_OTHER;
    }
    void start() {
      UErrorCode status = U_ZERO_ERROR;
      iterator_.reset(icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
      utf8_ = utext_openUTF8(nullptr, text_.data(), static_cast<int64_t>(text_.size()), &status);
      if (U_SUCCESS(status)) iterator_->setText(utf8_, status);
      utext_close(utf8_);  // the iterator has a copy of its own
      DS_CHECK(U_SUCCESS(status), ValueError,
               "tokenizer: ICU cannot find characters: ", u_errorName(status));
    }

    const std::string& text_;
    std::unique_ptr<icu::BreakIterator> iterator_;
    UText* utf8_ = nullptr;
  };

  void by_character(const std::string& bytes, size_t begin, size_t end, Rewriter& out) const {
    for (size_t i = begin; i < end;) {
      const size_t from = i;
      next_char(bytes, i);
      const auto match = map_.shortest(std::string_view(bytes).substr(from, i - from));
      if (match.length > 0)
        out.put(match.text, from, i);
      else
        out.keep(from, i);
    }
  }

  Charsmap map_;
};

void nmt(Text& text) {
  rewrite(text, [](char32_t c, size_t begin, size_t end, Rewriter& out) {
    const bool control = (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f ||
                         c == 0x8f || c == 0x9f;
    const bool space = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
                       (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xfeff || c == 0xfffd;
    if (control) return;
    if (space)
      out.put(U' ', begin, end);
    else
      out.keep(begin, end);
  });
}

void byte_level(Text& text) {
  Rewriter out(text);
  for (size_t i = 0; i < text.bytes.size(); ++i)
    out.put(kByteChars.of_byte[static_cast<unsigned char>(text.bytes[i])], i, i + 1);
  text = out.done();
}

struct NamedFunction {
  const char* name;
  void (*function)(Text&);
};
constexpr NamedFunction kFunctions[] = {
    {"Lowercase", lowercase},
    {"StripAccents", [](Text& text) { drop_if(text, is_combining_mark); }},
    {"Nmt", nmt},
    {"ByteLevel", byte_level},
};

}  // namespace

NormalizerPtr bert_normalizer(const BertNormalizerOptions& options) {
  return std::make_shared<BertNormalizer>(options);
}

NormalizerPtr sequence_of(std::vector<NormalizerPtr> steps) {
  return std::make_shared<StepSequence<Normalizer, Text>>(std::move(steps));
}

NormalizerPtr read_normalizer(const Json& json, int depth) {
  if (json.is_null()) return nullptr;
  check_depth(depth);
  const std::string type = text_field(json, "type");
  for (const NamedFunction& row : kFunctions)
    if (type == row.name) return std::make_shared<FunctionNormalizer>(row.function);
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") return unicode_form(type);
  if (type == "Sequence")
    return sequence_of(read_steps(json, "normalizers", depth, read_normalizer));
  if (type == "BertNormalizer") {
    BertNormalizerOptions options;
    options.clean_text = bool_field(json, "clean_text", true);
    options.handle_chinese_chars = bool_field(json, "handle_chinese_chars", true);
    options.lowercase = bool_field(json, "lowercase", true);
    options.strip_accents = bool_field(json, "strip_accents", options.lowercase);
    return bert_normalizer(options);
  }
  if (type == "Strip")
    return std::make_shared<Strip>(bool_field(json, "strip_left", true),
                                   bool_field(json, "strip_right", true));
  if (type == "Replace")
    return std::make_shared<Replace>(read_pattern(field(json, "pattern")),
                                     text_field(json, "content"));
  if (type == "Prepend") return std::make_shared<Prepend>(text_field(json, "prepend"));
  if (type == "Precompiled")
    return std::make_shared<Precompiled>(from_base64(text_field(json, "precompiled_charsmap")));
  throw NotImplementedError(str("tokenizer: the normalizer '", type, "' is not available; use the ",
                                "package tokenizers for this file"));
}

}  // namespace ds::text
