// SPDX-License-Identifier: Apache-2.0
// Takes back assignments whose values could not be planned, and tells of those that could not be
// computed: a step that fails changes nothing.
#pragma once

#include <optional>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds {

/// What tensors hold that are about to be assigned to. It keeps no computed value alive, whose
/// memory the new value may take over.
class Undo {
 public:
  void add(const Tensor& tensor);
  /// The tensors are what they were, as long as nothing assigned since has been planned.
  void run();

 private:
  struct Held {
    Tensor tensor;
    Value pending;  // nothing where the value was computed
  };
  std::vector<Held> held_;
};

/// Steps so far that were to assign to the tensor, failed while they ran and left it as it was;
/// nothing while that is not known, as the last is still to run. A tensor that is given another
/// value in other ways begins again.
std::optional<int> failed_steps(const Tensor& tensor);

}  // namespace ds
