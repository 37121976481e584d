// SPDX-License-Identifier: Apache-2.0
// The passes in the order they run on every planned graph.
#pragma once

#include <optional>

#include "ds/ir/graph.h"
#include "ds/ir/target_info.h"
#include "ds/passes/remat.h"

namespace ds {

/// A graph rewritten for a target: same inputs, same outputs, same values. What does not depend on
/// the level is done once.
class Pipeline {
 public:
  Pipeline(const Graph& graph, const TargetInfo& target);
  /// `level` is how much is computed again to save memory (remat.h).
  Graph run(int level);

 private:
  TargetInfo target_;
  Interner interner_;  // of what all levels begin with
  Graph start_;
  std::optional<Rematerializer> rematerializer_;
};

}  // namespace ds
