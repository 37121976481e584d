// SPDX-License-Identifier: Apache-2.0
// Free memory and processors as the files of a made-up system say it.
#include "ds/base/system_memory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "ds/base/control_groups.h"

namespace ds {
namespace {

class System {
 public:
  System()
      : root_(std::filesystem::temp_directory_path() / ("ds_system_" + std::to_string(getpid()))) {
    std::filesystem::remove_all(root_);
  }
  ~System() { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  size_t available() const { return available_memory(root_.string()); }
  int processors() const { return quota_processors(root_.string()); }

 private:
  std::filesystem::path root_;
};

TEST_CASE("free memory is the least of what the machine and the groups leave") {
  const System system;
  CHECK(system.available() == 0);
  system.write("proc/meminfo", "MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable: 500 kB\n");
  CHECK(system.available() == 500 * 1024);
  system.write("proc/self/cgroup", "0::/outer/inner\n");
  CHECK(system.available() == 500 * 1024);
  const std::string outer = "sys/fs/cgroup/outer/", inner = outer + "inner/";
  system.write(inner + "memory.max", "max\n");
  system.write(inner + "memory.current", "1000\n");
  CHECK(system.available() == 500 * 1024);
  system.write(outer + "memory.max", "300000\n");
  system.write(outer + "memory.current", "120000\n");
  CHECK(system.available() == 180000);
  system.write(outer + "memory.stat", "anon 90000\ninactive_file 20000\n");
  CHECK(system.available() == 200000);
  system.write(inner + "memory.max", "900\n");  // more is used than allowed
  CHECK(system.available() == 0);
}

TEST_CASE("groups of version 1, and a path that only the host knows") {
  const System system;
  system.write("proc/meminfo", "MemAvailable: 500 kB\n");
  system.write("proc/self/cgroup", "5:cpu:/a\n4:cpuset,memory:/docker/abc\n");
  system.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  system.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n");
  CHECK(system.available() == 500 * 1024);
  system.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "10000\n");
  system.write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 96\n");
  CHECK(system.available() == 6000);
}

TEST_CASE("processors are the least that a quota grants, rounded up") {
  const System system;
  CHECK(system.processors() > 1000);
  system.write("proc/self/cgroup", "0::/outer/inner\n");
  const std::string top = "sys/fs/cgroup/", outer = top + "outer/", inner = outer + "inner/";
  system.write(inner + "cpu.max", "max 100000\n");
  CHECK(system.processors() > 1000);
  system.write(top + "cpu.max", "800000 100000\n");
  CHECK(system.processors() == 8);
  system.write(outer + "cpu.max", "250000 100000\n");
  CHECK(system.processors() == 3);
  system.write(inner + "cpu.max", "10000 100000\n");
  CHECK(system.processors() == 1);
  system.write(inner + "cpu.max", "nonsense\n");
  CHECK(system.processors() == 3);
}

TEST_CASE("a quota of version 1") {
  const System system;
  system.write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/b\n");
  system.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  system.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(system.processors() > 1000);
  system.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000\n");
  system.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  CHECK(system.processors() == 2);
}

}  // namespace
}  // namespace ds
