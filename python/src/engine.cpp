// SPDX-License-Identifier: Apache-2.0
// What the engine did: plans, forced values, profiles, memory.
#include "ds/engine/engine.h"

#include "ds/base/system_memory.h"
#include "ds/engine/memory.h"
#include "ds/runtime/allocator.h"
#include "ds/runtime/offload.h"
#include "ds/tensor/checkpoint.h"
#include "ds/tensor/sync.h"
#include "functions.h"

namespace {

nb::dict memory_dict(const ds::MemoryReport& report) {
  nb::dict kinds;
  for (size_t i = 0; i < ds::kMemoryKindNames.size(); ++i)
    kinds[std::string(ds::kMemoryKindNames[i]).c_str()] = report.by_kind[i];
  nb::list blocks;
  for (const ds::MemoryBlock& b : report.blocks)
    blocks.append(nb::make_tuple(std::string(ds::kMemoryKindNames[static_cast<size_t>(b.kind)]),
                                 b.bytes, b.op, b.type, b.location));
  nb::dict dict;
  dict["peak"] = report.peak;
  dict["arena"] = report.arena;
  dict["lower_bound"] = report.lower_bound;
  dict["offloaded"] = report.offloaded;
  dict["by_kind"] = kinds;
  dict["blocks"] = blocks;
  return dict;
}

}  // namespace

void bind_engine(nb::module_& m) {
  m.def(
      "synchronize",
      [] {
        const Unlocked unlocked;
        ds::synchronize();
      },
      "Waits until everything queued has run.");
  m.def("explain_recompile", &ds::explain_recompile,
        "Why the last plan was made: the operation, the line and what differed from the most "
        "similar earlier plan.");
  m.def(
      "engine_stats",
      [] {
        const ds::EngineStats s = ds::engine_stats();
        nb::dict stats;
        stats["plans"] = s.plans;
        stats["hits"] = s.hits;
        stats["planned_nodes"] = s.planned_nodes;
        stats["plan_seconds"] = s.plan_seconds;
        stats["plan_seconds_per_thousand_nodes"] =
            s.planned_nodes ? s.plan_seconds * 1000.0 / static_cast<double>(s.planned_nodes) : 0.0;
        return stats;
      },
      "Counters of the engine: plans made, plans found, nodes planned, seconds spent planning.");
  m.def(
      "clear_plans",
      [] {
        const Unlocked unlocked;
        ds::clear_plans();
      },
      "Forgets all plans.");
  m.def("_tuning", [] {
    const ds::Tuning how = ds::tuning();
    return how == ds::Tuning::off ? "off" : how == ds::Tuning::use ? "use" : "measure";
  });
  m.def("_set_tuning", [](const std::string& how) {
    const Unlocked unlocked;
    ds::set_kernel_tuning(how == "off"       ? ds::Tuning::off
                          : how == "measure" ? ds::Tuning::measure
                                             : ds::Tuning::use);
  });
  m.def("_measured_choices", [] {
    nb::list list;
    for (const ds::KernelChoice& c : ds::measured_choices())
      list.append(nb::make_tuple(c.problem, c.kernel, c.rule, c.seconds, c.rule_seconds));
    return list;
  });
  m.def("_choices_path", &ds::choices_path);
  m.def("_open_choices", &ds::open_choices);
  m.def("_choices_trouble", &ds::choices_trouble);
  m.def(
      "evaluate", [](const std::vector<ds::Tensor>& tensors) { ds::evaluate(tensors); },
      "tensors"_a, "Computes several tensors in one plan, without waiting.");
  m.def("_syncs", [] {
    nb::list list;
    for (const ds::SyncSite& site : ds::sync_sites())
      list.append(nb::make_tuple(site.reason, site.location, site.count));
    return list;
  });
  m.def("_clear_syncs", &ds::clear_sync_sites);
  m.def("_set_profiling", [](bool on) {
    const Unlocked unlocked;
    ds::set_profiling(on);
  });
  m.def("_profile_report", [] {
    nb::list list;
    for (const ds::StepReport& r : ds::profile_report()) {
      nb::dict row;
      row["kernel"] = r.kernel;
      row["op"] = r.op;
      row["location"] = r.location;
      row["type"] = r.type;
      row["seconds"] = r.seconds;
      row["flops"] = r.flops;
      row["bytes"] = r.bytes;
      row["runs"] = r.runs;
      list.append(row);
    }
    return list;
  });
  m.def("_profile_runs", [] {
    nb::list list;
    for (const ds::TimedRun& run : ds::profile_runs())
      list.append(nb::make_tuple(run.first_report, run.start, run.step_seconds));
    return list;
  });
  m.def(
      "memory_stats",
      [] {
        const ds::MemoryStats s = ds::memory_stats();
        nb::dict stats;
        stats["in_use"] = s.in_use;
        stats["peak"] = s.peak;
        stats["cached"] = s.cached;
        return stats;
      },
      "Bytes of host memory: in use, peak, cached for reuse.");
  m.def("_memory_report", [] { return memory_dict(ds::memory_report()); });
  m.def("_largest_memory_report", [] { return memory_dict(ds::largest_memory_report()); });
  m.def("_largest_plan_cost", [](double flop_rate, double byte_rate) {
    const ds::StepCost cost = ds::largest_plan_cost(flop_rate, byte_rate);
    return nb::make_tuple(cost.flops, cost.bytes, cost.seconds);
  });
  m.def("_memory_frontier", [] {
    nb::list points;
    for (const ds::FrontierPoint& p : ds::memory_frontier())
      points.append(nb::make_tuple(p.level, p.peak, p.time));
    return points;
  });
  m.def("_memory_timeline", [] {
    nb::list rows;
    for (const ds::MemoryTimeline::Step& step : ds::largest_memory_timeline().steps) {
      nb::dict kinds;
      for (size_t i = 0; i < ds::kMemoryKindNames.size(); ++i)
        kinds[std::string(ds::kMemoryKindNames[i]).c_str()] = step.by_kind[i];
      rows.append(nb::make_tuple(step.op, step.location, step.backward, kinds));
    }
    return rows;
  });
  m.def("_set_offload_directory", &ds::set_offload_directory);
  m.def("_offload_directory", &ds::offload_directory);
  m.def("_set_offload_rate", &ds::set_offload_rate);
  m.def("_offload_rate", &ds::offload_rate);
  m.def("_available_memory", [] { return ds::available_memory(); });
  m.def("_automatic_memory_budget", &ds::automatic_memory_budget);
  m.def("_parse_bytes", &ds::parse_bytes, nb::arg("text"), nb::arg("what") = "memory budget");
  m.def("_set_memory_budget", &ds::set_memory_budget);
  m.def("_memory_budget", &ds::memory_budget);
  m.def("_reset_largest_plan", &ds::reset_largest_plan);
  m.def("_checkpoint_mark", &ds::checkpoint_mark);
  m.def("_checkpoint_since", &ds::checkpoint_since);
  m.def("reset_peak_memory", &ds::reset_peak_memory, "Starts the peak again from what is in use.");
  m.def("empty_cache", &ds::empty_cache, "Gives cached memory back to the system.");
}
