// SPDX-License-Identifier: Apache-2.0
// A computation that is recorded once over placeholders and applied many times, each time as one
// node. Planning puts the operations of the body in its place, so plans are what they would be
// without it; recording and looking up a plan cost one node instead of all of them.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "ds/ir/function.h"
#include "ds/tensor/tensor.h"

namespace ds {

/// While it lives this thread records a body, and no thread computes anything. Not for
/// options().eager, which computes what is recorded at once; gradients must be off.
class FunctionRecorder {
 public:
  FunctionRecorder();
  ~FunctionRecorder();
  FunctionRecorder(const FunctionRecorder&) = delete;
  FunctionRecorder& operator=(const FunctionRecorder&) = delete;

  /// The next input of the body.
  Tensor input(const Type& type, Device device);
  /// The body whose outputs are the tensors' values now.
  FunctionPtr finish(const std::vector<Tensor>& outputs) const;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  std::vector<NodePtr> inputs_;
};

/// A FunctionRecorder of this thread lives.
bool recording_function();

/// The function's outputs for these inputs; without gradient when grad mode is off.
Values apply_function(const FunctionPtr& function, const std::vector<Tensor>& inputs);

/// compose(inputs) as one node. `compose` is called once for inputs of these types, `name` and
/// `numbers`, which stand for all else that it depends on. It records cheap operations only: a
/// backward pass that is planned without the forward pass computes them again.
std::vector<Tensor> call_function(
    const char* name, const std::vector<double>& numbers, const std::vector<Tensor>& inputs,
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& compose);

}  // namespace ds
