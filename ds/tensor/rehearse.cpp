// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/rehearse.h"

#include <algorithm>

#include "ds/engine/engine.h"
#include "ds/tensor/random.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

/// Puts back what tensors held, also when recording throws.
class Before {
 public:
  explicit Before(const std::vector<Tensor>& tensors) : random_(rng_state()) {
    const std::lock_guard lock(graph_mutex());
    for (const Tensor& tensor : tensors)
      held_.push_back({tensor, tensor.impl()->root().value, tensor.grad()});
  }
  ~Before() {
    set_rng_state(random_);
    const std::lock_guard lock(graph_mutex());
    for (Held& held : held_) {
      TensorImpl& root = held.tensor.impl()->root();
      if (!(root.value == held.value)) {
        root.value = held.value;
        root.donor = nullptr;
        ++root.version;
        root.update_live();
      }
      held.tensor.set_grad(held.grad);
    }
  }
  Before(const Before&) = delete;
  Before& operator=(const Before&) = delete;

 private:
  struct Held {
    Tensor tensor;
    Value value;
    Tensor grad;
  };
  std::vector<Held> held_;
  Tensor random_;
};

}  // namespace

size_t rehearse(const std::vector<Tensor>& state,
                const std::function<std::vector<Tensor>()>& record, Device device) {
  const Before before(state);
  Values outputs;
  for (const Tensor& tensor : record()) {
    if (!tensor.defined()) continue;
    const std::lock_guard lock(graph_mutex());
    const Value value = strip_markers(tensor.impl()->recorded());
    const bool pending = value.node->op() != Op::input_ && !value.node->realized(value.index);
    if (pending && std::find(outputs.begin(), outputs.end(), value) == outputs.end())
      outputs.push_back(value);
  }
  // As evaluate() orders them: what is recorded first is computed first.
  std::sort(outputs.begin(), outputs.end(), [](const Value& a, const Value& b) {
    return std::pair(a.node->id(), a.index) < std::pair(b.node->id(), b.index);
  });
  return outputs.empty() ? 0 : planned_peak({outputs, device, {}, {}});
}

}  // namespace ds
