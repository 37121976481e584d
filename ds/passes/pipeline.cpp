// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/pipeline.h"

namespace ds {

Graph run_pipeline(const Graph& graph, const TargetInfo&) { return graph; }

}  // namespace ds
