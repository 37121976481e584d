// SPDX-License-Identifier: Apache-2.0
// Look-up tables of tokenizers: tokens by text, pairs of numbers, prefixes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ds::text {

using Id = int32_t;
constexpr Id kNoId = -1;

uint64_t hash_of(std::string_view text);

/// A hash table from pairs of numbers to a number.
class PairTable {
 public:
  static constexpr uint32_t kNone = 0xffffffffu;

  /// The slot of a pair; a new one holds kNone.
  uint32_t& at(uint32_t first, uint32_t second);
  uint32_t find(uint32_t first, uint32_t second) const {
    if (slots_.empty()) return kNone;
    const uint64_t key = key_of(first, second);
    for (size_t i = place_of(key);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return slots_[i].value;
      if (slots_[i].key == kFree) return kNone;
    }
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    uint32_t value = kNone;
  };
  static uint64_t key_of(uint32_t first, uint32_t second) {
    return (uint64_t{first} << 32) | second;
  }
  size_t place_of(uint64_t key) const;
  void grow();

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

/// Tokens and their ids.
class Vocabulary {
 public:
  /// A text twice keeps the later id.
  void add(std::string_view token, Id id);
  /// kNoId for an unknown text.
  Id find(std::string_view token) const;
  /// nullptr for an unknown id.
  const std::string* token(Id id) const;
  size_t size() const { return tokens_.size(); }
  /// One more than the largest id.
  int64_t end_id() const { return end_id_; }
  const std::vector<std::pair<std::string, Id>>& tokens() const { return tokens_; }

 private:
  void place(uint32_t index);

  std::vector<std::pair<std::string, Id>> tokens_;
  std::vector<uint32_t> slots_;   // index into tokens_, plus one
  std::vector<uint32_t> hashes_;  // of each token
  std::unordered_map<Id, uint32_t> by_id_;
  int64_t end_id_ = 0;
};

/// Texts that are looked for at the start of another.
class PrefixTree {
 public:
  void add(std::string_view text, uint32_t value);
  /// Calls found(length, value) for each text that `text` begins with, shortest first.
  template <class Found>
  void prefixes(std::string_view text, const Found& found) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = i == 0 ? first_[static_cast<unsigned char>(text[0])]
                    : edges_.find(node, static_cast<unsigned char>(text[i]));
      if (node == PairTable::kNone) return;
      if (values_[node] != PairTable::kNone) found(i + 1, values_[node]);
    }
  }
  bool empty() const { return values_.size() == 1; }

 private:
  PairTable edges_;
  std::vector<uint32_t> values_{PairTable::kNone};
  std::vector<uint32_t> first_ = std::vector<uint32_t>(256, PairTable::kNone);
};

}  // namespace ds::text
