// SPDX-License-Identifier: Apache-2.0
// A tile program with the views of the program being compiled that it reads and writes.
#pragma once

#include <string>
#include <vector>

#include "ds/backends/cpu/kernels/elementwise.h"
#include "ds/backends/cpu/lowering.h"

namespace ds::cpu {

struct Tiles {
  TileProgram program;
  Shape dims;
  std::vector<View> sources, targets;

  /// A new input; the same number for the same view.
  int source(const View& view);
  /// x with elements dropped at random. `state` is the row-major rng state; dims must be set.
  int dropout(int x, const View& state, double p, int64_t call);
  void target(int value, const View& view);
  /// Tells the step which sources each target may be written over.
  void allow_in_place(Step& step) const;

 private:
  std::vector<int> numbers_;  // of the sources
};

/// Tiles made ready for many runs.
class TileStep {
 public:
  explicit TileStep(Tiles tiles);
  /// Takes the addresses of a run; returns its number of units, which are then run in any order.
  int64_t prepare(const Frame& frame);
  const TileRunner& runner() const { return runner_; }
  const Tiles& tiles() const { return tiles_; }
  int64_t elements() const { return tiles_.dims.numel(); }
  void run(const Frame& frame);

 private:
  Tiles tiles_;
  TileRunner runner_;
  std::vector<const void*> from_;
  std::vector<void*> to_;
};

/// What a fused node computes, into the given views or, when there are none, into new temporaries.
/// Its operations run on tiles (as lower_fused makes sure of).
Tiles fused_tiles(Lowering& l, const Node& node, std::vector<View> outputs);
/// Appends the step that runs the tiles.
Step& emit_tiles(Lowering& l, const Node& node, std::string kernel, Tiles tiles);

}  // namespace ds::cpu
