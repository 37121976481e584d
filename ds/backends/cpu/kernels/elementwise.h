// SPDX-License-Identifier: Apache-2.0
// Fused elementwise chains: a short program of tile kernels run over a broadcast, strided space.
// Only inputs and outputs touch memory; what lies between stays in the first-level cache.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ds/backends/cpu/kernels/tile.h"

namespace ds::cpu {

/// A chain in single-assignment form: every call makes one value and returns its number.
class TileProgram {
 public:
  /// The next input; the i-th call belongs to the i-th source of run_tile_program.
  int input(DType dtype);
  int constant(float value);
  /// The next input: 1 where dropout with probability p keeps an element, else 0. Its source is the
  /// rng state i64[2]; its strides count in the element numbers that the random stream goes by, so
  /// they are those of the row-major output.
  int dropout_mask(double p, int64_t call);
  /// op of earlier values, as many as its arity.
  int apply(TileOp op, int a, int b = -1, int c = -1);
  /// Makes a value the next output, converted as tile_store does.
  void output(int value, DType dtype);

  struct Value {
    enum class Kind : uint8_t { input, constant, op } kind;
    TileOp op = TileOp::copy;
    DType dtype = DType::f32;  ///< of an input
    float constant = 0;
    std::array<int, 3> args = {-1, -1, -1};  ///< of an op; args[0] is the index of an input
    bool is_mask = false;                    ///< an input that dropout draws
    uint32_t threshold = 0;                  ///< of a mask
    int64_t call = 0;                        ///< of a mask
  };
  struct Output {
    int value;
    DType dtype;
  };
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  int input_count() const { return input_count_; }

 private:
  std::vector<Value> values_;
  std::vector<Output> outputs_;
  int input_count_ = 0;
};

/// Most dimensions of the iteration space.
inline constexpr int kMaxTileRank = 12;

/// Memory and strides (elements, one per dimension of the space; 0 broadcasts) of one operand.
struct TileSource {
  const void* data;
  const int64_t* strides;
};
struct TileTarget {
  void* data;
  const int64_t* strides;
};

/// A program over one space, planned once for many runs: what is collapsed, kept in tiles or the
/// same everywhere follows from strides alone and from which targets are the memory of a source.
/// A run is prepare(), then run() on all of its units, in any order and on any threads.
class TileRunner {
 public:
  /// `strides` (elements, one per dimension of the space; 0 broadcasts): the sources', then the
  /// targets'.
  TileRunner(TileProgram program, std::span<const int64_t> dims,
             const std::vector<const int64_t*>& strides);
  ~TileRunner();

  /// Takes the addresses of a run; returns its number of units.
  int64_t prepare(std::span<const void* const> sources, std::span<void* const> targets);
  /// Units below which a thread of their own does not pay.
  int64_t grain() const;
  void run(int64_t begin, int64_t end) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Computes every output at every point of the space `dims` (at most kMaxTileRank; may be empty
/// for one point, or hold a 0). Dimensions may come in any order; they are sorted and collapsed
/// here. An output may be the same memory as an input with the same strides; it must not overlap
/// any other operand, and no two outputs may overlap. All arithmetic is f32.
void run_tile_program(const TileProgram& program, std::span<const int64_t> dims,
                      std::span<const TileSource> sources, std::span<const TileTarget> targets);

}  // namespace ds::cpu
