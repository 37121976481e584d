// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/sync.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>

#include "ds/base/location.h"

namespace ds {
namespace {

struct Sites {
  std::mutex mutex;
  std::map<std::pair<std::string, uint32_t>, uint64_t> counts;
};

Sites& sites() {
  static auto* instance = new Sites;
  return *instance;
}

}  // namespace

void note_sync(const char* reason) {
  const uint32_t place = current_location();
  const std::lock_guard lock(sites().mutex);
  ++sites().counts[{reason, place}];
}

std::vector<SyncSite> sync_sites() {
  std::map<std::pair<std::string, uint32_t>, uint64_t> counts;
  {
    const std::lock_guard lock(sites().mutex);
    counts = sites().counts;
  }
  std::vector<SyncSite> list;
  for (const auto& [site, count] : counts)
    list.push_back({site.first, location_text(site.second), count});
  std::stable_sort(list.begin(), list.end(),
                   [](const SyncSite& a, const SyncSite& b) { return a.count > b.count; });
  return list;
}

void clear_sync_sites() {
  const std::lock_guard lock(sites().mutex);
  sites().counts.clear();
}

}  // namespace ds
