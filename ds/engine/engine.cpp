// SPDX-License-Identifier: Apache-2.0
#include "ds/engine/engine.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <optional>

#include "ds/base/error.h"
#include "ds/base/location.h"
#include "ds/base/parallel.h"
#include "ds/engine/executor.h"
#include "ds/engine/program_cache.h"
#include "ds/engine/trace.h"
#include "ds/ir/cost.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

/// State under graph_mutex().
struct State {
  ProgramCache cache;
  EngineStats stats;
  ProgramPtr last;
  /// The last planned program and some before it: compared when asked, not while planning.
  ProgramPtr planned;
  std::vector<std::weak_ptr<Program>> before;
  ProgramPtr last_step;  // the last with a backward pass
  ProgramPtr largest;    // by peak, since it was reset
  std::vector<ProgramPtr> profiled;
  bool profiling = false;
  bool forked = false;
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

/// A finished 0-d buffer for a lifted constant.
BufferPtr constant_buffer(const Node& node, Device device) {
  const Type& type = node.type();
  std::shared_ptr<void> memory = backend_of(device).alloc(dtype_size(type.dtype));
  dispatch(type.dtype, [&](auto tag) {
    using T = decltype(tag);
    T value{};
    if (node.op() == Op::constant_int_) {
      value = static_cast<T>(node.attr_int("value"));
    } else if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
      value = T(static_cast<float>(node.attr_float("value")));
    } else {
      value = static_cast<T>(node.attr_float("value"));
    }
    std::memcpy(memory.get(), &value, sizeof value);
  });
  return std::make_shared<Buffer>(type, device, std::move(memory));
}

std::vector<std::pair<int, int>> donation_pairs(const EvaluateRequest& request,
                                                const Trace& trace) {
  std::vector<std::pair<int, int>> pairs;
  for (const auto& [output, slot] : find_donations(request, trace))
    pairs.emplace_back(static_cast<int>(output), static_cast<int>(slot));
  return pairs;
}

/// Input slots of realized values that the trace reads as leaves that require grad.
std::vector<int> find_parameters(const Trace& trace) {
  std::vector<int> slots;
  for (const Node* node : trace.nodes)
    for (const Value& input : node->inputs()) {
      bool leaf = false;
      Value v = input;
      for (; v.node->info().op_class == OpClass::marker; v = Value(v.node->input(0)))
        leaf = leaf || v.node->op() == Op::variable_;
      if (leaf && v.node->realized(v.index))
        slots.push_back(static_cast<int>(v.node->visit_index) + v.index);
    }
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

// What one processor does in about the time in which a thread is woken and wakes another.
constexpr double kSmallFlops = 2e6, kSmallBytes = 512 << 10;

bool is_small(const Graph& graph) {
  Cost total;
  for (const NodePtr& node : graph.topological()) {
    const Cost cost = node_cost(*node);
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  return total.flops <= kSmallFlops && total.bytes <= kSmallBytes;
}

ProgramPtr plan(const EvaluateRequest& request, const Trace& trace, const CacheEntry& entry) {
  State& s = state();
  const auto start = std::chrono::steady_clock::now();
  auto program = std::make_shared<Program>();
  Interner interner;
  program->imported = import_trace(trace, request.outputs, entry.lifted, interner);
  program->device = request.device;
  CompileOptions& options = program->compile_options;
  options.donations = program->donations = donation_pairs(request, trace);
  options.input_layouts.resize(program->imported.inputs.size());
  for (size_t i = 0; i < trace.inputs.size(); ++i)
    options.input_layouts[i] = trace.inputs[i]->layout();
  options.any_output_layout.resize(request.outputs.size(), false);
  for (const auto& [output, input] : options.donations)
    options.any_output_layout[static_cast<size_t>(output)] = true;
  s.planned = program;
  s.before = s.cache.newest();
  program->parameters = find_parameters(trace);
  program->small = is_small(program->imported);
  std::optional<ThreadLimit> limit;
  if (program->small) limit.emplace(1);
  compile_within_budget(*program);
  for (const StepInfo& step : program->executable->steps())
    program->keeps_threads =
        program->keeps_threads || (num_threads() > 1 && step.kernel.starts_with("dnnl"));
  for (const NodePtr& node : program->imported.topological())
    program->has_backward = program->has_backward || in_backward(*node);
  s.stats.plans += 1;
  s.stats.planned_nodes += trace.nodes.size();
  s.stats.plan_seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return program;
}

/// Planning happens on the thread that asks, so a plan error carries the node's place at once.
ProgramPtr find_or_plan(const EvaluateRequest& request, const Trace& trace, CacheEntry& entry) {
  const uint64_t constants = constants_hash(entry, trace);
  const auto found = entry.programs.find(constants);
  if (found != entry.programs.end()) {
    ++state().stats.hits;
    return found->second;
  }
  // Kernels are timed while nothing else runs.
  if (tuning() == Tuning::measure) drain();
  ProgramPtr program = plan(request, trace, entry);
  entry.programs[constants] = program;
  return program;
}

bool same_layout(const Buffer& a, const Buffer& b) {
  if (!a.layout() || !b.layout()) return !a.layout() && !b.layout();
  return a.layout()->equals(*b.layout());
}

void realize_outputs(const EvaluateRequest& request, const Program& program, Job& job) {
  for (size_t i = 0; i < request.outputs.size(); ++i) {
    const Value& output = request.outputs[i];
    auto buffer = std::make_shared<Buffer>(output.type(), request.device,
                                           program.executable->output_layout(static_cast<int>(i)));
    output.node->set_realized(output.index, buffer);
    job.outputs.push_back(std::move(buffer));
  }
}

}  // namespace

std::recursive_mutex& graph_mutex() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

uint64_t next_visit_epoch() {
  static uint64_t epoch = 0;
  return ++epoch;
}

void evaluate(const EvaluateRequest& request) {
  if (request.outputs.empty()) return;
  const std::lock_guard lock(graph_mutex());
  State& s = state();
  if (forked() && !s.forked) {
    s.forked = true;
    s.cache.clear();  // plans are made for a number of threads
  }
  const Trace trace = make_trace(request);
  CacheEntry& entry = s.cache.entry(trace);
  const ProgramPtr program = find_or_plan(request, trace, entry);
  s.last = program;
  if (program->has_backward) s.last_step = program;
  if (!s.largest || s.largest->peak < program->peak) s.largest = program;
  if (s.profiling && std::find(s.profiled.begin(), s.profiled.end(), program) == s.profiled.end())
    s.profiled.push_back(program);
  Job job{program, request.device, trace.inputs, {}, {}, request.awaited};
  for (size_t k = 0; k < trace.constants.size(); ++k)
    if (entry.lifted[k]) job.inputs.push_back(constant_buffer(*trace.constants[k], request.device));
  realize_outputs(request, *program, job);
  job.fallbacks.resize(job.outputs.size());
  for (const auto& [output, buffer] : request.fallbacks)
    if (same_layout(*buffer, *job.outputs[output])) job.fallbacks[output] = buffer;
  submit(std::move(job));
}

void synchronize() { drain(); }

EngineStats engine_stats() {
  const std::lock_guard lock(graph_mutex());
  return state().stats;
}

// Texts of places are made without the lock: a language binding may wait for a lock of its own
// that a thread holds which waits for ours.
std::string explain_recompile() {
  ProgramPtr now;
  std::vector<ProgramPtr> earlier;
  {
    const std::lock_guard lock(graph_mutex());
    now = state().planned;
    for (const std::weak_ptr<Program>& program : state().before)
      if (ProgramPtr kept = program.lock()) earlier.push_back(std::move(kept));
  }
  if (!now) return {};
  ProgramPtr before;
  size_t most = 0;
  for (const ProgramPtr& program : earlier) {
    const size_t common = common_prefix(now->imported, program->imported);
    if (before && common <= most) continue;
    before = program;
    most = common;
  }
  if (before) return "planned again: " + describe_difference(now->imported, before->imported);
  const std::vector<NodePtr> nodes = now->imported.topological();
  const auto recorded = std::count_if(nodes.begin(), nodes.end(),
                                      [](const NodePtr& node) { return node->op() != Op::input_; });
  return "planned for the first time: " + std::to_string(recorded) + " nodes";
}

void clear_plans() {
  const std::lock_guard lock(graph_mutex());
  state().cache.clear();
  state().last = state().last_step = state().largest = nullptr;
}

void set_kernel_tuning(Tuning how) {
  const std::lock_guard lock(graph_mutex());
  const Tuning before = tuning();
  set_tuning(how);
  // Plans that were made while kernels were measured have them.
  if (how != before && (before != Tuning::measure || how == Tuning::off)) clear_plans();
}

void set_profiling(bool on) {
  drain();
  const std::lock_guard lock(graph_mutex());
  set_step_timing(on);
  state().profiling = on;
  if (!on) return;
  for (const ProgramPtr& program : state().profiled) {
    program->step_seconds.clear();
    program->timed_runs.clear();
    program->profiled_runs = 0;
  }
  state().profiled.clear();
}

std::vector<StepReport> profile_report() {
  drain();
  std::vector<ProgramPtr> profiled;
  {
    const std::lock_guard lock(graph_mutex());
    profiled = state().profiled;
  }
  std::vector<StepReport> reports;
  for (const ProgramPtr& program : profiled) {
    const std::vector<StepInfo>& steps = program->executable->steps();
    for (size_t i = 0; i < steps.size() && i < program->step_seconds.size(); ++i) {
      const Node& node = *steps[i].node;
      reports.push_back({steps[i].kernel, std::string(node.info().name),
                         location_text(node.location()), str(node.type()), program->step_seconds[i],
                         steps[i].flops, steps[i].bytes, program->profiled_runs});
    }
  }
  return reports;
}

std::vector<TimedRun> profile_runs() {
  drain();
  const std::lock_guard lock(graph_mutex());
  std::vector<TimedRun> runs;
  size_t first_report = 0;
  for (const ProgramPtr& program : state().profiled) {
    for (TimedRun run : program->timed_runs) {
      run.first_report = first_report;
      runs.push_back(std::move(run));
    }
    first_report += program->step_seconds.size();
  }
  return runs;
}

MemoryReport memory_report() {
  const std::lock_guard lock(graph_mutex());
  const ProgramPtr& program = state().last_step ? state().last_step : state().last;
  return program ? report_memory(*program) : MemoryReport{};
}

MemoryReport largest_memory_report() {
  const std::lock_guard lock(graph_mutex());
  return state().largest ? report_memory(*state().largest) : MemoryReport{};
}

MemoryTimeline largest_memory_timeline() {
  const std::lock_guard lock(graph_mutex());
  return state().largest ? memory_timeline(*state().largest) : MemoryTimeline{};
}

StepCost largest_plan_cost(double flop_rate, double byte_rate) {
  const std::lock_guard lock(graph_mutex());
  const ProgramPtr& program = state().largest;
  return program ? model_cost(*program->executable, flop_rate, byte_rate) : StepCost{};
}

std::vector<FrontierPoint> memory_frontier() {
  const std::lock_guard lock(graph_mutex());
  return state().largest ? frontier(*state().largest) : std::vector<FrontierPoint>{};
}

void reset_largest_plan() {
  const std::lock_guard lock(graph_mutex());
  state().largest = nullptr;
}

size_t last_arena_bytes() {
  const std::lock_guard lock(graph_mutex());
  return state().last ? state().last->executable->arena_bytes() : 0;
}

}  // namespace ds
