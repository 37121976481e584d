// SPDX-License-Identifier: Apache-2.0
// Where a trainer gets its batches: a loader of the library, or one of another language.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::train {

/// Where a source stands, enough to go on exactly there.
struct SourcePosition {
  uint64_t epoch = 0;
  int64_t batch = 0;  // batches given in this epoch
  uint64_t seed = 0;  // of its order
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// The next batch, one tensor for each part; false at the end of the epoch, after which the next
  /// call begins another one.
  virtual bool next(std::vector<Tensor>& batch) = 0;
  /// Batches of an epoch, when known.
  virtual std::optional<int64_t> size() const = 0;
  /// Behind the batch that next() gave last; at the end of an epoch the next one's beginning.
  virtual SourcePosition position() const = 0;
  /// Goes to a position; the next batch is the one that followed it. ValueError when the source
  /// can not give that order.
  virtual void seek(const SourcePosition& position) = 0;
  /// Asked before the first batch of a step: a source whose batches depend on free memory may
  /// change their size now, and its position with it; true when it did.
  virtual bool adapt() { return false; }
};

}  // namespace ds::train
