// SPDX-License-Identifier: Apache-2.0
// Lowering of the families that read or order elements by number.
#pragma once

#include "ds/backends/cpu/lowering.h"

namespace ds::cpu {

bool lower_index(Lowering& l, const Node& node, std::string& why);
bool lower_sort(Lowering& l, const Node& node, std::string& why);
bool lower_scan(Lowering& l, const Node& node, std::string& why);

}  // namespace ds::cpu
