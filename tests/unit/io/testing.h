// SPDX-License-Identifier: Apache-2.0
// Paths of fixtures (made by tests/fixtures/make_fixtures.py) and of temporary files.
#pragma once

#include <filesystem>
#include <string>

namespace ds::io {

inline std::string fixture(const std::string& name) { return "tests/fixtures/" + name; }

/// A folder that is gone at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("ds_test_" + std::to_string(reinterpret_cast<uintptr_t>(this)))) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace ds::io
