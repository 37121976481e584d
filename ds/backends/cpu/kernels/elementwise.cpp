// SPDX-License-Identifier: Apache-2.0
// The interpreter of tile programs: collapses the iteration space, decides which values live in
// registers (tiles), in the operands' own memory or as one splat value, and runs tile by tile.
#include "ds/backends/cpu/kernels/elementwise.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {

int TileProgram::input(DType dtype) {
  values_.push_back({.kind = Value::Kind::input, .dtype = dtype, .args = {input_count_++, -1, -1}});
  return static_cast<int>(values_.size()) - 1;
}

int TileProgram::constant(float value) {
  values_.push_back({.kind = Value::Kind::constant, .constant = value});
  return static_cast<int>(values_.size()) - 1;
}

int TileProgram::apply(TileOp op, int a, int b, int c) {
  const int next = static_cast<int>(values_.size());
  const std::array<int, 3> args = {a, b, c};
  for (int i = 0; i < 3; ++i) {
    DS_ASSERT(i < tile_arity(op) ? args[i] >= 0 && args[i] < next : args[i] == -1, "operand ", i,
              " of ", tile_name(op), " is ", args[i]);
  }
  values_.push_back({.kind = Value::Kind::op, .op = op, .args = args});
  return next;
}

void TileProgram::output(int value, DType dtype) {
  DS_ASSERT(value >= 0 && value < static_cast<int>(values_.size()), "output of value ", value);
  outputs_.push_back({value, dtype});
}

namespace {

using Kind = TileProgram::Value::Kind;

/// One source or target: where it is and its strides in the collapsed space, outermost first.
struct Operand {
  char* data = nullptr;
  DType dtype = DType::f32;
  int64_t size = 4;
  std::array<int64_t, kMaxTileRank> strides = {};
};

/// The collapsed space and its division into tiles of `rows` x `cols`.
struct Space {
  int rank = 0;
  std::array<int64_t, kMaxTileRank> dims = {};
  std::vector<Operand> operands;  ///< sources, then targets

  int64_t rows = 1, cols = 1;  ///< of a full tile
  int64_t row_tiles = 1, col_tiles = 1, outer = 1;

  int64_t inner() const { return dims[rank - 1]; }
  int64_t units() const { return outer * row_tiles * col_tiles; }
};

void make_operands(const TileProgram& program, std::span<const int64_t> dims,
                   std::span<const TileSource> sources, std::span<const TileTarget> targets,
                   Space& space) {
  space.operands.resize(sources.size() + targets.size());
  for (const auto& value : program.values()) {
    if (value.kind == Kind::input) space.operands[value.args[0]].dtype = value.dtype;
  }
  for (size_t i = 0; i < space.operands.size(); ++i) {
    Operand& operand = space.operands[i];
    const bool source = i < sources.size();
    if (!source) operand.dtype = program.outputs()[i - sources.size()].dtype;
    operand.size = static_cast<int64_t>(dtype_size(operand.dtype));
    operand.data = source ? static_cast<char*>(const_cast<void*>(sources[i].data))
                          : static_cast<char*>(targets[i - sources.size()].data);
    const int64_t* strides = source ? sources[i].strides : targets[i - sources.size()].strides;
    int to = 0;
    for (size_t d = 0; d < dims.size(); ++d) {
      if (dims[d] != 1) operand.strides[to++] = strides[d];
    }
  }
  for (int64_t dim : dims) {
    if (dim != 1) space.dims[space.rank++] = dim;
  }
}

void swap_dims(Space& space, int a, int b) {
  std::swap(space.dims[a], space.dims[b]);
  for (Operand& operand : space.operands) std::swap(operand.strides[a], operand.strides[b]);
}

/// Orders the dimensions so that the first target is walked through memory forwards, then merges
/// neighbours that are one run in every operand.
void collapse(Space& space, size_t first_target) {
  const Operand& lead = space.operands[first_target < space.operands.size() ? first_target : 0];
  for (int i = 1; i < space.rank; ++i) {
    for (int j = i; j > 0 && std::abs(lead.strides[j - 1]) < std::abs(lead.strides[j]); --j) {
      swap_dims(space, j - 1, j);
    }
  }
  int last = 0;
  for (int d = 1; d < space.rank; ++d) {
    const bool merge =
        std::all_of(space.operands.begin(), space.operands.end(), [&](const Operand& operand) {
          return operand.strides[last] == operand.strides[d] * space.dims[d];
        });
    if (!merge) ++last;
    space.dims[last] = merge ? space.dims[last] * space.dims[d] : space.dims[d];
    for (Operand& operand : space.operands) operand.strides[last] = operand.strides[d];
  }
  if (space.rank == 0) space.dims[0] = 1;
  space.rank = space.rank == 0 ? 1 : last + 1;
}

void divide(Space& space, int64_t tile) {
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

/// True where a whole tile of the operand is one run with the inner stride.
bool is_flat(const Space& space, const Operand& operand) {
  return space.rows == 1 ||
         operand.strides[space.rank - 2] == operand.strides[space.rank - 1] * space.inner();
}

bool is_direct(const Space& space, const Operand& operand) {
  return operand.dtype == DType::f32 && operand.strides[space.rank - 1] == 1 &&
         is_flat(space, operand);
}

/// Where a value lives while a tile is computed.
struct Place {
  enum class Kind : uint8_t { none, splat, buffer, source, target } kind = Kind::none;
  int index = 0;
};

/// The decisions for one run.
struct Plan {
  std::vector<Place> places;      ///< per value
  std::vector<float> splats;      ///< kSplatSize floats per value that is one
  std::vector<int> source_slots;  ///< buffer of each source, or -1
  std::vector<char> stored;       ///< per output: written from a tile at the end
  int buffers = 0;
  int scratch = -1;  ///< buffer to expand splat outputs in, or -1
};

bool is_splat(const Plan& plan, int value) { return plan.places[value].kind == Place::Kind::splat; }

/// Evaluates, once, everything that is the same at all points.
void evaluate_splats(const TileProgram& program, const Space& space, Plan& plan) {
  const auto& values = program.values();
  plan.splats.resize(values.size() * kSplatSize);
  for (size_t v = 0; v < values.size(); ++v) {
    float* out = plan.splats.data() + v * kSplatSize;
    const auto& value = values[v];
    if (value.kind == Kind::constant) {
      std::fill_n(out, kSplatSize, value.constant);
    } else if (value.kind == Kind::input) {
      const Operand& operand = space.operands[value.args[0]];
      const bool uniform =
          std::all_of(operand.strides.begin(), operand.strides.begin() + space.rank,
                      [](int64_t stride) { return stride == 0; });
      if (!uniform) continue;
      tile_load(operand.dtype, operand.data, 0, out, kSplatSize);
    } else {
      const float* args[3] = {};
      bool uniform = true;
      for (int i = 0; i < tile_arity(value.op); ++i) {
        uniform &= is_splat(plan, value.args[i]);
        args[i] = plan.splats.data() + value.args[i] * kSplatSize;
      }
      if (!uniform) continue;
      tile_fn(value.op)(args[0], args[1], args[2], out, kSplatSize, 0);
    }
    plan.places[v].kind = Place::Kind::splat;
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

void place_sources(const TileProgram& program, const Space& space, const std::vector<int>& last,
                   Plan& plan) {
  plan.source_slots.assign(program.input_count(), -1);
  for (size_t v = 0; v < program.values().size(); ++v) {
    const auto& value = program.values()[v];
    if (value.kind != Kind::input || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    // A source that is also an output is copied, lest another output's memory is the source's.
    const bool is_output = last[v] == std::numeric_limits<int>::max();
    if (is_direct(space, space.operands[value.args[0]]) && !is_output) {
      plan.places[v] = {Place::Kind::source, value.args[0]};
    } else {
      plan.source_slots[value.args[0]] = plan.buffers;
      plan.places[v] = {Place::Kind::buffer, plan.buffers++};
    }
  }
}

/// Lets ops write straight into f32 targets. Not where the target is the memory of a source that
/// is read in place by a later op.
void place_targets(const TileProgram& program, const Space& space, const std::vector<int>& last,
                   Plan& plan) {
  plan.stored.assign(program.outputs().size(), 1);
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    const int v = program.outputs()[o].value;
    const Operand& target = space.operands[program.input_count() + o];
    if (program.values()[v].kind != Kind::op || plan.places[v].kind != Place::Kind::none) continue;
    bool safe = is_direct(space, target);
    for (size_t s = 0; s < program.values().size() && safe; ++s) {
      const Place& place = plan.places[s];
      safe = place.kind != Place::Kind::source || last[s] <= v ||
             space.operands[place.index].data != target.data;
    }
    if (!safe) continue;
    plan.places[v] = {Place::Kind::target, static_cast<int>(o)};
    plan.stored[o] = 0;
  }
}

/// Gives the remaining values buffers, reused as soon as their value is dead.
void place_temporaries(const TileProgram& program, const std::vector<int>& last, Plan& plan) {
  std::vector<int> free;
  const auto& values = program.values();
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Kind::op || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    for (int i = 0; i < tile_arity(values[v].op); ++i) {
      const int arg = values[v].args[i];
      const bool repeated = std::count(values[v].args.begin(), values[v].args.begin() + i, arg) > 0;
      if (!repeated && last[arg] == static_cast<int>(v) && values[arg].kind == Kind::op &&
          plan.places[arg].kind == Place::Kind::buffer) {
        free.push_back(plan.places[arg].index);
      }
    }
    if (plan.places[v].kind != Place::Kind::none) continue;
    if (free.empty()) free.push_back(plan.buffers++);
    plan.places[v] = {Place::Kind::buffer, free.back()};
    free.pop_back();
  }
  for (const auto& output : program.outputs()) {
    if (is_splat(plan, output.value) && plan.scratch < 0) plan.scratch = plan.buffers++;
  }
}

/// An op with its kernel looked up and its dead and splat cases gone.
struct Step {
  TileFn fn;
  int value;
  std::array<int, 3> args;
  unsigned splat;
};

std::vector<Step> make_steps(const TileProgram& program, const std::vector<int>& last,
                             const Plan& plan) {
  std::vector<Step> steps;
  for (size_t v = 0; v < program.values().size(); ++v) {
    const auto& value = program.values()[v];
    if (value.kind != Kind::op || is_splat(plan, static_cast<int>(v)) || last[v] < 0) continue;
    Step step{tile_fn(value.op), static_cast<int>(v), {-1, -1, -1}, 0};
    for (int i = 0; i < tile_arity(value.op); ++i) {
      step.args[i] = value.args[i];
      if (is_splat(plan, value.args[i])) step.splat |= 1u << i;
    }
    steps.push_back(step);
  }
  return steps;
}

/// Floats of one buffer: a tile, and a cache line so that buffers do not share their sets.
constexpr size_t kBufferSize = kTileSize + 16;

float* thread_buffers(int count) {
  thread_local std::vector<float> memory;
  const size_t need = static_cast<size_t>(count) * kBufferSize + 16;
  if (memory.size() < need) memory.resize(need);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + ((64 - address % 64) % 64) / sizeof(float);
}

/// Runs a range of tiles on one thread.
class Worker {
 public:
  Worker(const TileProgram& program, const Space& space, const Plan& plan,
         const std::vector<Step>& steps)
      : program_(program),
        space_(space),
        plan_(plan),
        steps_(steps),
        buffers_(thread_buffers(plan.buffers)),
        pointers_(program.values().size()),
        addresses_(space.operands.size()),
        loaded_(space.operands.size()) {
    for (size_t v = 0; v < pointers_.size(); ++v) {
      const Place& place = plan.places[v];
      if (place.kind == Place::Kind::splat) {
        pointers_[v] = const_cast<float*>(plan.splats.data()) + v * kSplatSize;
      } else if (place.kind == Place::Kind::buffer) {
        pointers_[v] = buffers_ + place.index * kBufferSize;
      }
    }
  }

  void run(int64_t unit) {
    locate(unit);
    load();
    const size_t n = static_cast<size_t>(rows_ * cols_);
    for (const Step& step : steps_) {
      const auto at = [&](int i) -> const float* {
        return step.args[i] < 0 ? nullptr : pointers_[step.args[i]];
      };
      step.fn(at(0), at(1), at(2), pointers_[step.value], n, step.splat);
    }
    store();
  }

 private:
  /// Decodes the unit into the address of every operand.
  void locate(int64_t unit) {
    const int rank = space_.rank;
    const int64_t col = unit % space_.col_tiles * space_.cols;
    unit /= space_.col_tiles;
    const int64_t row = unit % space_.row_tiles * space_.rows;
    unit /= space_.row_tiles;
    cols_ = std::min(space_.cols, space_.inner() - col);
    const bool packed = space_.rows > 1 || space_.row_tiles > 1;
    rows_ = packed ? std::min(space_.rows, space_.dims[rank - 2] - row) : 1;
    std::array<int64_t, kMaxTileRank> index;
    int outer_rank = rank - 1;
    index[rank - 1] = col;
    if (packed) index[--outer_rank] = row;
    for (int d = outer_rank - 1; d >= 0; --d) {
      index[d] = unit % space_.dims[d];
      unit /= space_.dims[d];
    }
    for (size_t i = 0; i < addresses_.size(); ++i) {
      const Operand& operand = space_.operands[i];
      int64_t offset = 0;
      for (int d = 0; d < rank; ++d) offset += index[d] * operand.strides[d];
      addresses_[i] = operand.data + offset * operand.size;
    }
    for (size_t v = 0; v < pointers_.size(); ++v) {
      const Place& place = plan_.places[v];
      if (place.kind == Place::Kind::source) {
        pointers_[v] = reinterpret_cast<float*>(addresses_[place.index]);
      } else if (place.kind == Place::Kind::target) {
        pointers_[v] = reinterpret_cast<float*>(addresses_[program_.input_count() + place.index]);
      }
    }
  }

  void load() {
    for (size_t i = 0; i < plan_.source_slots.size(); ++i) {
      if (plan_.source_slots[i] < 0) continue;
      // Broadcast operands come by again; their tile is still there.
      const Loaded now{addresses_[i], rows_, cols_};
      if (loaded_[i] == now) continue;
      loaded_[i] = now;
      const Operand& operand = space_.operands[i];
      float* to = buffers_ + plan_.source_slots[i] * kBufferSize;
      const int64_t stride = operand.strides[space_.rank - 1];
      if (is_flat(space_, operand)) {
        tile_load(operand.dtype, addresses_[i], stride, to, static_cast<size_t>(rows_ * cols_));
        continue;
      }
      const int64_t row_bytes = operand.strides[space_.rank - 2] * operand.size;
      for (int64_t r = 0; r < rows_; ++r) {
        tile_load(operand.dtype, addresses_[i] + r * row_bytes, stride, to + r * cols_,
                  static_cast<size_t>(cols_));
      }
    }
  }

  void store() {
    const size_t n = static_cast<size_t>(rows_ * cols_);
    for (size_t o = 0; o < plan_.stored.size(); ++o) {
      if (!plan_.stored[o]) continue;
      const int v = program_.outputs()[o].value;
      const float* from = pointers_[v];
      if (is_splat(plan_, v)) {
        float* scratch = buffers_ + plan_.scratch * kBufferSize;
        tile_fn(TileOp::copy)(from, nullptr, nullptr, scratch, n, 1);
        from = scratch;
      }
      const size_t i = static_cast<size_t>(program_.input_count()) + o;
      const Operand& operand = space_.operands[i];
      const int64_t stride = operand.strides[space_.rank - 1];
      if (is_flat(space_, operand)) {
        tile_store(operand.dtype, from, addresses_[i], stride, n);
        continue;
      }
      const int64_t row_bytes = operand.strides[space_.rank - 2] * operand.size;
      for (int64_t r = 0; r < rows_; ++r) {
        tile_store(operand.dtype, from + r * cols_, addresses_[i] + r * row_bytes, stride,
                   static_cast<size_t>(cols_));
      }
    }
  }

  struct Loaded {
    const char* address = nullptr;
    int64_t rows = 0, cols = 0;
    bool operator==(const Loaded&) const = default;
  };

  const TileProgram& program_;
  const Space& space_;
  const Plan& plan_;
  const std::vector<Step>& steps_;
  float* buffers_;
  std::vector<float*> pointers_;
  std::vector<char*> addresses_;
  std::vector<Loaded> loaded_;
  int64_t rows_ = 1, cols_ = 1;
};

/// The tile size for which buffers and operands in place fill at most 24 KiB of a 32 KiB cache.
int64_t tile_size(const Plan& plan, size_t operands) {
  const int64_t lanes = 6144 / std::max<int64_t>(1, plan.buffers + static_cast<int64_t>(operands));
  return std::clamp<int64_t>(lanes / 64 * 64, 256, kTileSize);
}

}  // namespace

void run_tile_program(const TileProgram& program, std::span<const int64_t> dims,
                      std::span<const TileSource> sources, std::span<const TileTarget> targets) {
  DS_ASSERT(static_cast<int>(sources.size()) == program.input_count() &&
                targets.size() == program.outputs().size() && dims.size() <= kMaxTileRank,
            sources.size(), " sources, ", targets.size(), " targets, rank ", dims.size());
  if (std::find(dims.begin(), dims.end(), 0) != dims.end() || targets.empty()) return;
  Space space;
  make_operands(program, dims, sources, targets, space);
  collapse(space, sources.size());
  // Packing rows decides which operands are used in place, and these how large a tile may be, so
  // the division for the largest tile is tried first.
  Plan plan;
  const std::vector<int> last = last_uses(program);
  int64_t tile = kTileSize;
  for (int attempt = 0; attempt < 2; ++attempt) {
    space.rows = space.row_tiles = space.col_tiles = space.outer = 1;
    divide(space, tile);
    plan = Plan{};
    plan.places.resize(program.values().size());
    evaluate_splats(program, space, plan);
    place_sources(program, space, last, plan);
    place_targets(program, space, last, plan);
    place_temporaries(program, last, plan);
    tile = tile_size(plan, sources.size() + targets.size());
    if (tile == static_cast<int64_t>(kTileSize)) break;
  }
  const std::vector<Step> steps = make_steps(program, last, plan);
  const int64_t tile_elements = space.rows * space.cols;
  const int64_t grain_elements = 65536 / (2 + static_cast<int64_t>(steps.size()));
  parallel_for(space.units(), std::max<int64_t>(1, grain_elements / tile_elements),
               [&](int64_t begin, int64_t end) {
                 Worker worker(program, space, plan, steps);
                 for (int64_t unit = begin; unit < end; ++unit) worker.run(unit);
               });
}

}  // namespace ds::cpu
