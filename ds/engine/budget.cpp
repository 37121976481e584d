// SPDX-License-Identifier: Apache-2.0
// The memory budget: plans with more and more recomputation until one fits.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

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

std::atomic<double>& rate() {
  const std::string& text = options().offload_rate;
  static std::atomic<double> bytes{
      text.empty() ? 0.0 : static_cast<double>(parse_bytes(text, "offload rate"))};
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

size_t parse_bytes(const std::string& text, const std::string& what) {
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
  DS_CHECK(bytes >= 1 && bytes < 0x1p62, ValueError, what, ": '", text,
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

void set_offload_rate(double bytes_a_second) {
  if (rate().exchange(bytes_a_second) != bytes_a_second) clear_plans();
}

double offload_rate() { return rate(); }

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

/// What may be done about a plan that is too large, and the time it takes by the model.
struct Way {
  int level;
  bool state;  // of the optimizer in files
  bool spill;  // activations wait in a file
  double seconds;
  bool foreseen;  // by the null backend below the limit
};

// Of the cheapest ways with activations in a file, how many are planned before all others.
constexpr int kSpills = 4;

/// Tries ways to stay within a limit.
class Fitting {
 public:
  Fitting(Program& program, Levels& levels, size_t limit)
      : program_(program), levels_(levels), limit_(limit), points_(candidates(program)) {
    if (offload_directory().empty()) return;
    state_ = optimizer_state(program);
    const double rate = offload_rate();
    rate_ = rate > 0 ? rate : measured_offload_rate();
  }

  /// The cheapest way that fits; false when none does.
  bool run() {
    std::vector<Way> ways = all_ways();
    std::stable_sort(ways.begin(), ways.end(), [](const Way& a, const Way& b) {
      return std::pair(!a.foreseen, a.seconds) < std::pair(!b.foreseen, b.seconds);
    });
    std::optional<Way> best;
    int spills = 0;
    for (const Way& way : ways) {
      if (best && (!way.foreseen || best->seconds <= way.seconds)) break;
      if (way.spill && ++spills > kSpills) continue;
      if (!fits(way)) continue;
      const double seconds = way.seconds + (way.spill ? more_traffic() : 0);
      if (!best || seconds < best->seconds)
        best = Way{way.level, way.state, way.spill, seconds, true};
      if (!way.spill) return true;
    }
    if (best) return fits(*best);
    return least_of_all();
  }

  /// The least peaks seen, in memory alone and with files.
  size_t least_in_memory() const { return least_in_memory_; }
  size_t least() const { return least_; }

 private:
  bool offloads() const { return rate_ > 0; }

  std::vector<Way> all_ways() {
    const double limit = static_cast<double>(limit_);
    std::vector<Way> ways;
    for (const bool state : {false, true}) {
      if (state && !offloads()) break;
      program_.compile_options.offloaded = state ? state_ : std::vector<bool>{};
      const auto in_files = static_cast<double>(offloaded_bytes(program_));
      const double away = in_files - static_cast<double>(offload_window(program_));
      if (state && away <= 0) break;
      for (const FrontierPoint& point : points_) {
        const double peak = static_cast<double>(point.peak) - away;
        const double seconds = point.time + 2 * in_files / rate_or_none();
        if (state || point.level != 0)
          ways.push_back({point.level, state, false, seconds, peak <= kForeseen * limit});
        if (offloads() && peak > limit)
          ways.push_back({point.level, state, true, seconds + 2 * (peak - limit) / rate_, true});
      }
    }
    return ways;
  }

  double rate_or_none() const { return offloads() ? rate_ : 1; }

  /// Plans it.
  bool fits(const Way& way) {
    CompileOptions& options = program_.compile_options;
    options.offloaded = way.state ? state_ : std::vector<bool>{};
    options.arena_limit = 0;
    levels_.compile(way.level);
    if (way.spill) {
      wanted_ = program_.peak - std::min(program_.peak, limit_);
      const size_t rest = program_.peak - program_.executable->arena_bytes();
      // With no room at all the plan still says how little is possible.
      options.arena_limit = limit_ > rest ? limit_ - rest : 1;
      if (program_.peak > limit_) levels_.compile(way.level);
    }
    least_ = std::min(least_, program_.peak);
    if (!way.state && !way.spill) least_in_memory_ = std::min(least_in_memory_, program_.peak);
    return program_.peak <= limit_;
  }

  /// Seconds for what waits in the file beyond what the peak had to fall by.
  double more_traffic() const {
    const double spilled = static_cast<double>(program_.executable->spilled_bytes());
    return 2 * (spilled - static_cast<double>(wanted_)) / rate_;
  }

  /// The last resort: all in files that can be.
  bool least_of_all() {
    if (!offloads()) return false;
    for (auto point = points_.rbegin(); point != points_.rend(); ++point)
      if (fits({point->level, true, true, 0, true})) return true;
    return false;
  }

  Program& program_;
  Levels& levels_;
  const size_t limit_;
  const std::vector<FrontierPoint> points_;
  std::vector<bool> state_;
  double rate_ = 0;  // of the disk; 0 without a folder
  size_t wanted_ = 0;
  size_t least_in_memory_ = std::numeric_limits<size_t>::max(), least_ = least_in_memory_;
};

}  // namespace

void compile_within_budget(Program& program) {
  Levels levels(program);
  levels.compile(0);
  const size_t limit = budget();
  if (limit == 0 || program.peak <= limit) return;
  const size_t without = program.peak;
  Fitting fitting(program, levels, limit);
  if (fitting.run()) return;
  const std::string offload =
      offload_directory().empty()
          ? "raise it, take a smaller batch, or name a folder to offload to"
          : str(fitting.least(),
                " with the optimizer's state and activations in files; raise it, or take a "
                "smaller batch");
  throw OutOfMemoryError(str("memory budget: the budget is ", limit, " bytes, the step needs ",
                             without, ", ", std::min(without, fitting.least_in_memory()),
                             " with all recomputation", offload_directory().empty() ? "; " : ", ",
                             offload));
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
