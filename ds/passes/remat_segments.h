// SPDX-License-Identifier: Apache-2.0
// Which segments of the forward pass are computed again, and what of each.
//
// Why: where to cut and how much to recompute between two cuts decide time and memory together, and
// there are far too many ways to plan them all.
// The model: in the backward pass of a segment these are in memory: what earlier segments keep, the
// segment's own values until they are read last (those computed again from its first gradient on),
// and the gradients that are live then. A segment drops the values that take up to a number of
// operations for each of their bytes. Of all ways to cut and to drop that stay within a limit at
// every moment, dynamic programming over the cuts, with the bytes kept so far as its state, finds
// the one of least time.
// The gap: cuts lie where least is carried over between two kept values; of more than 96 places the
// narrowest of each few neighbours are left. States closer than 1/1024 of the limit count as one,
// so the time is at most that of the best way within a limit lower by that much for each segment.
// Sources: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016; Jain et al.,
// "Checkmate", 2020, states the problem without segments as an integer program.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "ds/passes/remat_step.h"

namespace ds {

/// The nodes from the last segment's end on, up to position `end`. Values that take more operations
/// for each byte than `density` stay; all do where it is negative.
struct Segment {
  int end;
  double density;
};

class SegmentPlanner {
 public:
  /// `swept` is what is computed again by sweeps in any case where a segment keeps its values.
  SegmentPlanner(const Step& step, const std::set<Step::Key>& swept);
  ~SegmentPlanner();
  /// For a limit between all that a step needs (depth 0) and the least it can do with (depth 1).
  std::vector<Segment> best(double depth) const;

 private:
  class Planner;
  std::unique_ptr<const Planner> planner_;
};

}  // namespace ds
