// SPDX-License-Identifier: Apache-2.0
// The cpu backend: x86 and ARM processors through oneDNN and vector kernels of our own.
#include <cstring>

#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"
#include "ds/runtime/allocator.h"

namespace ds::cpu {
namespace {

class CpuBackend final : public Backend {
 public:
  std::string_view name() const override { return "cpu"; }
  int priority() const override { return 100; }

  TargetInfo target() const override {
    TargetInfo info;
    info.fuses = true;
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::bool_})
      info.fusable_compute[static_cast<size_t>(dtype)] = true;
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::bool_, DType::u8,
                              DType::i8, DType::i16, DType::i32, DType::i64})
      info.fusable_storage[static_cast<size_t>(dtype)] = true;
    return info;
  }

  /// What has no kernel here runs on the reference backend.
  Support supports(const Node& node) const override {
    if (lower_function(node.op())) return {};
    for (const std::string& name : backend_names())
      if (name == "ref") return backend_of(parse_device("ref")).supports(node);
    return Support::no(str(op_name(node.op()), ": no kernel and no ref backend"));
  }

  std::unique_ptr<Executable> compile(const Graph& graph, const CompileOptions& options) override {
    return Lowering(graph, options).compile();
  }

  std::shared_ptr<void> alloc(size_t bytes) override { return allocate_host(bytes); }

  void to_host(const Buffer& src, void* dst) override {
    DS_ASSERT(!src.layout(), "cpu: buffer in layout ", src.layout()->text());
    std::memcpy(dst, src.data(), type_bytes(src.type()));
  }

  bool host_memory() const override { return true; }
};

}  // namespace
}  // namespace ds::cpu

DS_REGISTER_BACKEND(ds::cpu::CpuBackend)
