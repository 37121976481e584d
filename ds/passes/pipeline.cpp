// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/pipeline.h"

#include "ds/base/error.h"
#include "ds/base/options.h"
#include "ds/passes/expand_norm.h"
#include "ds/passes/fuse.h"
#include "ds/passes/join_sums.h"
#include "ds/passes/recompute.h"
#include "ds/passes/release_early.h"
#include "ds/passes/remat.h"
#include "ds/passes/simplify.h"
#include "ds/passes/slice_loss.h"

namespace ds {
namespace {

/// `graph`, which `pass` made: logged for DS_LOG=passes, verified for DS_VERIFY=1.
Graph checked(const char* pass, Graph graph) {
  if (log_enabled("passes")) log_line("passes", str("after ", pass, ":\n", print_graph(graph)));
  if (options().verify) {
    try {
      verify_graph(graph);
    } catch (const Error&) {
      rethrow_with_context(std::current_exception(), str("after the pass ", pass));
    }
  }
  return graph;
}

}  // namespace

Graph run_pipeline(const Graph& graph, const TargetInfo& target, int remat_level) {
  Interner interner;
  // Twice: dropping an expand may leave a neutral operation behind.
  Graph result = checked("simplify", simplify(graph, interner));
  result = checked("join_sums", join_sums(result, interner));
  result = checked("expand_norm", expand_norm(result, target, interner));
  result = checked("simplify again", simplify(result, interner));
  result = checked("slice_loss", slice_loss(result, interner));
  result = checked("rematerialize", rematerialize(result, remat_level, interner));
  result = checked("release_early", release_early(result, interner));
  result = checked("fuse_elementwise", fuse_elementwise(result, target, interner));
  return checked("recompute_cheap", recompute_cheap(result, interner));
}

}  // namespace ds
