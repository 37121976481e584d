// SPDX-License-Identifier: Apache-2.0
// Checkpoints: parts of a network whose intermediate values are computed again in the backward pass
// instead of being kept for it.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "ds/grad/differentiate.h"
#include "ds/tensor/autograd.h"

namespace ds {

/// Attached to a custom_gradient node; without `backward` the node is a checkpoint, whose other
/// inputs are all values that its first input was computed from.
struct CustomFunction {
  Device device;
  BackwardFunction backward;
};
bool is_checkpoint(const Node& custom_gradient);

/// The checkpoints met by one backward pass. Outputs of one call share one recomputation.
class CheckpointPass {
 public:
  /// Gradients of the checkpoint for its inputs 1.., null where none flows.
  Values gradients(const Node& checkpoint, const Value& grad, DifferentiateOptions options);

 private:
  using Key = std::pair<const Node*, int>;
  struct Again {
    Values gated;                 // the checkpoint's inputs 1.., not before its first gradient
    std::map<Key, Value> values;  // computed again
  };
  Value again(const Value& output, Again& copy);
  std::map<std::vector<Key>, Again> copies_;
};

/// function(inputs), whose backward pass first computes it again from its inputs and the
/// parameters it reads, random numbers included: results are the same bit for bit, and nothing
/// inside is kept from forward to backward. What `function` writes in place (running statistics) is
/// written once.
std::vector<Tensor> checkpoint(
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& function,
    const std::vector<Tensor>& inputs);

/// The two halves of checkpoint(), for callers that run the function themselves: a mark before, and
/// the outputs of what was recorded since.
uint64_t checkpoint_mark();
std::vector<Tensor> checkpoint_since(uint64_t mark, const std::vector<Tensor>& outputs);

}  // namespace ds
