// SPDX-License-Identifier: Apache-2.0
// The ref backend: every graph runs node by node on the reference kernels.
#include <chrono>
#include <cstring>

#include "ds/backends/ref/interpreter.h"
#include "ds/base/error.h"
#include "ds/runtime/allocator.h"
#include "ds/runtime/backend.h"

namespace ds::ref {
namespace {

double bytes_of(const Node& node) {
  size_t bytes = 0;
  for (const Value& input : node.inputs()) bytes += type_bytes(input.type());
  for (int i = 0; i < node.outputs(); ++i) bytes += type_bytes(node.type(i));
  return static_cast<double>(bytes);
}

class RefExecutable final : public Executable {
 public:
  RefExecutable(const Graph& graph, const CompileOptions& options) : interpreter_(graph, options) {
    for (const NodePtr& node : interpreter_.nodes())
      steps_.push_back({str("ref:", op_name(node->op())), node.get(), 0, bytes_of(*node)});
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           RunContext& context) override {
    using Clock = std::chrono::steady_clock;
    for (size_t& i = context.step; i < steps_.size(); ++i) {
      if (context.lost.count(steps_[i].node)) continue;
      context.node = steps_[i].node;
      const Clock::time_point start = context.step_seconds ? Clock::now() : Clock::time_point();
      interpreter_.run_node(i, inputs, outputs, context.arena);
      if (context.step_seconds)
        (*context.step_seconds)[i] += std::chrono::duration<double>(Clock::now() - start).count();
    }
    context.node = nullptr;
    interpreter_.finish(inputs, outputs, context.arena, context.lost_outputs);
  }

  const ArenaUse& arena() const override { return interpreter_.arena(); }
  const std::vector<StepInfo>& steps() const override { return steps_; }

 private:
  Interpreter interpreter_;
  std::vector<StepInfo> steps_;
};

class RefBackend final : public Backend {
 public:
  std::string_view name() const override { return "ref"; }
  int priority() const override { return 0; }
  TargetInfo target() const override { return {}; }
  Support supports(const Node&) const override { return {}; }
  std::unique_ptr<Executable> compile(const Graph& graph, const CompileOptions& options) override {
    return std::make_unique<RefExecutable>(graph, options);
  }
  std::shared_ptr<void> alloc(size_t bytes) override { return allocate_host(bytes); }
  void to_host(const Buffer& src, void* dst) override {
    const size_t bytes = type_bytes(src.type());
    if (bytes > 0) std::memcpy(dst, src.data(), bytes);
  }
  bool host_memory() const override { return true; }
};

}  // namespace
}  // namespace ds::ref

DS_REGISTER_BACKEND(ds::ref::RefBackend)
