// SPDX-License-Identifier: Apache-2.0
// What a plan does with memory: its peak, by kind and by tensor. The peak is known before a plan
// runs, so none of this measures anything.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ds {

enum class MemoryKind : uint8_t {
  parameter,        // leaves that require grad, and their new values
  gradient,         // what the backward pass leaves for the optimizer or the user
  optimizer_state,  // what the optimizer writes beside the parameters
  activation,       // computed in the forward pass, last read in the backward pass
  input,            // other values that are there before the plan runs: batches, statistics
  output,           // other values it leaves
  workspace,        // temporaries
};
inline constexpr std::array<std::string_view, 7> kMemoryKindNames{
    "parameters", "gradients", "optimizer state", "activations", "inputs", "outputs", "workspace"};

/// A block of memory that is in use at the peak.
struct MemoryBlock {
  MemoryKind kind;
  size_t bytes;
  std::string op;        // that writes it; empty for inputs
  std::string type;      // of what the op computes
  std::string location;  // the user's line, empty when unknown
};

struct MemoryReport {
  size_t peak = 0;         // inputs and kept copies of them, outputs and the arena
  size_t arena = 0;        // the block that holds all temporaries
  size_t lower_bound = 0;  // most bytes of temporaries in use at one step
  size_t offloaded = 0;    // bytes in files: optimizer state, and activations while they wait
  std::array<size_t, kMemoryKindNames.size()> by_kind{};  // at the peak; sums to peak less the
                                                          // arena's gaps
  std::vector<MemoryBlock> blocks;                        // largest first
};

/// Live bytes by kind at every step of a plan, and what the steps are.
struct MemoryTimeline {
  struct Step {
    std::string op;
    std::string location;  // the user's line, empty when unknown
    bool backward = false;
    std::array<size_t, kMemoryKindNames.size()> by_kind{};
  };
  std::vector<Step> steps;
};

/// Of the last plan with a backward pass, else of the last plan. Zeros when nothing was planned.
MemoryReport memory_report();
/// Of the plan with the highest peak evaluated since reset_largest_plan().
MemoryTimeline largest_memory_timeline();
/// Of the plan with the highest peak evaluated since reset_largest_plan().
MemoryReport largest_memory_report();
void reset_largest_plan();

/// A plan's arithmetic, its traffic with memory, and its time when every step takes as long as the
/// longer of both.
struct StepCost {
  double flops = 0;
  double bytes = 0;
  double seconds = 0;
};
/// Of the plan with the highest peak since reset_largest_plan(), on a machine of `flop_rate`
/// operations and `byte_rate` bytes a second. Zeros when nothing was planned.
StepCost largest_plan_cost(double flop_rate, double byte_rate);

/// Bytes of a text such as "2GiB", "1.5 GB" or "4096": units B, KB, MB, GB, TB (powers of 1000) and
/// KiB, MiB, GiB, TiB. ValueError, which begins with `what`, for anything else, and below one byte.
size_t parse_bytes(const std::string& text, const std::string& what = "memory budget");

/// What a plan may need at its peak: where it needs more, it computes part of its forward pass
/// again (ds/passes/remat.h), the way that takes least time by the model of FrontierPoint. Where
/// there is an offload directory (ds/runtime/offload.h), the optimizer's state may lie in a file
/// there and activations may wait in one, if that takes less time at the directory's rate or
/// recomputing is not enough. OutOfMemoryError, naming the least, when nothing fits. No limit when
/// it is 0. At the start it is DS_MEMORY_BUDGET, where "auto" stands for automatic_memory_budget().
void set_memory_budget(size_t bytes);
size_t memory_budget();
/// Bytes a second that the offload directory writes, and reads. 0, as at the start unless
/// DS_OFFLOAD_RATE says something else, is what is measured there.
void set_offload_rate(double bytes_a_second);
double offload_rate();
/// What plans can need now: the memory that is free (ds/base/system_memory.h) less a tenth for the
/// rest of the program, and what tensors and the arena hold already. ValueError when the system
/// does not say how much is free.
size_t automatic_memory_budget();

/// A way to run a step: its peak, and its time by a model (arithmetic at 100 GFLOP/s or memory at
/// 20 GB/s, whichever takes longer) relative to recomputing nothing.
struct FrontierPoint {
  int level;  // of ds/passes/remat.h
  size_t peak;
  double time;
};
/// Of the plan with the highest peak since reset_largest_plan(), by falling peak; without points
/// that another beats in both.
std::vector<FrontierPoint> memory_frontier();

}  // namespace ds
