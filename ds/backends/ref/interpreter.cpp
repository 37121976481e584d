// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/ref/interpreter.h"

#include <cstring>

#include "ds/base/error.h"

namespace ds::ref {
namespace {

void* address(const Place& place, std::span<void* const> outputs, void* arena) {
  if (place.kind == Place::Kind::output) return outputs[place.index];
  return static_cast<char*>(arena) + place.offset;
}

const void* address(const Place& place, std::span<const void* const> inputs,
                    std::span<void* const> outputs, void* arena) {
  if (place.kind == Place::Kind::input) return inputs[place.index];
  return address(place, outputs, arena);
}

}  // namespace

Interpreter::Interpreter(const Graph& graph, const CompileOptions& options)
    : plan_(plan_nodes(graph, options)) {
  for (const NodePtr& node : plan_.nodes) {
    Step step{kernel_for(node->op()), {}, plan_.places.at(node.get())};
    DS_ASSERT(step.kernel, op_name(node->op()));
    for (const Value& input : node->inputs())
      step.inputs.push_back(plan_.places.at(input.node.get())[static_cast<size_t>(input.index)]);
    steps_.push_back(std::move(step));
  }
}

void Interpreter::run_node(size_t i, std::span<const void* const> inputs,
                           std::span<void* const> outputs, void* arena) const {
  const Step& step = steps_[i];
  std::vector<const void*> reads;
  std::vector<void*> writes;
  for (const Place& place : step.inputs) reads.push_back(address(place, inputs, outputs, arena));
  for (const Place& place : step.outputs) writes.push_back(address(place, outputs, arena));
  step.kernel({*plan_.nodes[i], reads, writes});
}

void Interpreter::finish(std::span<const void* const> inputs, std::span<void* const> outputs,
                         void* arena, const std::vector<bool>& lost_outputs) const {
  for (const NodePlan::Move& move : plan_.moves) {
    if (move.to.kind == Place::Kind::output && !lost_outputs.empty() && lost_outputs[move.to.index])
      continue;
    const void* from = address(move.from, inputs, outputs, arena);
    void* to = address(move.to, outputs, arena);
    if (from != to && move.bytes > 0) std::memcpy(to, from, move.bytes);
  }
}

}  // namespace ds::ref
