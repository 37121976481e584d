// SPDX-License-Identifier: Apache-2.0
// One use of every op: the types of its inputs, its attributes and the types it must give.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/ir/build.h"
#include "ds/ir/graph.h"

namespace ds::test {

struct Sample {
  Op op;
  std::vector<Type> inputs;
  Attrs attrs;
  std::string outputs;  // the types, as printed, separated by blanks
};

/// Samples of all ops but fused, which has no rule of its own.
const std::vector<Sample>& samples();

/// A graph whose only operation is the sample's; every output of it is one of the graph.
inline Graph sample_graph(const Sample& sample) {
  Graph graph;
  Interner interner;
  if (sample.op != Op::input_)
    for (const Type& type : sample.inputs)
      graph.inputs.push_back(interner.node(
          Op::input_, {}, {static_cast<int64_t>(graph.inputs.size()), type.dtype, type.shape}));
  Values inputs;
  for (const NodePtr& input : graph.inputs) inputs.push_back({input, 0});
  const NodePtr node = interner.node(sample.op, inputs, sample.attrs);
  if (sample.op == Op::input_) graph.inputs.push_back(node);
  for (int i = 0; i < node->outputs(); ++i) graph.outputs.push_back({node, i});
  return graph;
}

}  // namespace ds::test
