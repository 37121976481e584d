// SPDX-License-Identifier: Apache-2.0
// Runs a recorded graph node by node with the reference kernels: the oracle of the op tests.
#pragma once

#include <cstddef>
#include <vector>

#include "ds/ir/graph.h"

namespace ds::testing {

/// Row-major bytes of a value.
using Bytes = std::vector<std::byte>;

class Interpreter {
 public:
  /// The nodes behind `outputs`, whose `input` nodes have the indices 0.. of run()'s inputs.
  explicit Interpreter(const Values& outputs);
  /// The outputs' bytes.
  std::vector<Bytes> run(const std::vector<Bytes>& inputs) const;

 private:
  struct Step {
    NodePtr node;
    std::vector<size_t> inputs;  // positions in the list of all values
    size_t first_output;
  };
  std::vector<Step> steps_;
  std::vector<size_t> outputs_;
  size_t values_ = 0;
};

/// Numbers as the bytes of a dtype and back.
Bytes to_bytes(const std::vector<double>& numbers, DType dtype);
std::vector<double> to_numbers(const Bytes& bytes, DType dtype);

}  // namespace ds::testing
