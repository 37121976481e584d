// SPDX-License-Identifier: Apache-2.0
#include "ds/engine/program_cache.h"

#include "ds/base/hash.h"

namespace ds {
namespace {

// A training script has a handful of steps; sequence lengths may add some dozens.
constexpr size_t kMaxEntries = 128;
// Enough for what a new plan is compared with.
constexpr size_t kCompared = 8;

}  // namespace

CacheEntry& ProgramCache::entry(const Trace& trace) {
  const auto found = by_key_.find(trace.key);
  if (found == by_key_.end()) {
    entries_.push_front(
        {trace.key, std::vector<bool>(trace.constants.size(), false), trace.constant_bits, {}});
    by_key_[trace.key] = entries_.begin();
    evict();
    return entries_.front();
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  CacheEntry& entry = entries_.front();
  bool changed = false;
  for (size_t i = 0; i < trace.constant_bits.size(); ++i)
    if (!entry.lifted[i] && entry.constant_bits[i] != trace.constant_bits[i]) {
      entry.lifted[i] = true;
      changed = true;
    }
  if (changed) entry.programs.clear();
  entry.constant_bits = trace.constant_bits;
  return entry;
}

void ProgramCache::evict() {
  while (entries_.size() > kMaxEntries) {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

std::vector<std::weak_ptr<Program>> ProgramCache::newest() const {
  std::vector<std::weak_ptr<Program>> programs;
  for (const CacheEntry& entry : entries_)
    for (const auto& [hash, program] : entry.programs) {
      if (programs.size() == kCompared) return programs;
      programs.push_back(program);
    }
  return programs;
}

void ProgramCache::clear() {
  entries_.clear();
  by_key_.clear();
}

uint64_t constants_hash(const CacheEntry& entry, const Trace& trace) {
  uint64_t hash = 0;
  for (size_t i = 0; i < trace.constant_bits.size(); ++i)
    if (!entry.lifted[i]) hash = hash_combine(hash, trace.constant_bits[i]);
  return hash;
}

}  // namespace ds
