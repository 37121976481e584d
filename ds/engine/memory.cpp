// SPDX-License-Identifier: Apache-2.0
#include "ds/engine/memory.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <unordered_set>

#include "ds/base/location.h"
#include "ds/base/str.h"
#include "ds/engine/executor.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

/// Nodes that a gradient flows into: the optimizer's, outside the backward pass itself.
std::unordered_set<const Node*> after_backward(const Graph& graph) {
  std::unordered_set<const Node*> result;
  for (const NodePtr& node : graph.topological())
    for (const Value& input : node->inputs())
      if (in_backward(*input.node) || result.count(input.node.get())) result.insert(node.get());
  return result;
}

/// The step at which most of the arena is in use.
int busiest_step(const ArenaUse& arena) {
  int steps = 0;
  for (const Lifetime& life : arena.lifetimes) steps = std::max(steps, life.last + 1);
  std::vector<long long> change(static_cast<size_t>(steps) + 1, 0);
  for (const Lifetime& life : arena.lifetimes) {
    change[static_cast<size_t>(life.first)] += static_cast<long long>(align_up(life.bytes));
    change[static_cast<size_t>(life.last) + 1] -= static_cast<long long>(align_up(life.bytes));
  }
  long long now = 0, most = -1;
  int busiest = 0;
  for (int step = 0; step < steps; ++step)
    if ((now += change[static_cast<size_t>(step)]) > most) {
      most = now;
      busiest = step;
    }
  return busiest;
}

/// Its op; of a chain that runs as one, what it ends with.
std::string op_text(const Node& node) {
  if (node.op() != Op::fused_) return std::string(node.info().name);
  return str("fused ", op_name(node.body()->outputs[0].node->op()));
}

/// The step is part of a backward pass. One that also does work of the forward pass runs with that.
bool runs_in_backward(const Node& node) {
  if (node.op() != Op::fused_) return in_backward(node);
  const std::vector<NodePtr> body = node.body()->topological();
  return std::all_of(body.begin(), body.end(), [](const NodePtr& inner) {
    return inner->info().op_class == OpClass::source || in_backward(*inner);
  });
}

class Reporter {
 public:
  explicit Reporter(const Program& program)
      : program_(program), steps_(program.executable->steps()) {}

  MemoryReport run() {
    const ArenaUse& arena = program_.executable->arena();
    report_.arena = arena.plan.bytes;
    report_.lower_bound = arena.plan.lower_bound;
    report_.peak = peak_bytes(program_);
    report_.offloaded = offloaded_bytes(program_) + program_.executable->spilled_bytes();
    add_inputs();
    add_outputs();
    add_arena(arena);
    std::stable_sort(report_.blocks.begin(), report_.blocks.end(),
                     [](const MemoryBlock& a, const MemoryBlock& b) { return a.bytes > b.bytes; });
    return std::move(report_);
  }

  std::vector<MemoryKind> input_kinds() const {
    const std::vector<NodePtr>& inputs = program_.imported.inputs;
    const auto updated = after_backward(program_.imported);
    std::vector<MemoryKind> kinds(inputs.size(), MemoryKind::input);
    for (const auto& [output, input] : program_.donations)
      if (updated.count(program_.imported.outputs[static_cast<size_t>(output)].node.get()))
        kinds[static_cast<size_t>(input)] = MemoryKind::optimizer_state;
    for (const int input : program_.parameters)
      kinds[static_cast<size_t>(input)] = MemoryKind::parameter;
    return kinds;
  }

  MemoryTimeline timeline() {
    add_inputs();
    add_outputs();
    MemoryTimeline line;
    for (const StepInfo& step : steps_)
      line.steps.push_back({op_text(*step.node), location_text(step.node->location()),
                            runs_in_backward(*step.node), report_.by_kind});
    for (const Lifetime& life : program_.executable->arena().lifetimes) {
      if (steps_.empty()) break;
      const auto kind = static_cast<size_t>(kind_of(node_of(life.first), node_of(life.last)));
      for (int s = life.first; s <= life.last && s < static_cast<int>(steps_.size()); ++s)
        line.steps[static_cast<size_t>(s)].by_kind[kind] += align_up(life.bytes);
    }
    return line;
  }

 private:
  void add(MemoryKind kind, size_t bytes, const Node* node, const Type& type) {
    if (bytes == 0) return;
    report_.by_kind[static_cast<size_t>(kind)] += bytes;
    const bool computed = node && node->op() != Op::input_;
    report_.blocks.push_back({kind, bytes, computed ? op_text(*node) : "", str(type),
                              computed ? location_text(node->location()) : ""});
  }

  void add_inputs() {
    const std::vector<NodePtr>& inputs = program_.imported.inputs;
    const std::vector<MemoryKind> kinds = input_kinds();
    const std::vector<bool>& offloaded = program_.compile_options.offloaded;
    for (size_t i = 0; i < inputs.size(); ++i)
      if (offloaded.empty() || !offloaded[i])
        add(kinds[i], type_bytes(inputs[i]->type()), nullptr, inputs[i]->type());
    if (const size_t window = offload_window(program_))
      add(MemoryKind::optimizer_state, window, nullptr,
          {DType::u8, {static_cast<int64_t>(window)}});
    for (const InputCopy& copy : program_.executable->input_copies())
      add(kinds[static_cast<size_t>(copy.input)], copy.layout->nbytes(), nullptr,
          inputs[static_cast<size_t>(copy.input)]->type());
  }

  /// Those that do not take over an input's memory.
  void add_outputs() {
    const Values& outputs = program_.imported.outputs;
    std::vector<bool> donated(outputs.size(), false);
    for (const auto& [output, input] : program_.donations)
      donated[static_cast<size_t>(output)] = true;
    for (size_t i = 0; i < outputs.size(); ++i)
      if (!donated[i])
        add(in_backward(*outputs[i].node) ? MemoryKind::gradient : MemoryKind::output,
            type_bytes(outputs[i].type()), outputs[i].node.get(), outputs[i].type());
  }

  void add_arena(const ArenaUse& arena) {
    const int peak = busiest_step(arena);
    for (const Lifetime& life : arena.lifetimes) {
      if (life.first > peak || life.last < peak || steps_.empty()) continue;
      const Node& writer = node_of(life.first);
      const Node& reader = node_of(life.last);
      add(kind_of(writer, reader), align_up(life.bytes), &writer, writer.type());
    }
  }

  /// Of a temporary by the steps that write and read it.
  static MemoryKind kind_of(const Node& writer, const Node& reader) {
    const bool written_back = runs_in_backward(writer), read_back = runs_in_backward(reader);
    return written_back == read_back ? MemoryKind::workspace
           : read_back               ? MemoryKind::activation
                                     : MemoryKind::gradient;
  }

  /// Of a step; what is done after all steps counts as the last.
  const Node& node_of(int step) const {
    return *steps_[std::min(static_cast<size_t>(step), steps_.size() - 1)].node;
  }

  const Program& program_;
  const std::vector<StepInfo>& steps_;
  MemoryReport report_;
};

}  // namespace

size_t offloaded_bytes(const Program& program) {
  const std::vector<bool>& offloaded = program.compile_options.offloaded;
  size_t bytes = 0;
  for (size_t i = 0; i < offloaded.size(); ++i)
    if (offloaded[i]) bytes += type_bytes(program.graph.inputs[i]->type());
  return bytes;
}

/// What an update reads of the inputs in files at one time: the state of one parameter, which is
/// three tensors of its size at most.
size_t offload_window(const Program& program) {
  const std::vector<bool>& offloaded = program.compile_options.offloaded;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < offloaded.size(); ++i)
    if (offloaded[i]) sizes.push_back(type_bytes(program.graph.inputs[i]->type()));
  constexpr size_t kTensors = 3;
  const auto end = sizes.begin() + static_cast<std::ptrdiff_t>(std::min(kTensors, sizes.size()));
  std::partial_sort(sizes.begin(), end, sizes.end(), std::greater<>());
  return std::accumulate(sizes.begin(), end, size_t{0});
}

size_t peak_bytes(const Program& program) {
  size_t bytes = program.executable->arena_bytes();
  bytes += offload_window(program);
  bytes -= offloaded_bytes(program);
  for (const NodePtr& input : program.graph.inputs) bytes += type_bytes(input->type());
  for (const InputCopy& copy : program.executable->input_copies()) bytes += copy.layout->nbytes();
  for (const Value& output : program.graph.outputs) bytes += type_bytes(output.type());
  for (const auto& [output, input] : program.donations)
    bytes -= type_bytes(program.graph.outputs[static_cast<size_t>(output)].type());
  return bytes;
}

MemoryReport report_memory(const Program& program) { return Reporter(program).run(); }
MemoryTimeline memory_timeline(const Program& program) { return Reporter(program).timeline(); }

/// Inputs that are worth a file: what the optimizer keeps beside the parameters.
std::vector<bool> optimizer_state(const Program& program) {
  const std::vector<MemoryKind> kinds = Reporter(program).input_kinds();
  std::vector<bool> state;
  for (size_t i = 0; i < kinds.size(); ++i)
    state.push_back(kinds[i] == MemoryKind::optimizer_state &&
                    type_bytes(program.imported.inputs[i]->type()) >= kLeastOffload);
  return state;
}

}  // namespace ds
