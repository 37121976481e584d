// SPDX-License-Identifier: Apache-2.0
// Runs queued programs in order on one background thread.
#pragma once

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "ds/engine/engine.h"
#include "ds/engine/memory.h"

namespace ds {

/// A compiled plan and what the engine knows about it.
struct Program {
  Graph imported;  // as recorded, for explanations
  Graph graph;     // after the passes; the executable's nodes
  std::unique_ptr<Executable> executable;
  std::vector<std::pair<int, int>> donations;  // (output, input)
  CompileOptions compile_options;              // `offloaded` says which inputs lie in files
  Device device;
  std::vector<int> parameters;  // inputs that require grad
  bool has_backward = false;    // some of it is a backward pass
  bool small = false;           // not worth a second thread, nor to be handed to one
  bool keeps_threads = false;   // a kernel of it runs with the number of threads it was made for
  /// Least time of its runs, times the threads there were.
  double thread_seconds = std::numeric_limits<double>::infinity();
  size_t peak = 0;  // peak_bytes()
  std::vector<double> step_seconds;
  std::vector<TimedRun> timed_runs;
  uint64_t profiled_runs = 0;
};
using ProgramPtr = std::shared_ptr<Program>;

/// Inputs, outputs that take over no input's memory, and the arena. Of inputs that lie in files,
/// what is in memory at one time.
size_t peak_bytes(const Program& program);
size_t offloaded_bytes(const Program& program);
size_t offload_window(const Program& program);
/// Smaller values are not worth a file.
inline constexpr size_t kLeastOffload = size_t{64} << 10;
/// Inputs that are the optimizer's state and large enough for a file, one flag each.
std::vector<bool> optimizer_state(const Program& program);
MemoryTimeline memory_timeline(const Program& program);
MemoryReport report_memory(const Program& program);
StepCost model_cost(const Executable& executable, double flop_rate, double byte_rate);

/// Plans `program.imported`: passes and backend, with as little recomputation as the budget asks
/// for. OutOfMemoryError when none is enough.
void compile_within_budget(Program& program);
std::vector<FrontierPoint> frontier(const Program& program);

/// One run of a program.
struct Job {
  ProgramPtr program;
  Device device;
  std::vector<BufferPtr> inputs;
  std::vector<BufferPtr> outputs;
  std::vector<BufferPtr> fallbacks;  // per output: what it keeps when a step failed, or null
  bool awaited = false;              // the submitting thread does nothing else meanwhile
};

/// Queues a job. Blocks while many are waiting, so that a loop that never asks for a value cannot
/// run ahead without bound. A small program that is waited for, with nothing before it, runs here
/// and now: to wake the engine's thread and to be woken by it takes longer. So does one that was
/// measured to take less than queueing it. After fork() the child runs all jobs so: threads do not
/// survive it.
void submit(Job job);
/// This process is the child of a fork() that came after the first job.
bool forked();
/// Blocks until all submitted jobs have run.
void drain();
/// Before waiting for a value: runs what is queued and not begun here, where that takes no longer
/// than handing it over. Never on more than one thread: OpenMP would start a second team.
void help_engine();

void set_step_timing(bool on);

}  // namespace ds
