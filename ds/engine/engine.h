// SPDX-License-Identifier: Apache-2.0
// The engine: turns recorded values into planned programs and runs them in the background.
//
// evaluate() walks the pending nodes of a request into a Trace, whose key finds a Program in a
// bounded cache. A hit costs the walk; a miss imports the trace into a hash-consed Graph, runs the
// passes and lets the backend compile. Programs run in order on one thread of the engine.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ds/runtime/backend.h"
#include "ds/runtime/kernel_choices.h"

namespace ds {

/// Guards the mutable caches of nodes, the slots of tensors and the list of live ones. Threads may
/// record and evaluate at once, as long as none writes to a tensor that another one uses. No text
/// of a place is made under it (see ds/base/location.h). fork() waits until the engine is idle; the
/// child computes on one thread.
std::recursive_mutex& graph_mutex();

/// A new number for Node::visit_epoch; call under graph_mutex().
uint64_t next_visit_epoch();

struct EvaluateRequest {
  Values outputs;  // no markers, not realized, no duplicates
  Device device;
  /// (output, buffer): the output may take over the buffer's memory, which nobody else reads.
  std::vector<std::pair<size_t, BufferPtr>> donations;
  /// (output, buffer): when a step fails that the output depends on, it keeps the buffer's value: a
  /// parameter is then what it was before the step.
  std::vector<std::pair<size_t, BufferPtr>> fallbacks;
  bool awaited = false;  // the caller waits for an output at once
};

/// Plans the request, or finds its plan, and queues it. On return the nodes of all outputs are
/// realized with buffers that become ready later. Errors of planning are thrown here; errors of
/// running surface where a buffer is waited for.
void evaluate(const EvaluateRequest& request);

/// Bytes that the request would need at its peak with nothing computed again. It is planned, on its
/// device, and forgotten.
size_t planned_peak(const EvaluateRequest& request);

/// Raises, once, the error of a program whose outputs all fell back to what they were: nothing was
/// lost, but the user has to hear of it.
void raise_unseen_error();
/// Called when a failed buffer has reported this error.
void forget_unseen_error(const std::exception_ptr& error);

/// Blocks until everything queued has run.
void synchronize();

struct EngineStats {
  uint64_t plans = 0;          // programs planned: cache misses
  uint64_t hits = 0;           // evaluations that found their plan
  uint64_t planned_nodes = 0;  // nodes of all planned traces
  double plan_seconds = 0;     // time spent planning
};
EngineStats engine_stats();

/// Why the last plan was made: the first operation that differs from the most similar earlier plan,
/// with the user's line. Empty when nothing was planned yet.
std::string explain_recompile();

/// Forgets all plans.
void clear_plans();

/// Whether plans made from now on take the kernels that were measured to be the fastest, or measure
/// them (ds/runtime/kernel_choices.h). Forgets plans that would be others now.
void set_kernel_tuning(Tuning how);

/// Every program keeps what it does: one line per step of the last evaluated program.
struct StepReport {
  std::string kernel;
  std::string op;
  std::string location;
  std::string type;
  double seconds = 0;
  double flops = 0;
  double bytes = 0;
  uint64_t runs = 0;
};
/// Turns on timing of every step; reports are cumulative until profiling is turned off.
void set_profiling(bool on);
std::vector<StepReport> profile_report();

/// One run of a profiled plan; its steps ran one after the other.
struct TimedRun {
  size_t first_report = 0;           // of the plan's steps in profile_report()
  double start = 0;                  // seconds of the steady clock
  std::vector<double> step_seconds;  // as many as the plan has steps
};
/// The runs since profiling was turned on, by plan; of each plan the first kMaxTimedRuns.
std::vector<TimedRun> profile_runs();
inline constexpr size_t kMaxTimedRuns = 1000;

/// Arena bytes of the last program; memory.h says more.
size_t last_arena_bytes();

}  // namespace ds
