// SPDX-License-Identifier: Apache-2.0
// Unigram: of all ways to divide a text into pieces the one with the largest sum of scores.
// Kudo 2018, https://arxiv.org/abs/1804.10959
#include <algorithm>
#include <cmath>

#include "ds/text/word_model.h"

namespace ds::text {
namespace {

/// How much worse than the worst piece an unknown character is.
constexpr double kUnknownPenalty = 10;

class Unigram : public WordModel {
 public:
  Unigram(const std::vector<UnigramPiece>& pieces, UnigramOptions options)
      : options_(std::move(options)) {
    double worst = INFINITY;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const UnigramPiece& piece = pieces[i];
      DS_CHECK(std::isfinite(piece.score), FileFormatError, "tokenizer: piece ", i,
               " has no finite score");
      vocabulary_.add(piece.text, static_cast<Id>(i));
      scores_.push_back(piece.score);
      if (!options_.usable.empty() && !options_.usable[i]) continue;
      tree_.add(piece.text, static_cast<uint32_t>(i));
      worst = std::min(worst, piece.score);
    }
    DS_CHECK(options_.unknown == kNoId || static_cast<size_t>(options_.unknown) < pieces.size(),
             FileFormatError, "tokenizer: the unknown token is ", options_.unknown, " of ",
             pieces.size());
    unknown_score_ = options_.worst.value_or(worst) - kUnknownPenalty;
    if (options_.byte_fallback) bytes_ = byte_ids(vocabulary_);
  }

  void tokenize(std::string_view text, Range range, WordMemory&,
                std::vector<Token>& tokens) const override {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    if (options_.single_precision)
      divide<float>(word, range.begin, tokens);
    else
      divide<double>(word, range.begin, tokens);
  }

 private:
  /// The best way to a place: its score, the last piece and where that begins.
  template <class Score>
  struct Best {
    Score score = 0;
    uint32_t begin = 0;
    Id id = kNoId;
    bool reached = false;
  };

  template <class Score>
  void divide(std::string_view word, uint32_t offset, std::vector<Token>& tokens) const {
    std::vector<Best<Score>> best(word.size() + 1);
    for (size_t begin = 0; begin < word.size();) {
      size_t end = begin;
      next_char(word, end);
      const Score here = best[begin].score;
      const auto offer = [&](size_t place, Score score, Id id) {
        Best<Score>& target = best[place];
        if (!target.reached || score > target.score)
          target = {score, static_cast<uint32_t>(begin), id, true};
      };
      bool single = false;
      tree_.prefixes(word.substr(begin), [&](size_t length, uint32_t id) {
        offer(begin + length, static_cast<Score>(scores_[id]) + here, static_cast<Id>(id));
        single |= begin + length == end;
      });
      if (!single) offer(end, static_cast<Score>(unknown_score_) + here, options_.unknown);
      begin = end;
    }
    emit(best, word, offset, tokens);
  }

  template <class Score>
  void emit(const std::vector<Best<Score>>& best, std::string_view word, uint32_t offset,
            std::vector<Token>& tokens) const {
    const size_t before = tokens.size();
    for (size_t end = word.size(); end > 0;) {
      const uint32_t begin = best[end].begin;
      const Range range{offset + begin, offset + static_cast<uint32_t>(end)};
      const Id id = best[end].id;
      const bool unknown = id == options_.unknown;
      DS_CHECK(id != kNoId, ValueError, "tokenizer: '", word.substr(begin, end - begin),
               "' is not in the vocabulary, which has no token for unknown characters");
      if (unknown && !bytes_.empty())
        for (size_t i = end; i > begin; --i)
          tokens.push_back({bytes_[static_cast<unsigned char>(word[i - 1])], range});
      else if (unknown && tokens.size() > before && tokens.back().id == id)
        tokens.back().range.begin = range.begin;  // one token for unknown neighbours
      else
        tokens.push_back({id, range});
      end = begin;
    }
    std::reverse(tokens.begin() + static_cast<int64_t>(before), tokens.end());
  }

  UnigramOptions options_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  PrefixTree tree_;
  std::vector<Id> bytes_;
};

}  // namespace

WordModelPtr unigram(const std::vector<UnigramPiece>& pieces, UnigramOptions options) {
  return std::make_shared<Unigram>(pieces, std::move(options));
}

}  // namespace ds::text
