// SPDX-License-Identifier: Apache-2.0
#include "ds/base/cpu_features.h"

#include <fstream>
#include <sstream>

namespace ds {
namespace {

/// The kernel's list is the one to ask: it names only what the system saves on a context switch.
CpuFeatures read_features() {
  CpuFeatures features;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_first_of("\t:"));
    if (key == "model name" && features.model.empty() && colon + 2 <= line.size())
      features.model = line.substr(colon + 2);
    if (key != "flags" && key != "Features") continue;
    std::istringstream flags(line.substr(colon + 1));
    for (std::string flag; flags >> flag;) {
      features.avx2 |= flag == "avx2";
      features.avx512 |= flag == "avx512f";
      features.bf16 |= flag == "avx512_bf16" || flag == "amx_bf16" || flag == "bf16";
      features.fp16 |= flag == "avx512_fp16" || flag == "asimdhp";
      features.amx |= flag == "amx_tile";
    }
    break;
  }
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = read_features();
  return features;
}

}  // namespace ds
