// SPDX-License-Identifier: Apache-2.0
// Tree: plain nested data with tensors at the leaves, as checkpoints hold it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::io {

struct Tree;
struct TreeList {
  std::vector<Tree> items;
  bool tuple = false;
};
struct TreeDict {
  std::vector<std::pair<Tree, Tree>> items;  // in order
};

struct Tree {
  std::variant<std::monostate, bool, int64_t, double, std::string, Tensor, TreeList, TreeDict>
      value;
};

}  // namespace ds::io
