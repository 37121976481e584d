// SPDX-License-Identifier: Apache-2.0
// Models that divide a word into tokens: WordPiece, byte-pair encoding, Unigram, whole words.
// https://huggingface.co/docs/tokenizers/api/models
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ds/text/json.h"
#include "ds/text/piece.h"
#include "ds/text/vocabulary.h"

namespace ds::text {

struct Token {
  Id id;
  Range range;  // of the text that the word is part of
};

/// What a model remembers from word to word within a call.
struct WordMemory {
  std::unordered_map<std::string, std::vector<Token>> words;
};

class WordModel {
 public:
  virtual ~WordModel() = default;
  /// Appends the tokens of bytes `range` of a text, which is not empty. ValueError when nothing
  /// stands for a part of it.
  virtual void tokenize(std::string_view text, Range range, WordMemory& memory,
                        std::vector<Token>& tokens) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};
using WordModelPtr = std::shared_ptr<const WordModel>;

/// {token: id}.
Vocabulary read_vocabulary(const Json& json);

/// The one that the "model" of a tokenizer.json describes.
WordModelPtr read_word_model(const Json& json);

WordModelPtr word_piece(Vocabulary vocabulary, std::string unknown = "[UNK]",
                        std::string prefix = "##", int64_t max_chars = 100);

struct BpeOptions {
  std::string unknown, prefix, suffix;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
};
/// A merge of two tokens into the one that is both, earlier ones first. A rank may be shared.
struct Merge {
  std::string left, right;
  uint32_t rank;
};
WordModelPtr bpe(Vocabulary vocabulary, const std::vector<Merge>& merges, BpeOptions options);
/// Lines of a merges.txt, "left right" each.
std::vector<Merge> read_merges(std::string_view text, const std::string& path);

struct UnigramPiece {
  std::string text;
  double score;
};
struct UnigramOptions {
  Id unknown = kNoId;
  bool byte_fallback = false;
  bool single_precision = false;  // sum scores as SentencePiece's own library does
  std::vector<bool> usable;       // pieces that text may become; all when empty
  std::optional<double> worst;    // score below which unknown characters are; the least by default
};
WordModelPtr unigram(const std::vector<UnigramPiece>& pieces, UnigramOptions options);

/// The ids of "<0x00>" to "<0xFF>"; empty unless all are there.
std::vector<Id> byte_ids(const Vocabulary& vocabulary);

}  // namespace ds::text
