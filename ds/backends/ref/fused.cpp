// SPDX-License-Identifier: Apache-2.0
// A fused node runs its body node by node.
#include "ds/backends/ref/families.h"
#include "ds/backends/ref/interpreter.h"
#include "ds/runtime/allocator.h"

namespace ds::ref {

void fused_kernel(const KernelArgs& args) {
  const Interpreter body(*args.node.body(), {});
  const std::shared_ptr<void> arena = allocate_host(body.arena().plan.bytes);
  for (size_t i = 0; i < body.nodes().size(); ++i)
    body.run_node(i, args.inputs, args.outputs, arena.get());
  body.finish(args.inputs, args.outputs, arena.get(), {});
}

}  // namespace ds::ref
