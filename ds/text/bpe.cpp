// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding: a word is its characters, of which the pair with the lowest rank is merged,
// the leftmost first, until no pair has a rank.
#include <algorithm>

#include "ds/text/word_model.h"

namespace ds::text {
namespace {

/// Words that one call remembers; text repeats its words, but a hostile one need not.
constexpr size_t kMaxRemembered = 20'000;
constexpr size_t kMaxRememberedLength = 256;

struct Symbol {
  Id id;
  uint32_t length;  // bytes; 0 when it was merged into the one before
  int32_t previous, next;
};

struct Candidate {
  uint32_t rank;
  int32_t left;
  Id merged;
  /// The heap of the standard library has the largest on top.
  bool operator<(const Candidate& o) const {
    return rank != o.rank ? rank > o.rank : left > o.left;
  }
};

class Bpe : public WordModel {
 public:
  Bpe(Vocabulary vocabulary, const std::vector<Merge>& merges, BpeOptions options)
      : options_(std::move(options)) {
    vocabulary_ = std::move(vocabulary);
    if (!options_.unknown.empty()) unknown_ = vocabulary_.find(options_.unknown);
    if (options_.byte_fallback) bytes_ = byte_ids(vocabulary_);
    for (const Merge& merge : merges) add(merge);
  }

  void tokenize(std::string_view text, Range range, WordMemory& memory,
                std::vector<Token>& tokens) const override {
    const std::string_view word = text.substr(range.begin, range.end - range.begin);
    if (options_.ignore_merges) {
      const Id whole = vocabulary_.find(word);
      if (whole != kNoId) return tokens.push_back({whole, range});
    }
    const bool rememberable = word.size() <= kMaxRememberedLength;
    std::string key;
    if (rememberable) {
      key = word;
      if (const auto known = memory.words.find(key); known != memory.words.end()) {
        for (const Token& token : known->second)
          tokens.push_back(
              {token.id, {range.begin + token.range.begin, range.begin + token.range.end}});
        return;
      }
    }
    const size_t before = tokens.size();
    merge(word, range.begin, tokens);
    if (!rememberable || memory.words.size() >= kMaxRemembered) return;
    std::vector<Token>& kept = memory.words[std::move(key)];
    for (size_t i = before; i < tokens.size(); ++i)
      kept.push_back(
          {tokens[i].id, {tokens[i].range.begin - range.begin, tokens[i].range.end - range.begin}});
  }

 private:
  void add(const Merge& merge) {
    const Id left = vocabulary_.find(merge.left), right = vocabulary_.find(merge.right);
    std::string_view tail = merge.right;
    if (!options_.prefix.empty()) tail.remove_prefix(std::min(options_.prefix.size(), tail.size()));
    const Id merged = vocabulary_.find(merge.left + std::string(tail));
    DS_CHECK(left != kNoId && right != kNoId && merged != kNoId, FileFormatError,
             "tokenizer: the vocabulary lacks a token of the merge '", merge.left, " ", merge.right,
             "'");
    uint32_t& slot = pairs_.at(static_cast<uint32_t>(left), static_cast<uint32_t>(right));
    if (slot == PairTable::kNone) {
      slot = static_cast<uint32_t>(ranked_.size());
      ranked_.push_back({merge.rank, 0, merged});
    } else {
      ranked_[slot] = {merge.rank, 0, merged};
    }
  }

  /// The characters of a word as tokens; one that is none is unknown, or its bytes.
  std::vector<Symbol> symbols_of(std::string_view word) const {
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    const auto add = [&](Id id, size_t length) {
      const auto at = static_cast<int32_t>(symbols.size());
      symbols.push_back({id, static_cast<uint32_t>(length), at - 1, at + 1});
    };
    Id pending = kNoId;
    size_t pending_length = 0;
    std::string with_marks;
    for (size_t i = 0; i < word.size();) {
      const size_t begin = i;
      next_char(word, i);
      std::string_view character = word.substr(begin, i - begin);
      const bool inner = begin > 0 && !options_.prefix.empty();
      const bool last = i == word.size() && !options_.suffix.empty();
      if (inner || last) {
        with_marks =
            (inner ? options_.prefix : "") + std::string(character) + (last ? options_.suffix : "");
        character = with_marks;
      }
      const Id id = vocabulary_.find(character);
      if (id == kNoId && !bytes_.empty()) {
        for (const char byte : character) add(bytes_[static_cast<unsigned char>(byte)], 1);
        continue;
      }
      if (pending != kNoId && (id != kNoId || !options_.fuse_unknown)) {
        add(pending, pending_length);
        pending = kNoId;
        pending_length = 0;
      }
      if (id != kNoId) {
        add(id, i - begin);
        continue;
      }
      if (unknown_ == kNoId) continue;  // without a token for it a character is dropped
      pending = unknown_;
      pending_length += i - begin;
    }
    if (pending != kNoId) add(pending, pending_length);
    if (!symbols.empty()) symbols.back().next = -1;
    return symbols;
  }

  void merge(std::string_view word, uint32_t offset, std::vector<Token>& tokens) const {
    std::vector<Symbol> symbols = symbols_of(word);
    std::vector<Candidate> heap;
    heap.reserve(symbols.size());
    const auto offer = [&](int32_t left) {
      if (left < 0 || symbols[left].next < 0) return false;
      const uint32_t slot = pairs_.find(static_cast<uint32_t>(symbols[left].id),
                                        static_cast<uint32_t>(symbols[symbols[left].next].id));
      if (slot == PairTable::kNone) return false;
      heap.push_back({ranked_[slot].rank, left, ranked_[slot].merged});
      return true;
    };
    for (size_t i = 0; i + 1 < symbols.size(); ++i) offer(static_cast<int32_t>(i));
    std::make_heap(heap.begin(), heap.end());
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Candidate best = heap.back();
      heap.pop_back();
      Symbol& left = symbols[best.left];
      if (left.length == 0 || left.next < 0) continue;
      Symbol& right = symbols[left.next];
      const uint32_t slot =
          pairs_.find(static_cast<uint32_t>(left.id), static_cast<uint32_t>(right.id));
      if (slot == PairTable::kNone || ranked_[slot].merged != best.merged) continue;
      left.id = best.merged;
      left.length += right.length;
      right.length = 0;
      left.next = right.next;
      if (left.next >= 0) symbols[left.next].previous = best.left;
      if (offer(left.previous)) std::push_heap(heap.begin(), heap.end());
      if (offer(best.left)) std::push_heap(heap.begin(), heap.end());
    }
    for (const Symbol& symbol : symbols) {
      if (symbol.length == 0) continue;
      tokens.push_back({symbol.id, {offset, offset + symbol.length}});
      offset += symbol.length;
    }
  }

  BpeOptions options_;
  Id unknown_ = kNoId;
  std::vector<Id> bytes_;
  PairTable pairs_;  // to the place in ranked_
  std::vector<Candidate> ranked_;
};

}  // namespace

WordModelPtr bpe(Vocabulary vocabulary, const std::vector<Merge>& merges, BpeOptions options) {
  return std::make_shared<Bpe>(std::move(vocabulary), merges, std::move(options));
}

std::vector<Merge> read_merges(std::string_view text, const std::string& path) {
  std::vector<Merge> merges;
  for (size_t begin = 0, number = 1; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    DS_CHECK(space != line.npos && line.find(' ', space + 1) == line.npos, FileFormatError, path,
             " line ", number, ": a merge is two tokens with a space between");
    merges.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1)),
                      static_cast<uint32_t>(merges.size())});
  }
  return merges;
}

}  // namespace ds::text
