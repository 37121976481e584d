// SPDX-License-Identifier: Apache-2.0
// Files that gzip may have compressed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/io/file.h"

namespace ds::io {

/// The contents of a file, decompressed when it starts as gzip's do. FileFormatError when damaged
/// or when it would grow beyond `most` bytes.
std::vector<unsigned char> read_maybe_gzip(const std::string& path, size_t most = size_t{1} << 32);

}  // namespace ds::io
