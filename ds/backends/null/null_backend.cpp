// SPDX-License-Identifier: Apache-2.0
// The null backend: plans a graph's memory as any other would and computes nothing. For tests of
// the compiler, and for planning on a machine that does not have the memory: computed values read
// as zeros, and large buffers are address space that takes no memory until something is written.
#include <sys/mman.h>

#include <cstring>

#include "ds/backends/null/plan.h"
#include "ds/base/error.h"
#include "ds/ir/cost.h"
#include "ds/runtime/allocator.h"
#include "ds/runtime/backend.h"

namespace ds::null {
namespace {

class NullExecutable final : public Executable {
 public:
  NullExecutable(const Graph& graph, const CompileOptions& options)
      : plan_(plan_memory(graph, options)) {
    for (const NodePtr& node : plan_.nodes) {
      const Cost cost = node_cost(*node);
      steps_.push_back({str("null:", op_name(node->op())), node.get(), cost.flops, cost.bytes});
    }
  }

  void run(std::span<const void* const>, std::span<void* const>, RunContext&) override {}
  const ArenaUse& arena() const override { return plan_.arena; }
  const std::vector<StepInfo>& steps() const override { return steps_; }

 private:
  Plan plan_;
  std::vector<StepInfo> steps_;
};

/// Larger buffers come from the system directly, which hands out zeros without using memory.
constexpr size_t kSmall = size_t{1} << 16;

std::shared_ptr<void> reserve(size_t bytes) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  DS_CHECK(address != MAP_FAILED, OutOfMemoryError, "null: no address space for ", bytes, " bytes");
  return {address, [bytes](void* block) { munmap(block, bytes); }};
}

class NullBackend final : public Backend {
 public:
  std::string_view name() const override { return "null"; }
  int priority() const override { return -1; }
  /// That of a backend that fuses everything.
  TargetInfo target() const override {
    TargetInfo info;
    info.fuses = true;
    info.fusable_compute.fill(true);
    info.fusable_storage.fill(true);
    return info;
  }
  Support supports(const Node&) const override { return {}; }
  std::unique_ptr<Executable> compile(const Graph& graph, const CompileOptions& options) override {
    return std::make_unique<NullExecutable>(graph, options);
  }
  std::shared_ptr<void> alloc(size_t bytes) override {
    if (bytes > kSmall) return reserve(bytes);
    std::shared_ptr<void> memory = allocate_host(bytes);
    std::memset(memory.get(), 0, bytes);
    return memory;
  }
  void to_host(const Buffer& src, void* dst) override {
    const size_t bytes = type_bytes(src.type());
    if (bytes > 0) std::memcpy(dst, src.data(), bytes);
  }
  bool host_memory() const override { return true; }
};

}  // namespace
}  // namespace ds::null

DS_REGISTER_BACKEND(ds::null::NullBackend)
