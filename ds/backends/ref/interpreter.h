// SPDX-License-Identifier: Apache-2.0
// Runs a graph node by node with the reference kernels.
#pragma once

#include "ds/backends/ref/kernel.h"
#include "ds/runtime/node_plan.h"

namespace ds::ref {

class Interpreter {
 public:
  Interpreter(const Graph& graph, const CompileOptions& options);

  const ArenaUse& arena() const { return plan_.arena; }
  const std::vector<NodePtr>& nodes() const { return plan_.nodes; }

  /// Runs the i-th node; all before it have run.
  void run_node(size_t i, std::span<const void* const> inputs, std::span<void* const> outputs,
                void* arena) const;
  /// Fills the outputs that no node has written, except lost ones; after all nodes.
  void finish(std::span<const void* const> inputs, std::span<void* const> outputs, void* arena,
              const std::vector<bool>& lost_outputs) const;

 private:
  struct Step {
    Kernel kernel;
    std::vector<Place> inputs;
    std::vector<Place> outputs;
  };
  NodePlan plan_;
  std::vector<Step> steps_;
};

}  // namespace ds::ref
