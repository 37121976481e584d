// SPDX-License-Identifier: Apache-2.0
// Event files: the checksum and the framing. TensorBoard's own reader opens them in the Python
// tests.
#include "ds/io/tensorboard.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ds/base/error.h"

using namespace ds;
using namespace ds::io;
namespace fs = std::filesystem;

TEST_CASE("CRC-32C of the standard's check values") {
  CHECK(crc32c("123456789", 9) == 0xe3069283U);
  const char zeros[32] = {};
  CHECK(crc32c(zeros, 32) == 0x8a9136aaU);
}

TEST_CASE("every record has its length and both checksums") {
  const fs::path folder = fs::temp_directory_path() / str("ds-events-", getpid());
  std::string path;
  {
    EventWriter writer(folder.string(), ".run");
    writer.add_scalar("loss", 0.5, 3);
    writer.add_histogram("weights", {1, 2, 3}, 3);
    CHECK_THROWS_AS(writer.add_histogram("weights", {}, 4), ValueError);
    path = writer.path();
  }
  CHECK(fs::path(path).filename().string().find("events.out.tfevents.") == 0);
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  const std::string bytes = all.str();
  size_t at = 0;
  int records = 0;
  const auto masked = [](uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; };
  const auto crc_at = [&](size_t i) {
    uint32_t crc;
    std::memcpy(&crc, bytes.data() + i, 4);
    return crc;
  };
  while (at < bytes.size()) {
    REQUIRE(at + 12 <= bytes.size());
    uint64_t size;
    std::memcpy(&size, bytes.data() + at, 8);
    CHECK(crc_at(at + 8) == masked(crc32c(bytes.data() + at, 8)));
    REQUIRE(at + 16 + size <= bytes.size());
    CHECK(crc_at(at + 12 + size) == masked(crc32c(bytes.data() + at + 12, size)));
    at += 16 + size;
    ++records;
  }
  CHECK(records == 3);
  fs::remove_all(folder);
  CHECK_THROWS_AS(EventWriter("/proc/none/here"), IOError);
}
