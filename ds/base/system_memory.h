// SPDX-License-Identifier: Apache-2.0
// Memory that this process may still take.
#pragma once

#include <cstddef>
#include <string>

namespace ds {

/// Bytes: what the machine can give without swapping, or less where a control group that the
/// process is in (version 1 or 2) or one above it limits it. Memory that the system would take back
/// from file caches counts as free. 0 when the system does not say. `root` is where the system's
/// proc and sys lie.
size_t available_memory(const std::string& root = "/");

}  // namespace ds
