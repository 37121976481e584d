// SPDX-License-Identifier: Apache-2.0
// Nodes this backend has no kernel for run on the reference backend, as a graph of one node.
#include <algorithm>

#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"
#include "ds/ir/build.h"

namespace ds::cpu {
namespace {

/// The node alone: its inputs are the graph's inputs.
Graph single(const Node& node) {
  Graph graph;
  Interner interner;
  Values inputs;
  for (const Value& input : node.inputs()) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    inputs.push_back({interner.node(Op::input_, {}, {index, input.dtype(), input.shape()}), 0});
    graph.inputs.push_back(inputs.back().node);
  }
  const NodePtr alone = interner.rebuild(node, std::move(inputs));
  for (int i = 0; i < node.outputs(); ++i) graph.outputs.push_back({alone, i});
  return graph;
}

}  // namespace

void lower_reference(Lowering& l, const Node& node, const std::string& why) {
  const std::vector<std::string> names = backend_names();
  DS_CHECK(std::find(names.begin(), names.end(), "ref") != names.end(), NotImplementedError,
           op_name(node.op()), ": the cpu backend cannot run it (", why,
           ") and the ref backend is not linked");
  Backend& reference = backend_of(parse_device("ref"));
  const Support support = reference.supports(node);
  DS_CHECK(support.yes, NotImplementedError, op_name(node.op()), ": ", support.reason);
  const std::shared_ptr<Executable> executable = reference.compile(single(node), {});
  std::vector<View> inputs, outputs;
  for (const Value& input : node.inputs()) inputs.push_back(l.row_major(node, l.view(input)));
  for (int i = 0; i < node.outputs(); ++i)
    outputs.push_back(l.temp(node.type(i).dtype, node.type(i).shape));
  const View arena = l.scratch(executable->arena_bytes());
  std::vector<View> reads = inputs;
  reads.push_back(arena);
  l.emit(node, str("ref:", op_name(node.op())), reads, outputs, [=](const Frame& frame) {
    std::vector<const void*> src;
    std::vector<void*> dst;
    for (const View& view : inputs) src.push_back(frame.at(view));
    for (const View& view : outputs) dst.push_back(frame.at(view));
    RunContext context;
    context.arena = frame.at(arena);
    executable->run(src, dst, context);
  });
  for (int i = 0; i < node.outputs(); ++i) l.define(node, i, outputs[static_cast<size_t>(i)]);
}

}  // namespace ds::cpu
