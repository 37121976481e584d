// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/pipeline.h"

#include "ds/passes/fuse.h"
#include "ds/passes/simplify.h"

namespace ds {

Graph run_pipeline(const Graph& graph, const TargetInfo& target) {
  Interner interner;
  // Twice: dropping an expand may leave a neutral operation behind.
  Graph result = simplify(graph, interner);
  result = simplify(result, interner);
  return fuse_elementwise(result, target, interner);
}

}  // namespace ds
