// SPDX-License-Identifier: Apache-2.0
// The bounded cache of programs, least recently used out first.
//
// Two traces that differ only in constants share an entry. The constants that were seen to differ
// are lifted: they become inputs of a new program of the entry, so a number that changes every step
// costs one more plan, not one per step.
#pragma once

#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ds/engine/executor.h"
#include "ds/engine/trace.h"

namespace ds {

struct CacheEntry {
  uint64_t key = 0;
  std::vector<bool> lifted;                           // per constant of the trace
  std::vector<uint64_t> constant_bits;                // of the newest trace
  std::unordered_map<uint64_t, ProgramPtr> programs;  // by the hash of the constants not lifted
};

class ProgramCache {
 public:
  /// The entry of a trace, made when absent; its `lifted` covers all constants that ever differed.
  CacheEntry& entry(const Trace& trace);
  /// A few programs that were used last.
  std::vector<std::weak_ptr<Program>> newest() const;
  void clear();

 private:
  void evict();
  std::list<CacheEntry> entries_;  // most recently used first
  std::unordered_map<uint64_t, std::list<CacheEntry>::iterator> by_key_;
};

/// Hash of the constants that an entry has not lifted.
uint64_t constants_hash(const CacheEntry& entry, const Trace& trace);

}  // namespace ds
