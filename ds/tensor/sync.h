// SPDX-License-Identifier: Apache-2.0
// Where user code forced values: the synchronisations that stop a lazy framework from running
// ahead.
#pragma once

#include <string>
#include <vector>

namespace ds {

struct SyncSite {
  std::string reason;    // "item", "numpy", "print", ...
  std::string location;  // the user's line, empty when unknown
  uint64_t count;
};

/// Counts one forced value at the current location.
void note_sync(const char* reason);
/// Sites since the start or the last clear, most frequent first.
std::vector<SyncSite> sync_sites();
void clear_sync_sites();

}  // namespace ds
