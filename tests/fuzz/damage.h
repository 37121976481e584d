// SPDX-License-Identifier: Apache-2.0
// Damaged files: what the tests of readers have in common.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "ds/base/error.h"

namespace ds::fuzzing {

namespace fs = std::filesystem;

using Contents = std::vector<unsigned char>;

inline Contents contents_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write(const fs::path& path, const Contents& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
}

/// One of the usual ways a file goes wrong.
inline Contents damaged(Contents bytes, std::mt19937& draw) {
  if (bytes.empty()) return bytes;
  const auto place = [&] { return draw() % bytes.size(); };
  switch (draw() % 5) {
    case 0: bytes.resize(place()); break;
    case 1:
      for (int i = 0; i < 3; ++i) bytes[place()] = static_cast<unsigned char>(draw());
      break;
    case 2: bytes[place()] ^= static_cast<unsigned char>(1u << (draw() % 8)); break;
    case 3: bytes.insert(bytes.begin() + static_cast<long>(place()), 1 + draw() % 9, 0xff); break;
    default:
      for (size_t i = place(), end = std::min(bytes.size(), i + 8); i < end; ++i) bytes[i] = 0xff;
  }
  return bytes;
}

/// Reads `rounds` variants of a sound file, each damaged by `damage` one to three times; the path
/// ends with `name`. Whatever is in it, `read` returns or throws an Error.
template <class Read>
void fuzz(const std::string& name, const Contents& sound, int rounds, Read read,
          Contents (*damage)(Contents, std::mt19937&) = damaged) {
  const fs::path path = fs::temp_directory_path() / ("ds_fuzz_" + name);
  std::mt19937 draw(7);
  int accepted = 0, refused = 0;
  for (int i = 0; i < rounds; ++i) {
    Contents bytes = sound;
    for (unsigned k = 0; k <= draw() % 3; ++k) bytes = damage(std::move(bytes), draw);
    write(path, bytes);
    try {
      read(path.string());
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  fs::remove(path);
  CHECK(accepted + refused == rounds);
  CHECK(refused > 0);
}

}  // namespace ds::fuzzing
