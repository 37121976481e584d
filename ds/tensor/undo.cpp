// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/undo.h"

#include <mutex>

#include "ds/engine/engine.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {

void Undo::add(const Tensor& tensor) {
  const std::lock_guard lock(graph_mutex());
  const Value& value = tensor.impl()->root().value;
  held_.push_back({tensor, value.node->op() == Op::input_ ? Value{} : value});
}

void Undo::run() {
  const std::lock_guard lock(graph_mutex());
  // The first of several notes about one tensor is what it held at the start.
  for (auto held = held_.rbegin(); held != held_.rend(); ++held) {
    TensorImpl& root = held->tensor.impl()->root();
    if (held->pending) {
      root.value = held->pending;
    } else if (root.donor) {
      root.value = {root.donor, 0};
      root.donor = nullptr;
    } else {
      continue;  // nothing was assigned
    }
    root.variable = {};
    root.hooked = {};
    ++root.version;
    root.update_live();
  }
  held_.clear();
}

std::optional<int> failed_steps(const Tensor& tensor) {
  const std::lock_guard lock(graph_mutex());
  const BufferPtr buffer = buffer_of(strip_markers(tensor.impl()->root().value));
  if (!buffer || !buffer->ready()) return {};
  return buffer->failed_steps();
}

}  // namespace ds
