// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/pipeline.h"

#include "ds/base/error.h"
#include "ds/base/options.h"
#include "ds/passes/expand_norm.h"
#include "ds/passes/fuse.h"
#include "ds/passes/join_sums.h"
#include "ds/passes/recompute.h"
#include "ds/passes/release_early.h"
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

Pipeline::Pipeline(const Graph& graph, const TargetInfo& target) : target_(target) {
  // Twice: dropping an expand may leave a neutral operation behind.
  Graph result = checked("simplify", simplify(graph, interner_));
  result = checked("join_sums", join_sums(result, interner_));
  result = checked("expand_norm", expand_norm(result, target_, interner_));
  result = checked("simplify again", simplify(result, interner_));
  start_ = checked("slice_loss", slice_loss(result, interner_));
}

Graph Pipeline::run(int level) {
  // Nodes of one level are of no use to another.
  Interner interner = interner_;
  Graph result = start_;
  if (level > 0) {
    if (!rematerializer_) rematerializer_.emplace(start_);
    result = checked("rematerialize", rematerializer_->run(level, interner));
  }
  result = checked("release_early", release_early(result, interner));
  result = checked("fuse_elementwise", fuse_elementwise(result, target_, interner));
  return checked("recompute_cheap", recompute_cheap(result, interner));
}

}  // namespace ds
