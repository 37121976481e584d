// SPDX-License-Identifier: Apache-2.0
// Builds a graph, compiles it for the cpu backend (or another, to compare) and runs it.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "ds/ir/graph.h"
#include "ds/runtime/backend.h"
#include "tests/run_executable.h"

namespace ds::test {

class Program {
 public:
  Value input(const Shape& shape, DType dtype = DType::f32) {
    const auto index = static_cast<int64_t>(graph_.inputs.size());
    graph_.inputs.push_back(interner_.node(Op::input_, {}, {index, dtype, shape}));
    return {graph_.inputs.back(), 0};
  }
  Value make(Op op, Values inputs, Attrs attrs = {}) {
    return interner_.make(op, std::move(inputs), std::move(attrs));
  }
  NodePtr fused(Values inputs, Graph body) {
    return interner_.fused(std::move(inputs), std::make_shared<Graph>(std::move(body)));
  }
  Interner& interner() { return interner_; }

  void compile(Values outputs, CompileOptions options = {}, const char* device = "cpu") {
    graph_.outputs = std::move(outputs);
    executable_ = backend_of(parse_device(device)).compile(graph_, options);
  }
  /// `lost` are nodes that an earlier error has made impossible.
  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
           const std::unordered_set<const Node*>& lost = {}) {
    testing::run_executable(*executable_, inputs, outputs, lost);
  }
  std::vector<std::string> kernels() const {
    std::vector<std::string> names;
    for (const StepInfo& step : executable_->steps()) names.push_back(step.kernel);
    return names;
  }
  Executable& executable() { return *executable_; }
  size_t arena_bytes() const { return executable_->arena_bytes(); }

 private:
  Interner interner_;
  Graph graph_;
  std::unique_ptr<Executable> executable_;
};

}  // namespace ds::test
