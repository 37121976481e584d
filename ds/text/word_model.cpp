// SPDX-License-Identifier: Apache-2.0
// WordPiece and whole words, and the reader of all models.
#include "ds/text/word_model.h"

#include <cmath>

namespace ds::text {
namespace {

/// A token that a model needs. FileFormatError when the vocabulary lacks it.
Id needed(const Vocabulary& vocabulary, const std::string& token) {
  const Id id = vocabulary.find(token);
  DS_CHECK(id != kNoId, FileFormatError, "tokenizer: the vocabulary has no '", token, "'");
  return id;
}

/// The longest token at the start of a word, then the longest that goes on with a prefix.
class WordPiece : public WordModel {
 public:
  WordPiece(Vocabulary vocabulary, const std::string& unknown, std::string prefix,
            int64_t max_chars)
      : prefix_(std::move(prefix)), max_chars_(max_chars) {
    vocabulary_ = std::move(vocabulary);
    unknown_ = needed(vocabulary_, unknown);
    for (const auto& [token, id] : vocabulary_.tokens()) {
      first_.add(token, static_cast<uint32_t>(id));
      if (token.starts_with(prefix_))
        inner_.add(std::string_view(token).substr(prefix_.size()), static_cast<uint32_t>(id));
    }
  }

  void tokenize(std::string_view text, Range range, WordMemory&,
                std::vector<Token>& tokens) const override {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    const size_t before = tokens.size();
    const bool long_word =
        static_cast<int64_t>(word.size()) > max_chars_ && chars_of(word) > max_chars_;
    for (size_t begin = 0; begin < word.size();) {
      size_t longest = 0;
      uint32_t id = 0;
      if (!long_word)
        (begin == 0 ? first_ : inner_)
            .prefixes(word.substr(begin), [&](size_t length, uint32_t value) {
              longest = length;
              id = value;
            });
      if (longest == 0) {
        tokens.resize(before);
        tokens.push_back({unknown_, range});
        return;
      }
      const auto from = range.begin + static_cast<uint32_t>(begin);
      tokens.push_back({static_cast<Id>(id), {from, from + static_cast<uint32_t>(longest)}});
      begin += longest;
    }
  }

 private:
  static int64_t chars_of(std::string_view word) {
    int64_t count = 0;
    for (size_t i = 0; i < word.size(); ++count) next_char(word, i);
    return count;
  }

  std::string prefix_;
  int64_t max_chars_;
  Id unknown_;
  PrefixTree first_, inner_;
};

class WordLevel : public WordModel {
 public:
  WordLevel(Vocabulary vocabulary, const std::string& unknown) {
    vocabulary_ = std::move(vocabulary);
    unknown_ = vocabulary_.find(unknown);
  }
  void tokenize(std::string_view text, Range range, WordMemory&,
                std::vector<Token>& tokens) const override {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    const Id found = vocabulary_.find(word);
    const Id id = found == kNoId ? unknown_ : found;
    DS_CHECK(id != kNoId, ValueError, "tokenizer: '", word,
             "' is not in the vocabulary, which has no token for unknown words");
    tokens.push_back({id, range});
  }

 private:
  Id unknown_;
};

/// Merges are "left right" or ["left", "right"].
std::vector<Merge> read_merge_list(const Json& list) {
  std::vector<Merge> merges;
  merges.reserve(list.size());
  for (const Json& item : list) {
    const auto rank = static_cast<uint32_t>(merges.size());
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      merges.push_back({item[0].get<std::string>(), item[1].get<std::string>(), rank});
      continue;
    }
    const std::string text = item.is_string() ? item.get<std::string>() : std::string();
    const size_t space = text.find(' ');
    DS_CHECK(space != text.npos && text.find(' ', space + 1) == text.npos, FileFormatError,
             "tokenizer: merge ", rank, " is no pair of tokens");
    merges.push_back({text.substr(0, space), text.substr(space + 1), rank});
  }
  return merges;
}

WordModelPtr read_bpe(const Json& json) {
  const Json& dropout = field(json, "dropout");
  DS_CHECK(dropout.is_null() || (dropout.is_number() && dropout.get<double>() == 0),
           NotImplementedError, "tokenizer: BPE with dropout is not available; remove it");
  BpeOptions options;
  options.unknown = text_field(json, "unk_token", "");
  options.prefix = text_field(json, "continuing_subword_prefix", "");
  options.suffix = text_field(json, "end_of_word_suffix", "");
  options.fuse_unknown = bool_field(json, "fuse_unk", false);
  options.byte_fallback = bool_field(json, "byte_fallback", false);
  options.ignore_merges = bool_field(json, "ignore_merges", false);
  return bpe(read_vocabulary(field(json, "vocab")), read_merge_list(list_field(json, "merges")),
             options);
}

WordModelPtr read_unigram(const Json& json) {
  std::vector<UnigramPiece> pieces;
  for (const Json& item : list_field(json, "vocab")) {
    DS_CHECK(item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_number(),
             FileFormatError, "tokenizer: piece ", pieces.size(), " is no pair of text and score");
    pieces.push_back({item[0].get<std::string>(), item[1].get<double>()});
  }
  UnigramOptions options;
  const Json& unknown = field(json, "unk_id");
  if (!unknown.is_null()) options.unknown = id_of(unknown, "the unknown token");
  options.byte_fallback = bool_field(json, "byte_fallback", false);
  return unigram(pieces, options);
}

/// Files older than the field "type" tell their model by its other fields.
std::string type_of(const Json& json) {
  if (!field(json, "type").is_null()) return text_field(json, "type");
  if (!field(json, "merges").is_null()) return "BPE";
  return field(json, "vocab").is_array() ? "Unigram" : "WordPiece";
}

}  // namespace

Vocabulary read_vocabulary(const Json& json) {
  DS_CHECK(json.is_object(), FileFormatError, "tokenizer: the vocabulary is ", json.type_name(),
           ", an object of ids is expected");
  Vocabulary vocabulary;
  for (const auto& [token, id] : json.items()) vocabulary.add(token, id_of(id, "a token"));
  return vocabulary;
}

WordModelPtr word_piece(Vocabulary vocabulary, std::string unknown, std::string prefix,
                        int64_t max_chars) {
  return std::make_shared<WordPiece>(std::move(vocabulary), unknown, std::move(prefix), max_chars);
}

std::vector<Id> byte_ids(const Vocabulary& vocabulary) {
  std::vector<Id> ids;
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    const Id id = vocabulary.find(name);
    if (id == kNoId) return {};
    ids.push_back(id);
  }
  return ids;
}

WordModelPtr read_word_model(const Json& json) {
  const std::string type = type_of(json);
  if (type == "BPE") return read_bpe(json);
  if (type == "Unigram") return read_unigram(json);
  if (type == "WordPiece")
    return word_piece(read_vocabulary(field(json, "vocab")), text_field(json, "unk_token", "[UNK]"),
                      text_field(json, "continuing_subword_prefix", "##"),
                      int_field(json, "max_input_chars_per_word", 100));
  if (type == "WordLevel")
    return std::make_shared<WordLevel>(read_vocabulary(field(json, "vocab")),
                                       text_field(json, "unk_token", "[UNK]"));
  throw NotImplementedError(str("tokenizer: the model '", type, "' is not available; use the ",
                                "package tokenizers for this file"));
}

}  // namespace ds::text
