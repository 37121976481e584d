// SPDX-License-Identifier: Apache-2.0
#include "ds/base/system_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "ds/base/control_groups.h"

namespace ds {
namespace {

constexpr size_t kNone = std::numeric_limits<size_t>::max();

/// The number after `key`, which begins a line; nothing when the file or the line is not there.
std::optional<size_t> number_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word = key;
    size_t number = 0;
    if (!key.empty()) words >> word;
    if (word == key && words >> number) return number;
  }
  return std::nullopt;
}

/// What a group leaves: its limit less what is used, file caches aside. kNone without a limit.
size_t left_in(const std::string& folder, const char* limit, const char* used, const char* cache) {
  const auto most = number_in(folder + limit, "");  // version 2 writes "max" for no limit
  const auto now = number_in(folder + used, "");
  if (!most || !now || *most > kNone / 4) return kNone;  // version 1 writes a huge number
  const size_t cached = std::min(number_in(folder + "/memory.stat", cache).value_or(0), *now);
  return *most - std::min(*now - cached, *most);
}

}  // namespace

size_t available_memory(const std::string& root) {
  size_t least = kNone;
  if (const auto kilobytes = number_in(root + "/proc/meminfo", "MemAvailable:"))
    least = *kilobytes * 1024;
  for_each_group(root, "memory", [&](const std::string& folder, bool unified) {
    least =
        std::min(least, unified ? left_in(folder, "/memory.max", "/memory.current", "inactive_file")
                                : left_in(folder, "/memory.limit_in_bytes",
                                          "/memory.usage_in_bytes", "total_inactive_file"));
  });
  return least == kNone ? 0 : least;
}

}  // namespace ds
