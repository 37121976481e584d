// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/program.h"

#include <chrono>

#include "ds/base/error.h"

namespace ds::cpu {
namespace {

class CpuExecutable final : public Executable {
 public:
  CpuExecutable(ProgramParts parts, ArenaUse arena)
      : parts_(std::move(parts)), arena_(std::move(arena)), frame_(parts_.slots.size()) {
    for (const Step& step : parts_.steps) infos_.push_back(step.info);
    for (size_t i = 0; i < parts_.slots.size(); ++i)
      if (parts_.slots[i].kind == SlotKind::constant)
        frame_.set(static_cast<int>(i), parts_.slots[i].constant.data());
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
      if (slot.kind == SlotKind::temporary)
        frame_.set(id, static_cast<char*>(context.arena) + slot.arena_offset);
    }
    for (size_t& i = context.step; i < parts_.steps.size(); ++i) {
      const Step& step = parts_.steps[i];
      if (!context.lost.empty() && leave_out(step, context)) continue;
      if (step.makes_copy >= 0 && context.copied[static_cast<size_t>(step.makes_copy)]) continue;
      context.node = step.info.node;
      if (!context.step_seconds) {
        step.run(frame_);
        continue;
      }
      const auto start = std::chrono::steady_clock::now();
      step.run(frame_);
      (*context.step_seconds)[i] +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    context.node = nullptr;
  }

  const ArenaUse& arena() const override { return arena_; }
  const std::vector<InputCopy>& input_copies() const override { return parts_.copies; }
  LayoutPtr output_layout(int i) const override { return parts_.layouts[static_cast<size_t>(i)]; }
  const std::vector<StepInfo>& steps() const override { return infos_; }

 private:
  /// After an error: true when the step is lost or, being a batch, its other parts have been run.
  bool leave_out(const Step& step, const RunContext& context) const {
    for (const Step& part : step.parts)
      if (!context.lost.count(part.info.node)) part.run(frame_);
    return !step.parts.empty() || context.lost.count(step.info.node);
  }

  ProgramParts parts_;
  ArenaUse arena_;
  std::vector<StepInfo> infos_;
  Frame frame_;
};

}  // namespace

std::unique_ptr<Executable> finish(ProgramParts parts) {
  std::vector<Lifetime> lifetimes;
  std::vector<size_t> position(parts.slots.size());
  for (size_t i = 0; i < parts.slots.size(); ++i) {
    position[i] = lifetimes.size();
    if (parts.slots[i].kind == SlotKind::temporary)
      lifetimes.push_back({parts.slots[i].bytes, -1, -1});
  }
  for (size_t s = 0; s < parts.steps.size(); ++s) {
    const auto touch = [&](int slot) {
      if (parts.slots[static_cast<size_t>(slot)].kind != SlotKind::temporary) return;
      Lifetime& life = lifetimes[position[static_cast<size_t>(slot)]];
      if (life.first < 0) life.first = static_cast<int>(s);
      life.last = static_cast<int>(s);
    };
    for (const int slot : parts.steps[s].writes) touch(slot);
    for (const int slot : parts.steps[s].reads) touch(slot);
  }
  for (Lifetime& life : lifetimes)
    if (life.first < 0) life = {0, 0, 0};  // renamed or never used
  ArenaPlan plan = plan_arena(lifetimes);
  for (size_t i = 0; i < parts.slots.size(); ++i)
    if (parts.slots[i].kind == SlotKind::temporary)
      parts.slots[i].arena_offset = plan.offsets[position[i]];
  return std::make_unique<CpuExecutable>(std::move(parts),
                                         ArenaUse{std::move(lifetimes), std::move(plan)});
}

}  // namespace ds::cpu
