// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/program.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "ds/backends/cpu/temporaries.h"
#include "ds/base/error.h"
#include "ds/runtime/offload.h"

namespace ds::cpu {
namespace {

/// What happens around the steps of a program within a limit: values that wait in a file, and
/// inputs whose memory is a file's.
struct Traffic {
  std::vector<size_t> load, read_ahead, store;  // spills
  std::vector<int> fetch, drop;                 // offloaded inputs
};

// Steps between asking the system for what is in a file and reading it.
constexpr int kAhead = 4;

class CpuExecutable final : public Executable {
 public:
  CpuExecutable(ProgramParts parts, TemporaryPlan plan, const CompileOptions& options)
      : parts_(std::move(parts)), plan_(std::move(plan)), frame_(parts_.slots.size()) {
    for (const Step& step : parts_.steps) infos_.push_back(step.info);
    for (size_t i = 0; i < parts_.slots.size(); ++i)
      if (parts_.slots[i].kind == SlotKind::constant)
        frame_.set(static_cast<int>(i), parts_.slots[i].constant.data());
    for (size_t i = 0; i < plan_.spills.size(); ++i) {
      const Spill& spill = plan_.spills[i];
      traffic(spill.stored).store.push_back(i);
      traffic(std::max(spill.stored + 1, spill.loaded - kAhead)).read_ahead.push_back(i);
      traffic(spill.loaded).load.push_back(i);
    }
    if (!options.offloaded.empty()) plan_inputs(options);
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           RunContext& context) override {
    DS_ASSERT(context.copies.size() == parts_.copies.size(), "cpu: ", parts_.copies.size(),
              " copies of inputs, memory for ", context.copies.size());
    for (size_t i = 0; i < parts_.slots.size(); ++i) {
      const Slot& slot = parts_.slots[i];
      const int id = static_cast<int>(i);
      const auto index = static_cast<size_t>(slot.index);
      if (slot.kind == SlotKind::input) frame_.set(id, inputs[index]);
      if (slot.kind == SlotKind::output) frame_.set(id, outputs[index]);
      if (slot.kind == SlotKind::copy) frame_.set(id, context.copies[index]);
    }
    if (context.step == 0) {
      broken_.clear();
      if (plan_.file_bytes > 0 && !file_) file_ = std::make_unique<SpillFile>(plan_.file_bytes);
    }
    size_t placed = 0;
    for (size_t& i = context.step; i < parts_.steps.size(); ++i) {
      const Step& step = parts_.steps[i];
      for (; placed < plan_.placements.size() &&
             plan_.placements[placed].first <= static_cast<int>(i);
           ++placed)
        frame_.set(plan_.placements[placed].slot,
                   static_cast<char*>(context.arena) + plan_.placements[placed].offset);
      const auto found = traffic_.find(static_cast<int>(i));
      const Traffic* around = found == traffic_.end() ? nullptr : &found->second;
      if (around) bring(*around);
      if (!left_out(step, context)) {
        context.node = step.info.node;
        raise_broken(step);
        run_timed(step, i, context);
      }
      if (around) put_away(*around);
    }
    context.node = nullptr;
  }

  const ArenaUse& arena() const override { return plan_.arena; }
  size_t spilled_bytes() const override { return plan_.spilled_bytes; }
  const std::vector<InputCopy>& input_copies() const override { return parts_.copies; }
  LayoutPtr output_layout(int i) const override { return parts_.layouts[static_cast<size_t>(i)]; }
  const std::vector<StepInfo>& steps() const override { return infos_; }

 private:
  Traffic& traffic(int step) { return traffic_[step]; }

  /// When offloaded inputs, and outputs that take over their memory, are used.
  void plan_inputs(const CompileOptions& options) {
    const auto input_of = [&](int slot) {
      const Slot& s = parts_.slots[static_cast<size_t>(slot)];
      if (s.kind == SlotKind::input) return s.index;
      if (s.kind == SlotKind::output)
        for (const auto& [output, input] : options.donations)
          if (output == s.index) return input;
      return -1;
    };
    std::map<int, std::pair<int, int>> use;  // first and last step, by input
    for (size_t s = 0; s < parts_.steps.size(); ++s) {
      const auto touch = [&](int slot) {
        const int input = input_of(slot);
        if (input < 0 || !options.offloaded[static_cast<size_t>(input)]) return;
        use.emplace(input, std::pair(static_cast<int>(s), 0)).first->second.second =
            static_cast<int>(s);
      };
      for (const int slot : parts_.steps[s].reads) touch(slot);
      for (const int slot : parts_.steps[s].writes) touch(slot);
    }
    for (const auto& [input, steps] : use) {
      traffic(std::max(0, steps.first - kAhead)).fetch.push_back(input);
      traffic(steps.second).drop.push_back(input);
    }
  }

  /// Slots of inputs come first, in order.
  const void* memory(int slot) const { return frame_.base(slot); }
  size_t bytes(int slot) const { return parts_.slots[static_cast<size_t>(slot)].bytes; }

  /// Before a step. What cannot be read is an error of the steps that want it.
  void bring(const Traffic& around) {
    for (const int input : around.fetch) read_ahead(memory(input), bytes(input));
    for (const size_t i : around.read_ahead)
      file_->read_ahead(plan_.spills[i].file_offset, bytes(plan_.spills[i].slot));
    for (const size_t i : around.load) {
      const Spill& spill = plan_.spills[i];
      attempt(spill.slot,
              [&] { file_->read(spill.file_offset, frame_.base(spill.slot), bytes(spill.slot)); });
    }
  }

  void put_away(const Traffic& around) {
    for (const size_t i : around.store) {
      const Spill& spill = plan_.spills[i];
      attempt(spill.slot,
              [&] { file_->write(spill.file_offset, frame_.base(spill.slot), bytes(spill.slot)); });
    }
    for (const int input : around.drop) write_behind(memory(input), bytes(input));
  }

  template <class F>
  void attempt(int slot, F move) {
    if (broken_.count(slot)) return;
    try {
      move();
    } catch (...) {
      broken_.emplace(slot, std::current_exception());
    }
  }

  void raise_broken(const Step& step) const {
    if (broken_.empty()) return;
    for (const int slot : step.reads)
      if (const auto found = broken_.find(slot); found != broken_.end())
        std::rethrow_exception(found->second);
  }

  void run_timed(const Step& step, size_t i, const RunContext& context) const {
    if (!context.step_seconds) {
      step.run(frame_);
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    step.run(frame_);
    (*context.step_seconds)[i] +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// True when there is nothing to do: the copies that the step makes are there, or it is lost
  /// after an error or, being a batch, its other parts have been run.
  bool left_out(const Step& step, const RunContext& context) const {
    if (!context.lost.empty()) {
      for (const Step& part : step.parts)
        if (!context.lost.count(part.info.node)) part.run(frame_);
      if (!step.parts.empty() || context.lost.count(step.info.node)) return true;
    }
    return !step.for_copies.empty() &&
           std::all_of(step.for_copies.begin(), step.for_copies.end(),
                       [&](int copy) { return context.copied[static_cast<size_t>(copy)]; });
  }

  ProgramParts parts_;
  TemporaryPlan plan_;
  std::map<int, Traffic> traffic_;  // by step
  std::unique_ptr<SpillFile> file_;
  std::map<int, std::exception_ptr> broken_;  // slots of this run that the file does not hold
  std::vector<StepInfo> infos_;
  Frame frame_;
};

}  // namespace

void Step::allow_in_place(const View& read, const View& written) {
  if (read.offset == 0 && dtype_size(read.dtype) == dtype_size(written.dtype) &&
      read.strides == written.strides)
    in_place.emplace_back(read.slot, written.slot);
}

std::unique_ptr<Executable> finish(ProgramParts parts, const CompileOptions& options) {
  TemporaryPlan plan = plan_temporaries(parts.slots, parts.steps, options.arena_limit);
  return std::make_unique<CpuExecutable>(std::move(parts), std::move(plan), options);
}

}  // namespace ds::cpu
