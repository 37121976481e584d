// SPDX-License-Identifier: Apache-2.0
#include "ds/text/vocabulary.h"

#include <algorithm>
#include <cstring>

#include "ds/base/hash.h"

namespace ds::text {

uint64_t hash_of(std::string_view text) {
  uint64_t hash = text.size();
  const char* bytes = text.data();
  size_t left = text.size();
  for (; left >= 8; left -= 8, bytes += 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    hash = hash_combine(hash, word);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, bytes, left);
  return hash_combine(hash, rest);
}

size_t PairTable::place_of(uint64_t key) const { return hash_mix(key) & (slots_.size() - 1); }

void PairTable::grow() {
  std::vector<Slot> old(std::max<size_t>(16, slots_.size() * 2));
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.key == kFree) continue;
    size_t i = place_of(slot.key);
    while (slots_[i].key != kFree) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

uint32_t& PairTable::at(uint32_t first, uint32_t second) {
  if (used_ * 2 >= slots_.size()) grow();
  const uint64_t key = key_of(first, second);
  size_t i = place_of(key);
  while (slots_[i].key != kFree && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
  if (slots_[i].key == kFree) {
    slots_[i].key = key;
    ++used_;
  }
  return slots_[i].value;
}

void Vocabulary::place(uint32_t index) {
  size_t i = hashes_[index] & (slots_.size() - 1);
  while (slots_[i] != 0) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = index + 1;
}

void Vocabulary::add(std::string_view token, Id id) {
  end_id_ = std::max<int64_t>(end_id_, int64_t{id} + 1);
  if (find(token) != kNoId) {
    const auto hash = static_cast<uint32_t>(hash_of(token));
    size_t i = hash & (slots_.size() - 1);
    while (tokens_[slots_[i] - 1].first != token) i = (i + 1) & (slots_.size() - 1);
    tokens_[slots_[i] - 1].second = id;
    by_id_[id] = slots_[i] - 1;
    return;
  }
  const auto index = static_cast<uint32_t>(tokens_.size());
  tokens_.emplace_back(token, id);
  hashes_.push_back(static_cast<uint32_t>(hash_of(token)));
  by_id_[id] = index;
  if (tokens_.size() * 2 <= slots_.size()) return place(index);
  slots_.assign(std::max<size_t>(16, slots_.size() * 2), 0);
  for (uint32_t i = 0; i <= index; ++i) place(i);
}

Id Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return kNoId;
  const auto hash = static_cast<uint32_t>(hash_of(token));
  for (size_t i = hash & (slots_.size() - 1); slots_[i] != 0; i = (i + 1) & (slots_.size() - 1)) {
    const uint32_t index = slots_[i] - 1;
    if (hashes_[index] == hash && tokens_[index].first == token) return tokens_[index].second;
  }
  return kNoId;
}

const std::string* Vocabulary::token(Id id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second].first;
}

void PrefixTree::add(std::string_view text, uint32_t value) {
  if (text.empty()) return;
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    uint32_t& next = i == 0 ? first_[byte] : edges_.at(node, byte);
    if (next == PairTable::kNone) {
      next = static_cast<uint32_t>(values_.size());
      values_.push_back(PairTable::kNone);
    }
    node = next;
  }
  values_[node] = value;
}

}  // namespace ds::text
