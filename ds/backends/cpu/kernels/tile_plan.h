// SPDX-License-Identifier: Apache-2.0
// How a tile program runs over its space: the collapsed dimensions and their division into tiles,
// and for each value whether it lives in a buffer, in an operand's own memory or as one splat.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ds/backends/cpu/kernels/elementwise.h"
#include "ds/backends/cpu/kernels/tile_jit.h"

namespace ds::cpu {

/// One source or target: where it is and its strides in the collapsed space, outermost first.
struct TileOperand {
  char* data = nullptr;
  DType dtype = DType::f32;
  int64_t size = 4;  ///< of an element; of a mask 1: its addresses count elements from data on
  const TileProgram::Value* mask = nullptr;
  std::array<int64_t, kMaxTileRank> strides = {};
};

/// The collapsed space and its division into tiles of `rows` x `cols`.
struct TileSpace {
  int rank = 0;
  std::array<int64_t, kMaxTileRank> dims = {};
  std::vector<TileOperand> operands;  ///< sources, then targets

  int64_t rows = 1, cols = 1;  ///< of a full tile
  int64_t row_tiles = 1, col_tiles = 1, outer = 1;

  int64_t inner() const { return dims[rank - 1]; }
  int64_t units() const { return outer * row_tiles * col_tiles; }
};

/// An op with its kernel looked up and its dead and splat cases gone; or, where `code` is set,
/// several ops as machine code.
struct TileCall {
  TileFn fn = nullptr;
  int value = -1;
  std::array<int, 3> args = {-1, -1, -1};
  unsigned splat = 0;
  JitFn code = nullptr;
  /// What `code` reads, then what it writes: a value's place, or ~i for operand i's own memory.
  std::vector<int> pointers;
};
/// Most pointers of a call.
inline constexpr size_t kMaxTilePointers = 64;

/// Where a value lives while a tile is computed.
struct TilePlace {
  enum class Kind : uint8_t { none, splat, buffer, source, target } kind = Kind::none;
  int index = 0;
  bool repeated = false;  ///< a buffer of kSplatSize equal numbers that stand for the whole tile
};

/// The buffer of a source, or -1, and whether it holds one repeated number.
struct SourceSlot {
  int buffer = -1;
  bool repeated = false;
};

/// The decisions, and the splats of a run.
struct TilePlan {
  std::vector<TilePlace> places;  ///< per value
  std::vector<float> splats;      ///< kSplatSize floats per value that is one
  std::vector<SourceSlot> source_slots;
  std::vector<char> stored;  ///< per output: written from a tile at the end
  int buffers = 0;
  int scratch = -1;             ///< buffer to expand splat outputs in, or -1
  std::vector<TileCall> calls;  ///< the ops, in order
};

inline bool is_splat(const TilePlan& plan, int value) {
  return plan.places[value].kind == TilePlace::Kind::splat;
}

/// One number stands for all elements of a tile.
inline bool is_repeated(const TilePlan& plan, int value) {
  return is_splat(plan, value) || plan.places[value].repeated;
}

/// True where a whole tile of the operand is one run with the inner stride.
bool is_flat(const TileSpace& space, const TileOperand& operand);

/// Collapses the space; strides are the sources', then the targets'. It points into the program.
TileSpace make_tile_space(const TileProgram& program, std::span<const int64_t> dims,
                          const std::vector<const int64_t*>& strides);

/// Divides the space into tiles and decides where values live. Reads the operands' addresses to see
/// which targets are the memory of a source.
TilePlan plan_tiles(const TileProgram& program, TileSpace& space);

/// Computes the splats for the operands' present memory.
void evaluate_splats(const TileProgram& program, const TileSpace& space, TilePlan& plan);

}  // namespace ds::cpu
