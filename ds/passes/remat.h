// SPDX-License-Identifier: Apache-2.0
// Computes values of the forward pass again in the backward pass instead of keeping them.
//
// Why: what a training step keeps from forward to backward is most of its memory. Level 1 computes
// again what costs a sweep over memory (elementwise operations, normalisations, softmax, copies)
// from values that are kept anyway; higher levels also recompute segments of the network from the
// few values that cross from one segment to the next (ds/passes/remat_segments.h), within a limit
// that falls from what the step needs to the least it can do with. What the backward pass computes
// from kept values alone, such as ReLU's mask, waits for it. The engine plans all levels and takes
// the fastest that fits (ds/engine/memory.h).
// Requires: the backward marks of ds/ir/phase.h; runs before fusion, so that recomputed sweeps join
// their readers. Guarantees: the same values bit for bit (random operations count, they do not
// draw); every copy waits (ds/ir/after.h) for the gradient that comes before its first reader, so
// that its memory is in use late.
#pragma once

#include <memory>

#include "ds/ir/graph.h"

namespace ds {

/// Level 0 recomputes nothing.
inline constexpr int kMaxRematLevel = 15;

/// Knows what of a graph can be computed again; plans any number of levels from that.
class Rematerializer {
 public:
  explicit Rematerializer(Graph graph);
  ~Rematerializer();
  Graph run(int level, Interner& interner) const;

 private:
  struct Facts;
  Graph graph_;
  std::unique_ptr<const Facts> facts_;
};

}  // namespace ds
