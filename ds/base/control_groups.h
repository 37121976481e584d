// SPDX-License-Identifier: Apache-2.0
// The control groups (Linux, version 1 and 2) that limit this process.
#pragma once

#include <functional>
#include <string>

namespace ds {

/// Calls visit(folder, unified) for every group that the process is in and that `controller`
/// ("memory", "cpu") may limit, and for those above it; `unified` is version 2. `root` is where the
/// system's proc and sys lie. Folders may not exist.
void for_each_group(const std::string& root, const std::string& controller,
                    const std::function<void(const std::string& folder, bool unified)>& visit);

/// Processors that the groups' quotas grant, rounded up; a large number without a quota.
int quota_processors(const std::string& root = "/");

}  // namespace ds
