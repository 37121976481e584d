// SPDX-License-Identifier: Apache-2.0
// Takes back assignments whose values could not be planned: a step that does not fit changes
// nothing.
#pragma once

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

}  // namespace ds
