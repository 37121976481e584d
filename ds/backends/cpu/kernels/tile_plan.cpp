// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/tile_plan.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace ds::cpu {
namespace {

using Kind = TileProgram::Value::Kind;

void make_operands(const TileProgram& program, std::span<const int64_t> dims,
                   const std::vector<const int64_t*>& strides, TileSpace& space) {
  space.operands.resize(strides.size());
  for (const auto& value : program.values()) {
    if (value.kind != Kind::input) continue;
    space.operands[value.args[0]].dtype = value.dtype;
    if (value.is_mask) space.operands[value.args[0]].mask = &value;
  }
  const auto sources = static_cast<size_t>(program.input_count());
  for (size_t i = 0; i < space.operands.size(); ++i) {
    TileOperand& operand = space.operands[i];
    if (i >= sources) operand.dtype = program.outputs()[i - sources].dtype;
    operand.size = operand.mask ? 1 : static_cast<int64_t>(dtype_size(operand.dtype));
    int to = 0;
    for (size_t d = 0; d < dims.size(); ++d) {
      if (dims[d] != 1) operand.strides[to++] = strides[i][d];
    }
  }
  for (int64_t dim : dims) {
    if (dim != 1) space.dims[space.rank++] = dim;
  }
}

void swap_dims(TileSpace& space, int a, int b) {
  std::swap(space.dims[a], space.dims[b]);
  for (TileOperand& operand : space.operands) std::swap(operand.strides[a], operand.strides[b]);
}

/// Orders the dimensions so that the first target is walked through memory forwards, then merges
/// neighbours that are one run in every operand.
void collapse(TileSpace& space, size_t first_target) {
  const TileOperand& lead = space.operands[first_target < space.operands.size() ? first_target : 0];
  for (int i = 1; i < space.rank; ++i) {
    for (int j = i; j > 0 && std::abs(lead.strides[j - 1]) < std::abs(lead.strides[j]); --j) {
      swap_dims(space, j - 1, j);
    }
  }
  int last = 0;
  for (int d = 1; d < space.rank; ++d) {
    const bool merge =
        std::all_of(space.operands.begin(), space.operands.end(), [&](const TileOperand& operand) {
          return operand.strides[last] == operand.strides[d] * space.dims[d];
        });
    if (!merge) ++last;
    space.dims[last] = merge ? space.dims[last] * space.dims[d] : space.dims[d];
    for (TileOperand& operand : space.operands) operand.strides[last] = operand.strides[d];
  }
  if (space.rank == 0) space.dims[0] = 1;
  space.rank = space.rank == 0 ? 1 : last + 1;
}

void divide(TileSpace& space, int64_t tile) {
  const int64_t inner = space.inner();
  int outer_rank = space.rank - 1;
  if (space.rank >= 2 && inner * 2 <= tile) {
    const int64_t count = space.dims[space.rank - 2];
    space.rows = std::min(count, tile / inner);
    space.row_tiles = (count + space.rows - 1) / space.rows;
    space.cols = inner;
    --outer_rank;
  } else {
    space.col_tiles = (inner + tile - 1) / tile;
    // Equal pieces; a multiple of the widest vector, so that only the last has a partial one.
    space.cols = (inner + space.col_tiles - 1) / space.col_tiles;
    space.cols = std::min(inner, (space.cols + 15) / 16 * 16);
    space.col_tiles = (inner + space.cols - 1) / space.cols;
  }
  for (int d = 0; d < outer_rank; ++d) space.outer *= space.dims[d];
}

bool is_direct(const TileSpace& space, const TileOperand& operand) {
  return operand.dtype == DType::f32 && !operand.mask && operand.strides[space.rank - 1] == 1 &&
         is_flat(space, operand);
}

/// Finds everything that is the same at all points.
void place_splats(const TileProgram& program, const TileSpace& space, TilePlan& plan) {
  const auto& values = program.values();
  for (size_t v = 0; v < values.size(); ++v) {
    const auto& value = values[v];
    bool uniform = true;
    if (value.kind == Kind::input) {
      const TileOperand& operand = space.operands[value.args[0]];
      uniform = !operand.mask &&
                std::all_of(operand.strides.begin(), operand.strides.begin() + space.rank,
                            [](int64_t stride) { return stride == 0; });
    } else if (value.kind == Kind::op) {
      for (int i = 0; i < tile_arity(value.op); ++i) uniform &= is_splat(plan, value.args[i]);
    }
    if (uniform) plan.places[v].kind = TilePlace::Kind::splat;
  }
}

/// The position of the last op that reads each value; the end for outputs.
std::vector<int> last_uses(const TileProgram& program) {
  const auto& values = program.values();
  std::vector<int> last(values.size(), -1);
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Kind::op) continue;
    for (int arg : values[v].args) {
      if (arg >= 0) last[arg] = static_cast<int>(v);
    }
  }
  for (const auto& output : program.outputs()) last[output.value] = std::numeric_limits<int>::max();
  return last;
}

void place_sources(const TileProgram& program, const TileSpace& space, const std::vector<int>& last,
                   TilePlan& plan) {
  plan.source_slots.assign(program.input_count(), -1);
  for (size_t v = 0; v < program.values().size(); ++v) {
    const auto& value = program.values()[v];
    if (value.kind != Kind::input || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    // A source that is also an output is copied, lest another output's memory is the source's.
    const bool is_output = last[v] == std::numeric_limits<int>::max();
    if (is_direct(space, space.operands[value.args[0]]) && !is_output) {
      plan.places[v] = {TilePlace::Kind::source, value.args[0]};
    } else {
      plan.source_slots[value.args[0]] = plan.buffers;
      plan.places[v] = {TilePlace::Kind::buffer, plan.buffers++};
    }
  }
}

/// Lets ops write straight into f32 targets. Not where the target is the memory of a source that
/// is read in place by a later op.
void place_targets(const TileProgram& program, const TileSpace& space, const std::vector<int>& last,
                   TilePlan& plan) {
  plan.stored.assign(program.outputs().size(), 1);
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    const int v = program.outputs()[o].value;
    const TileOperand& target = space.operands[program.input_count() + o];
    if (program.values()[v].kind != Kind::op || plan.places[v].kind != TilePlace::Kind::none)
      continue;
    bool safe = is_direct(space, target);
    for (size_t s = 0; s < program.values().size() && safe; ++s) {
      const TilePlace& place = plan.places[s];
      safe = place.kind != TilePlace::Kind::source || last[s] <= v ||
             space.operands[place.index].data != target.data;
    }
    if (!safe) continue;
    plan.places[v] = {TilePlace::Kind::target, static_cast<int>(o)};
    plan.stored[o] = 0;
  }
}

/// Gives the remaining values buffers, reused as soon as their value is dead.
void place_temporaries(const TileProgram& program, const std::vector<int>& last, TilePlan& plan) {
  std::vector<int> free;
  const auto& values = program.values();
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Kind::op || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    for (int i = 0; i < tile_arity(values[v].op); ++i) {
      const int arg = values[v].args[i];
      const bool repeated = std::count(values[v].args.begin(), values[v].args.begin() + i, arg) > 0;
      if (!repeated && last[arg] == static_cast<int>(v) && values[arg].kind == Kind::op &&
          plan.places[arg].kind == TilePlace::Kind::buffer) {
        free.push_back(plan.places[arg].index);
      }
    }
    if (plan.places[v].kind != TilePlace::Kind::none) continue;
    if (free.empty()) free.push_back(plan.buffers++);
    plan.places[v] = {TilePlace::Kind::buffer, free.back()};
    free.pop_back();
  }
  for (const auto& output : program.outputs()) {
    if (is_splat(plan, output.value) && plan.scratch < 0) plan.scratch = plan.buffers++;
  }
}

std::vector<TileCall> make_calls(const TileProgram& program, const std::vector<int>& last,
                                 const TilePlan& plan) {
  std::vector<TileCall> calls;
  for (size_t v = 0; v < program.values().size(); ++v) {
    const auto& value = program.values()[v];
    if (value.kind != Kind::op || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    TileCall call{tile_fn(value.op), static_cast<int>(v), {-1, -1, -1}, 0};
    for (int i = 0; i < tile_arity(value.op); ++i) {
      call.args[i] = value.args[i];
      if (is_splat(plan, value.args[i])) call.splat |= 1u << i;
    }
    calls.push_back(call);
  }
  return calls;
}

/// The tile size for which buffers and operands in place fill at most 24 KiB of a 32 KiB cache.
int64_t tile_size(const TilePlan& plan, size_t operands) {
  const int64_t lanes = 6144 / std::max<int64_t>(1, plan.buffers + static_cast<int64_t>(operands));
  return std::clamp<int64_t>(lanes / 64 * 64, 256, kTileSize);
}

}  // namespace

bool is_flat(const TileSpace& space, const TileOperand& operand) {
  return space.rows == 1 ||
         operand.strides[space.rank - 2] == operand.strides[space.rank - 1] * space.inner();
}

TileSpace make_tile_space(const TileProgram& program, std::span<const int64_t> dims,
                          const std::vector<const int64_t*>& strides) {
  TileSpace space;
  make_operands(program, dims, strides, space);
  collapse(space, static_cast<size_t>(program.input_count()));
  return space;
}

// Packing rows decides which operands are used in place, and these how large a tile may be, so
// the division for the largest tile is tried first.
TilePlan plan_tiles(const TileProgram& program, TileSpace& space) {
  const std::vector<int> last = last_uses(program);
  TilePlan plan;
  int64_t tile = kTileSize;
  for (int attempt = 0; attempt < 2; ++attempt) {
    space.rows = space.row_tiles = space.col_tiles = space.outer = 1;
    divide(space, tile);
    plan = TilePlan{};
    plan.places.resize(program.values().size());
    place_splats(program, space, plan);
    place_sources(program, space, last, plan);
    place_targets(program, space, last, plan);
    place_temporaries(program, last, plan);
    tile = tile_size(plan, space.operands.size());
    if (tile == static_cast<int64_t>(kTileSize)) break;
  }
  plan.calls = make_calls(program, last, plan);
  return plan;
}

void evaluate_splats(const TileProgram& program, const TileSpace& space, TilePlan& plan) {
  const auto& values = program.values();
  plan.splats.resize(values.size() * kSplatSize);
  for (size_t v = 0; v < values.size(); ++v) {
    if (!is_splat(plan, static_cast<int>(v))) continue;
    float* out = plan.splats.data() + v * kSplatSize;
    const auto& value = values[v];
    if (value.kind == Kind::constant) {
      std::fill_n(out, kSplatSize, value.constant);
    } else if (value.kind == Kind::input) {
      const TileOperand& operand = space.operands[value.args[0]];
      tile_load(operand.dtype, operand.data, 0, out, kSplatSize);
    } else {
      const float* args[3] = {};
      for (int i = 0; i < tile_arity(value.op); ++i)
        args[i] = plan.splats.data() + value.args[i] * kSplatSize;
      tile_fn(value.op)(args[0], args[1], args[2], out, kSplatSize, 0);
    }
  }
}

}  // namespace ds::cpu
