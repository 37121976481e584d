// SPDX-License-Identifier: Apache-2.0
// Copies of an input that are made of other inputs too.
#pragma once

#include <vector>

#include "ds/runtime/buffer.h"

namespace ds {

/// What a program makes of one input (InputCopy::input) and of others, and wants kept with the
/// first as long as all of them are what they were. Equality does not look at the others: whoever
/// keeps the copy compares their buffers.
class LayoutOfSeveral : public Layout {
 public:
  explicit LayoutOfSeveral(std::vector<int> others) : others_(std::move(others)) {}
  /// Inputs of the program.
  const std::vector<int>& others() const { return others_; }

 private:
  std::vector<int> others_;
};

}  // namespace ds
