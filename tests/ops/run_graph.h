// SPDX-License-Identifier: Apache-2.0
// Compiles a graph for a backend and runs it once.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "ds/runtime/backend.h"
#include "tests/ops/interpreter.h"
#include "tests/run_executable.h"

namespace ds::testing {

/// Row-major bytes of the graph's outputs for those of its inputs.
inline std::vector<Bytes> run_graph(const std::string& backend, const Graph& graph,
                                    const std::vector<Bytes>& inputs) {
  const std::unique_ptr<Executable> executable =
      backend_of(parse_device(backend)).compile(graph, {});
  std::vector<const void*> sources;
  for (const Bytes& input : inputs) sources.push_back(input.data());
  std::vector<Bytes> results;
  for (const Value& output : graph.outputs)
    // Bytes no kernel writes by chance, so that an element left out is seen.
    results.emplace_back(type_bytes(output.type()), std::byte{0x55});
  std::vector<void*> targets;
  for (Bytes& result : results) targets.push_back(result.data());
  run_executable(*executable, sources, targets);
  return results;
}

}  // namespace ds::testing
