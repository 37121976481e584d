// SPDX-License-Identifier: Apache-2.0
#include "ds/text/decoder.h"

#include <algorithm>

#include "ds/text/byte_chars.h"
#include "ds/text/regex.h"

namespace ds::text {
namespace {

using Tokens = std::vector<std::string>;
constexpr const char* kSpaceMark = "\u2581";

void replace_all(std::string& text, std::string_view old, std::string_view fresh) {
  for (size_t i = text.find(old); !old.empty() && i != text.npos;
       i = text.find(old, i + fresh.size()))
    text.replace(i, old.size(), fresh);
}

/// Takes back spaces that tokenising put before signs of English.
void clean_up(std::string& text) {
  static constexpr std::pair<const char*, const char*> kRows[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [old, fresh] : kRows) replace_all(text, old, fresh);
}

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void run(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) token = token.starts_with(prefix_) ? token.substr(prefix_.size()) : " " + token;
      if (cleanup_) clean_up(token);
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

class ByteLevelDecoder : public Decoder {
 public:
  void run(Tokens& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) append(token, bytes);
    tokens = {repaired_utf8(bytes)};
  }

 private:
  /// A token with a character that stands for no byte is text itself.
  static void append(const std::string& token, std::string& bytes) {
    const size_t before = bytes.size();
    for (size_t i = 0; i < token.size();) {
      const char32_t c = next_char(token, i);
      const int byte = c < kByteCharEnd ? kByteChars.byte_of[c] : -1;
      if (byte < 0) {
        bytes.resize(before);
        bytes += token;
        return;
      }
      bytes += static_cast<char>(byte);
    }
  }
};

class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(std::string mark, bool drop_first)
      : mark_(std::move(mark)), drop_first_(drop_first) {}
  void run(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], mark_, i == 0 && drop_first_ ? "" : " ");
  }

 private:
  std::string mark_;
  bool drop_first_;
};

class SpaceMarkDecoder : public Decoder {
 public:
  explicit SpaceMarkDecoder(LeadingSpaces leading) : leading_(leading) {}
  void run(Tokens& tokens) const override {
    bool leading = leading_ != LeadingSpaces::keep;
    for (std::string& token : tokens) {
      const bool marked = leading && token.starts_with(kSpaceMark);
      if (marked) token.erase(0, std::string_view(kSpaceMark).size());
      leading = leading && token.empty() && !(marked && leading_ == LeadingSpaces::drop_one);
      replace_all(token, kSpaceMark, " ");
    }
  }

 private:
  LeadingSpaces leading_;
};

class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void run(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

/// Runs of <0x..> become the characters that their bytes are, each U+FFFD when they are none.
class ByteFallbackDecoder : public Decoder {
 public:
  void run(Tokens& tokens) const override {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (is_utf8(bytes)) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\ufffd");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      const int byte = byte_of(token);
      if (byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens = std::move(out);
  }

 private:
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    int value = 0;
    for (const char c : token.substr(3, 2)) {
      const char lower = static_cast<char>(c | 32);
      if (c >= '0' && c <= '9')
        value = value * 16 + c - '0';
      else if (lower >= 'a' && lower <= 'f')
        value = value * 16 + lower - 'a' + 10;
      else
        return -1;
    }
    return value;
  }
};

class FuseDecoder : public Decoder {
 public:
  void run(Tokens& tokens) const override {
    std::string whole;
    for (const std::string& token : tokens) whole += token;
    tokens = {std::move(whole)};
  }
};

class StripDecoder : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void run(Tokens& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view left = token;
      for (int64_t i = 0; i < start_ && left.starts_with(content_); ++i)
        left.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && left.ends_with(content_); ++i)
        left.remove_suffix(content_.size());
      token = std::string(left);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void run(Tokens& tokens) const override {
    for (std::string& token : tokens) {
      const std::vector<Range> found = pattern_.find(token);
      for (auto match = found.rbegin(); match != found.rend(); ++match)
        token.replace(match->begin, match->end - match->begin, content_);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

using SequenceDecoder = StepSequence<Decoder, Tokens>;

}  // namespace

DecoderPtr word_piece_decoder(std::string prefix, bool cleanup) {
  return std::make_shared<WordPieceDecoder>(std::move(prefix), cleanup);
}

DecoderPtr byte_level_decoder() { return std::make_shared<ByteLevelDecoder>(); }

DecoderPtr sentence_piece_decoder(LeadingSpaces leading) {
  return std::make_shared<SequenceDecoder>(std::vector<DecoderPtr>{
      std::make_shared<ByteFallbackDecoder>(), std::make_shared<SpaceMarkDecoder>(leading)});
}

DecoderPtr read_decoder(const Json& json, int depth) {
  if (json.is_null()) return nullptr;
  check_depth(depth);
  const std::string type = text_field(json, "type");
  if (type == "Sequence")
    return std::make_shared<SequenceDecoder>(read_steps(json, "decoders", depth, read_decoder));
  if (type == "WordPiece")
    return word_piece_decoder(text_field(json, "prefix", "##"), bool_field(json, "cleanup", true));
  if (type == "ByteLevel") return byte_level_decoder();
  if (type == "ByteFallback") return std::make_shared<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_shared<FuseDecoder>();
  if (type == "BPEDecoder") return std::make_shared<BpeDecoder>(text_field(json, "suffix", "</w>"));
  if (type == "Metaspace") {
    const std::string scheme = text_field(
        json, "prepend_scheme", bool_field(json, "add_prefix_space", true) ? "always" : "never");
    return std::make_shared<MetaspaceDecoder>(text_field(json, "replacement", kSpaceMark),
                                              scheme != "never");
  }
  if (type == "Strip") {
    const std::string content = text_field(json, "content");
    DS_CHECK(!content.empty(), FileFormatError, "tokenizer: a Strip of nothing");
    return std::make_shared<StripDecoder>(content, int_field(json, "start", 0),
                                          int_field(json, "stop", 0));
  }
  if (type == "Replace")
    return std::make_shared<ReplaceDecoder>(read_pattern(field(json, "pattern")),
                                            text_field(json, "content"));
  throw NotImplementedError(str("tokenizer: the decoder '", type,
                                "' is not available; use the package tokenizers for this file"));
}

}  // namespace ds::text
