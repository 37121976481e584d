// SPDX-License-Identifier: Apache-2.0
// The memory budget: plans with more and more recomputation until one fits.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>

#include "ds/base/error.h"
#include "ds/base/options.h"
#include "ds/base/system_memory.h"
#include "ds/engine/executor.h"
#include "ds/engine/memory.h"
#include "ds/engine/trace.h"
#include "ds/passes/pipeline.h"
#include "ds/passes/remat.h"
#include "ds/runtime/allocator.h"
#include "ds/runtime/offload.h"

namespace ds {
namespace {

std::atomic<size_t>& budget() {
  const std::string& text = options().memory_budget;
  static std::atomic<size_t> bytes{text.empty()     ? 0
                                   : text == "auto" ? automatic_memory_budget()
                                                    : parse_bytes(text)};
  return bytes;
}

/// Plans of one program for its device, at any level.
class Levels {
 public:
  explicit Levels(Program& program)
      : program_(program), pipeline_(program.imported, backend_of(program.device).target()) {}

  void compile(int level) {
    program_.graph = pipeline_.run(level);
    program_.executable =
        backend_of(program_.device).compile(program_.graph, program_.compile_options);
    program_.peak = peak_bytes(program_);
  }

 private:
  Program& program_;
  Pipeline pipeline_;
};

/// The program's graph, to be planned for a device.
Program trial_of(const Program& program, Device device) {
  Program trial;
  trial.imported = program.imported;
  trial.donations = program.donations;
  trial.compile_options = program.compile_options;
  trial.device = device;
  return trial;
}

/// Those that none beats in both peak and time, by rising time.
std::vector<FrontierPoint> best_of(std::vector<FrontierPoint> points) {
  std::stable_sort(points.begin(), points.end(),
                   [](const auto& a, const auto& b) { return a.time < b.time; });
  std::vector<FrontierPoint> best;
  for (const FrontierPoint& point : points)
    if (best.empty() || point.peak < best.back().peak) best.push_back(point);
  return best;
}

// The machine of FrontierPoint.
constexpr double kFlopRate = 100e9, kByteRate = 20e9;
// A plan of the null backend may say this much more than the device's.
constexpr double kForeseen = 1.03;

/// Levels worth planning for the program's device, by rising time: all are planned on the null
/// backend, where that takes a fraction of what oneDNN's choice of kernels does.
std::vector<FrontierPoint> candidates(const Program& program) {
  const std::vector<std::string> names = backend_names();
  const bool has_null = std::find(names.begin(), names.end(), "null") != names.end();
  const Device device = has_null ? parse_device("null") : program.device;
  Program trial = trial_of(program, device);
  Levels levels(trial);
  std::vector<FrontierPoint> points;
  for (int level = 0; level <= kMaxRematLevel; ++level) {
    levels.compile(level);
    points.push_back(
        {level, trial.peak, model_cost(*trial.executable, kFlopRate, kByteRate).seconds});
  }
  return best_of(std::move(points));
}

}  // namespace

StepCost model_cost(const Executable& executable, double flop_rate, double byte_rate) {
  StepCost cost;
  for (const StepInfo& step : executable.steps()) {
    cost.seconds += std::max(step.flops / flop_rate, step.bytes / byte_rate);
    cost.flops += step.flops;
    cost.bytes += step.bytes;
  }
  return cost;
}

size_t parse_bytes(const std::string& text) {
  constexpr std::pair<const char*, double> kUnits[] = {
      {"", 1},      {"B", 1},        {"KB", 1e3},        {"MB", 1e6},     {"GB", 1e9},
      {"TB", 1e12}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  double number = 0;
  // Unlike strtod() it takes no hexadecimal numbers, of which nobody writes a budget.
  const char* end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
  const bool given = end != text.data();
  while (*end == ' ') ++end;
  const auto unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                 [&](const auto& row) { return std::string(row.first) == end; });
  double bytes = unit == std::end(kUnits) || !given ? -1 : number * unit->second;
  if (bytes != std::floor(bytes) && unit->second == 1) bytes = -1;  // 1.5, where 1.5GiB is meant
  DS_CHECK(bytes >= 1 && bytes < 0x1p62, ValueError, "memory budget: '", text,
           "' is no amount of memory; write a number and a unit, such as 2GiB or 800MB");
  return static_cast<size_t>(bytes);
}

size_t automatic_memory_budget() {
  constexpr double kUsed = 0.9;
  const size_t free = available_memory();
  DS_CHECK(free > 0, ValueError,
           "memory budget: the system does not say how much memory is free; name an amount");
  const MemoryStats own = memory_stats();
  return static_cast<size_t>(kUsed * static_cast<double>(free)) + own.in_use + own.cached;
}

void set_memory_budget(size_t bytes) {
  if (budget().exchange(bytes) != bytes) clear_plans();
}

size_t memory_budget() { return budget(); }

size_t planned_peak(const EvaluateRequest& request) {
  const std::lock_guard lock(graph_mutex());
  const Trace trace = make_trace(request);
  Interner interner;
  Program program;
  program.imported = import_trace(trace, request.outputs,
                                  std::vector<bool>(trace.constants.size(), false), interner);
  program.device = request.device;
  program.compile_options.input_layouts.resize(program.imported.inputs.size());
  program.compile_options.any_output_layout.resize(request.outputs.size(), false);
  Levels(program).compile(0);
  return program.peak;
}

namespace {

/// Plans with more and more recomputation until one fits; `least` becomes the least peak seen.
bool compile_recomputing(Program& program, Levels& levels, const std::vector<FrontierPoint>& points,
                         size_t limit, size_t& least) {
  const auto fits = [&](int level) {
    levels.compile(level);
    least = std::min(least, program.peak);
    return program.peak <= limit;
  };
  // What the null backend does not foresee below the limit is tried last.
  const auto foreseen = [&](const FrontierPoint& point) {
    return static_cast<double>(point.peak) <= kForeseen * static_cast<double>(limit);
  };
  for (const bool likely : {true, false})
    for (const FrontierPoint& point : points)
      if (point.level != 0 && foreseen(point) == likely && fits(point.level)) return true;
  return false;
}

/// The optimizer's state in files, then activations too. What is in files costs reading and writing
/// it, so recomputation comes first.
bool compile_offloading(Program& program, Levels& levels, std::vector<FrontierPoint> points,
                        size_t limit, size_t& least) {
  if (offload_directory().empty()) return false;
  program.compile_options.offloaded = optimizer_state(program);
  const size_t away = offloaded_bytes(program) - offload_window(program);
  for (FrontierPoint& point : points) point.peak -= std::min(point.peak, away);
  levels.compile(0);
  least = std::min(least, program.peak);
  if (program.peak <= limit || compile_recomputing(program, levels, points, limit, least))
    return true;
  for (auto point = points.rbegin(); point != points.rend(); ++point) {
    program.compile_options.arena_limit = 0;
    levels.compile(point->level);
    const size_t rest = program.peak - program.executable->arena_bytes();
    // With no room at all the plan still says how little is possible.
    program.compile_options.arena_limit = limit > rest ? limit - rest : 1;
    levels.compile(point->level);
    least = std::min(least, program.peak);
    if (program.peak <= limit) return true;
  }
  return false;
}

}  // namespace

void compile_within_budget(Program& program) {
  Levels levels(program);
  levels.compile(0);
  const size_t limit = budget();
  if (limit == 0 || program.peak <= limit) return;
  const size_t without = program.peak;
  size_t recomputing = without;
  const std::vector<FrontierPoint> points = candidates(program);
  if (compile_recomputing(program, levels, points, limit, recomputing)) return;
  size_t least = recomputing;
  if (compile_offloading(program, levels, points, limit, least)) return;
  const std::string offload =
      offload_directory().empty()
          ? "raise it, take a smaller batch, or name a folder to offload to"
          : str(least,
                " with the optimizer's state and activations in files; raise it, or take a "
                "smaller batch");
  throw OutOfMemoryError(str("memory budget: the budget is ", limit, " bytes, the step needs ",
                             without, ", ", recomputing, " with all recomputation",
                             offload_directory().empty() ? "; " : ", ", offload));
}

std::vector<FrontierPoint> frontier(const Program& program) {
  std::vector<FrontierPoint> points;
  double base = 0;
  Program trial = trial_of(program, program.device);
  Levels levels(trial);
  for (const FrontierPoint& point : candidates(program)) {
    levels.compile(point.level);
    const double seconds = model_cost(*trial.executable, kFlopRate, kByteRate).seconds;
    if (point.level == 0) base = seconds;
    points.push_back({point.level, trial.peak, base > 0 ? seconds / base : 1});
  }
  return best_of(std::move(points));
}

}  // namespace ds
