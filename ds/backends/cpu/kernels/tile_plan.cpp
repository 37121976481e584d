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

/// Gives a source a buffer. Only one number of it is loaded where all elements of a tile are the
/// same, as of a column that is repeated along the rows.
void buffer_source(const TileProgram& program, const TileSpace& space, const std::vector<int>& last,
                   int v, TilePlan& plan) {
  const int source = program.values()[static_cast<size_t>(v)].args[0];
  const TileOperand& operand = space.operands[static_cast<size_t>(source)];
  const bool repeated = operand.strides[space.rank - 1] == 0 &&
                        (space.rows == 1 || operand.strides[space.rank - 2] == 0);
  const bool is_output = last[static_cast<size_t>(v)] == std::numeric_limits<int>::max();
  SourceSlot& slot = plan.source_slots[static_cast<size_t>(source)];
  slot = {plan.buffers, repeated && !operand.mask && !is_output};
  plan.places[static_cast<size_t>(v)] = {TilePlace::Kind::buffer, plan.buffers++, slot.repeated};
}

void place_sources(const TileProgram& program, const TileSpace& space, const std::vector<int>& last,
                   TilePlan& plan) {
  plan.source_slots.assign(static_cast<size_t>(program.input_count()), {});
  for (size_t v = 0; v < program.values().size(); ++v) {
    const auto& value = program.values()[v];
    if (value.kind != Kind::input || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    // A source that is also an output is copied, lest another output's memory is the source's.
    const bool is_output = last[v] == std::numeric_limits<int>::max();
    if (is_direct(space, space.operands[value.args[0]]) && !is_output)
      plan.places[v] = {TilePlace::Kind::source, value.args[0]};
    else
      buffer_source(program, space, last, static_cast<int>(v), plan);
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

bool is_live_op(const TileProgram& program, const std::vector<int>& last, const TilePlan& plan,
                size_t v) {
  return program.values()[v].kind == Kind::op && !is_splat(plan, static_cast<int>(v)) &&
         last[v] >= 0;
}

/// Collects the ops of one piece of machine code and what they read and write.
class JitBuilder {
 public:
  JitBuilder(const TileProgram& program, const TilePlan& plan) : program_(program), plan_(plan) {}

  bool empty() const { return ops_.empty() && outputs_.empty(); }
  size_t size() const { return ops_.size(); }
  /// Operand `index`'s own memory stands for the value of its dtype.
  void read_directly(int value, int index, DType dtype) { input(value, ~index, dtype); }
  void add(int value) {
    const auto& op = program_.values()[static_cast<size_t>(value)];
    for (int i = 0; i < tile_arity(op.op); ++i)
      if (!knows(op.args[i])) input(op.args[i], op.args[i], DType::f32);
    ops_.push_back(value);
    known_.push_back(value);
  }
  void write(int value, int pointer, DType dtype) {
    if (!knows(value)) input(value, value, DType::f32);
    outputs_.push_back({value, dtype});
    written_.push_back(pointer);
  }
  bool knows(int value) const {
    return std::find(known_.begin(), known_.end(), value) != known_.end();
  }
  const std::vector<int>& ops() const { return ops_; }

  /// The call; its code is null where there can be none.
  TileCall call() const {
    JitProgram jit;
    TileCall made;
    std::vector<int> number(program_.values().size(), -1);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      number[static_cast<size_t>(inputs_[i].value)] = static_cast<int>(i);
      jit.inputs.push_back({inputs_[i].dtype, is_repeated(plan_, inputs_[i].value)});
      made.pointers.push_back(inputs_[i].pointer);
    }
    for (const int v : ops_) {
      const auto& op = program_.values()[static_cast<size_t>(v)];
      JitProgram::Op next{op.op, {-1, -1, -1}};
      for (int i = 0; i < tile_arity(op.op); ++i)
        next.args[i] = number[static_cast<size_t>(op.args[i])];
      number[static_cast<size_t>(v)] = static_cast<int>(jit.inputs.size() + jit.ops.size());
      jit.ops.push_back(next);
    }
    for (const auto& output : outputs_)
      jit.outputs.push_back({number[static_cast<size_t>(output.value)], output.dtype});
    made.pointers.insert(made.pointers.end(), written_.begin(), written_.end());
    if (made.pointers.size() <= kMaxTilePointers) made.code = jit_compile(jit);
    return made;
  }

 private:
  struct Input {
    int value, pointer;
    DType dtype;
  };
  void input(int value, int pointer, DType dtype) {
    inputs_.push_back({value, pointer, dtype});
    known_.push_back(value);
  }

  const TileProgram& program_;
  const TilePlan& plan_;
  std::vector<Input> inputs_;
  std::vector<int> ops_, known_, written_;
  std::vector<TileProgram::Output> outputs_;
};

/// One run of the operand's own elements, which machine code reads or writes as they are.
bool is_jit_operand(const TileSpace& space, const TileOperand& operand) {
  return !operand.mask && jit_has(operand.dtype) && operand.strides[space.rank - 1] == 1 &&
         is_flat(space, operand);
}

/// The whole program as one piece of machine code: only operands in another order, or of dtypes
/// that it does not convert, pass through a buffer. False when there can be none.
bool plan_whole(const TileProgram& program, const TileSpace& space, const std::vector<int>& last,
                TilePlan& plan) {
  const auto& values = program.values();
  bool any = false;
  for (size_t v = 0; v < values.size(); ++v) {
    if (!is_live_op(program, last, plan, v)) continue;
    if (!jit_has(values[v].op)) return false;
    any = true;
  }
  for (const auto& output : program.outputs()) any = any || !is_splat(plan, output.value);
  if (!any || !jit_has(TileOp::copy)) return false;
  TilePlan made = plan;
  made.source_slots.assign(static_cast<size_t>(program.input_count()), {});
  made.stored.assign(program.outputs().size(), 1);
  JitBuilder builder(program, made);
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Kind::input || is_splat(plan, static_cast<int>(v)) || last[v] < 0)
      continue;
    const int source = values[v].args[0];
    const TileOperand& operand = space.operands[static_cast<size_t>(source)];
    if (is_jit_operand(space, operand)) {
      builder.read_directly(static_cast<int>(v), source, operand.dtype);
    } else {
      buffer_source(program, space, last, static_cast<int>(v), made);
    }
  }
  for (size_t v = 0; v < values.size(); ++v)
    if (is_live_op(program, last, plan, v)) builder.add(static_cast<int>(v));
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    const int v = program.outputs()[o].value;
    if (is_splat(plan, v)) {
      if (made.scratch < 0) made.scratch = made.buffers++;
      continue;
    }
    const size_t index = static_cast<size_t>(program.input_count()) + o;
    const TileOperand& target = space.operands[index];
    if (is_jit_operand(space, target)) {
      builder.write(v, ~static_cast<int>(index), target.dtype);
      made.stored[o] = 0;
    } else if (made.places[static_cast<size_t>(v)].kind == TilePlace::Kind::none) {
      made.places[static_cast<size_t>(v)] = {TilePlace::Kind::buffer, made.buffers++};
      builder.write(v, v, DType::f32);
    }
  }
  if (builder.empty()) return false;
  TileCall call = builder.call();
  if (!call.code) return false;
  made.calls.push_back(std::move(call));
  plan = std::move(made);
  return true;
}

TileCall plain_call(const TileProgram& program, const TilePlan& plan, int v) {
  const auto& value = program.values()[static_cast<size_t>(v)];
  TileCall call;
  call.fn = tile_fn(value.op);
  call.value = v;
  call.args = value.args;
  for (int i = 0; i < tile_arity(value.op); ++i)
    if (is_repeated(plan, value.args[i])) call.splat |= 1u << i;
  return call;
}

/// The ops in order; runs of two and more with machine code become one call.
std::vector<TileCall> make_calls(const TileProgram& program, const std::vector<int>& last,
                                 const TilePlan& plan) {
  std::vector<TileCall> calls;
  std::vector<int> run;
  const auto finish = [&] {
    if (run.size() > 1) {
      JitBuilder builder(program, plan);
      for (const int v : run) builder.add(v);
      for (const int v : run)
        if (last[static_cast<size_t>(v)] > run.back()) builder.write(v, v, DType::f32);
      if (TileCall call = builder.call(); call.code) {
        calls.push_back(std::move(call));
        run.clear();
      }
    }
    for (const int v : run) calls.push_back(plain_call(program, plan, v));
    run.clear();
  };
  for (size_t v = 0; v < program.values().size(); ++v) {
    if (!is_live_op(program, last, plan, v)) continue;
    if (jit_has(program.values()[v].op)) {
      run.push_back(static_cast<int>(v));
    } else {
      finish();
      calls.push_back(plain_call(program, plan, static_cast<int>(v)));
    }
  }
  finish();
  return calls;
}

/// Elements of a tile that needs no buffers: finding the operands of a tile takes as long as 4 KiB
/// of them, 50 ns.
constexpr int64_t kLongTile = 16384;

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

namespace {

TilePlan plan_for(const TileProgram& program, const std::vector<int>& last, int64_t tile,
                  TileSpace& space) {
  space.rows = space.row_tiles = space.col_tiles = space.outer = 1;
  divide(space, tile);
  TilePlan plan;
  plan.places.resize(program.values().size());
  place_splats(program, space, plan);
  if (plan_whole(program, space, last, plan)) return plan;
  place_sources(program, space, last, plan);
  place_targets(program, space, last, plan);
  place_temporaries(program, last, plan);
  plan.calls = make_calls(program, last, plan);
  return plan;
}

}  // namespace

// Packing rows decides which operands are used in place, and these how large a tile may be, so
// the division for the largest tile is tried first.
TilePlan plan_tiles(const TileProgram& program, TileSpace& space) {
  const std::vector<int> last = last_uses(program);
  // One call from memory to memory keeps nothing in the cache from one call to the next.
  TilePlan plan = plan_for(program, last, kLongTile, space);
  const auto repeated = std::count_if(plan.source_slots.begin(), plan.source_slots.end(),
                                      [](const SourceSlot& slot) { return slot.repeated; });
  if (plan.calls.size() == 1 && plan.buffers == repeated) return plan;
  plan = plan_for(program, last, kTileSize, space);
  const bool whole = plan.calls.size() == 1 && plan.calls[0].code;
  const int64_t tile = tile_size(plan, whole ? 0 : space.operands.size());
  return tile < static_cast<int64_t>(kTileSize) ? plan_for(program, last, tile, space) : plan;
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
