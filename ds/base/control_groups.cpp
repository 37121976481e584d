// SPDX-License-Identifier: Apache-2.0
#include "ds/base/control_groups.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace ds {

void for_each_group(const std::string& root, const std::string& controller,
                    const std::function<void(const std::string& folder, bool unified)>& visit) {
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {  // number:controllers:path
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && ("," + controllers + ",").find("," + controller + ",") == std::string::npos)
      continue;
    std::string path = line.substr(second + 1);
    // Inside a container the path may be the host's; its own group is then mounted at the top.
    while (true) {
      visit(root + "/sys/fs/cgroup" + (unified ? "" : "/" + controller) + (path == "/" ? "" : path),
            unified);
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/'));
    }
  }
}

int quota_processors(const std::string& root) {
  double least = 1 << 16;
  for_each_group(root, "cpu", [&](const std::string& folder, bool unified) {
    std::string quota;  // version 2 writes "max" for no limit, version 1 a negative number
    double period = 0;
    if (unified) {
      std::ifstream(folder + "/cpu.max") >> quota >> period;
    } else {
      std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
      std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    }
    const double granted = std::atof(quota.c_str());
    if (granted > 0 && period > 0) least = std::min(least, granted / period);
  });
  return static_cast<int>(std::ceil(least));
}

}  // namespace ds
