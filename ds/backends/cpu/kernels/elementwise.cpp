// SPDX-License-Identifier: Apache-2.0
// The interpreter of tile programs: runs a plan tile by tile.
#include "ds/backends/cpu/kernels/elementwise.h"

#include <algorithm>

#include "ds/backends/cpu/kernels/random.h"
#include "ds/backends/cpu/kernels/tile_plan.h"
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

int TileProgram::dropout_mask(double p, int64_t call) {
  const int made = input(DType::f32);
  values_.back().is_mask = true;
  values_.back().threshold = philox_dropout_threshold(p);
  values_.back().call = call;
  return made;
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

/// Floats of one buffer: a tile, and a cache line so that buffers do not share their sets.
constexpr size_t kBufferSize = kTileSize + 16;

float* thread_buffers(int count) {
  thread_local std::vector<float> memory;
  const size_t need = static_cast<size_t>(count) * kBufferSize + 16;
  if (memory.size() < need) memory.resize(need);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + ((64 - address % 64) % 64) / sizeof(float);
}

/// n elements from `address` on as f32.
void load_run(const TileOperand& operand, const char* address, int64_t stride, float* to,
              int64_t n) {
  if (!operand.mask) return tile_load(operand.dtype, address, stride, to, static_cast<size_t>(n));
  const PhiloxStream stream(reinterpret_cast<const int64_t*>(operand.data), operand.mask->call);
  dropout_mask(stream, operand.mask->threshold, address - operand.data, stride, to,
               static_cast<size_t>(n));
}

/// Runs a range of tiles on one thread.
class Worker {
  struct Loaded {
    const char* address = nullptr;
    int64_t rows = 0, cols = 0;
    bool operator==(const Loaded&) const = default;
  };

  /// A value that lives in an operand's memory.
  struct Moving {
    size_t value, operand;
  };

  /// Kept by each thread: allocating them takes longer than a program of a few hundred elements.
  struct Tables {
    std::vector<float*> pointers;
    std::vector<char*> addresses;
    std::vector<Loaded> loaded;
    std::vector<Moving> moving;
  };
  static Tables& tables() {
    thread_local Tables made;
    return made;
  }

 public:
  Worker(const TileProgram& program, const TileSpace& space, const TilePlan& plan)
      : program_(program),
        space_(space),
        plan_(plan),
        buffers_(thread_buffers(plan.buffers)),
        pointers_(tables().pointers),
        addresses_(tables().addresses),
        loaded_(tables().loaded),
        moving_(tables().moving) {
    moving_.clear();
    pointers_.assign(program.values().size(), nullptr);
    addresses_.assign(space.operands.size(), nullptr);
    loaded_.assign(space.operands.size(), {});
    for (size_t v = 0; v < pointers_.size(); ++v) {
      const TilePlace& place = plan.places[v];
      if (place.kind == TilePlace::Kind::splat) {
        pointers_[v] = const_cast<float*>(plan.splats.data()) + v * kSplatSize;
      } else if (place.kind == TilePlace::Kind::buffer) {
        pointers_[v] = buffers_ + place.index * kBufferSize;
      } else if (place.kind == TilePlace::Kind::source) {
        moving_.push_back({v, static_cast<size_t>(place.index)});
      } else if (place.kind == TilePlace::Kind::target) {
        moving_.push_back({v, static_cast<size_t>(program.input_count() + place.index)});
      }
    }
  }

  /// Units are run in order.
  void run(int64_t unit) {
    if (rows_left_ > 0)
      step_row();
    else
      locate(unit);
    for (const Moving& m : moving_)
      pointers_[m.value] = reinterpret_cast<float*>(addresses_[m.operand]);
    load();
    const size_t n = static_cast<size_t>(rows_ * cols_);
    for (const TileCall& call : plan_.calls) {
      if (call.code) {
        run_code(call, n);
        continue;
      }
      const auto at = [&](int i) -> const float* {
        return call.args[i] < 0 ? nullptr : pointers_[call.args[i]];
      };
      call.fn(at(0), at(1), at(2), pointers_[call.value], n, call.splat);
    }
    store();
  }

 private:
  void run_code(const TileCall& call, size_t n) const {
    void* pointers[kMaxTilePointers];
    for (size_t i = 0; i < call.pointers.size(); ++i) {
      const int p = call.pointers[i];
      pointers[i] = p >= 0 ? static_cast<void*>(pointers_[static_cast<size_t>(p)])
                           : static_cast<void*>(addresses_[static_cast<size_t>(~p)]);
    }
    call.code(pointers, n);
  }

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
      const TileOperand& operand = space_.operands[i];
      int64_t offset = 0;
      for (int d = 0; d < rank; ++d) offset += index[d] * operand.strides[d];
      addresses_[i] = operand.data + offset * operand.size;
    }
    const bool by_rows = rank > 1 && !packed && space_.col_tiles == 1;
    rows_left_ = by_rows ? space_.dims[rank - 2] - 1 - index[rank - 2] : 0;
  }

  /// Where tiles are rows, most lie one row behind the last.
  void step_row() {
    --rows_left_;
    for (size_t i = 0; i < addresses_.size(); ++i) {
      const TileOperand& operand = space_.operands[i];
      addresses_[i] += operand.strides[space_.rank - 2] * operand.size;
    }
  }

  void load() {
    for (size_t i = 0; i < plan_.source_slots.size(); ++i) {
      const SourceSlot& slot = plan_.source_slots[i];
      if (slot.buffer < 0) continue;
      // Broadcast operands come by again; their tile is still there.
      const Loaded now{addresses_[i], rows_, cols_};
      if (loaded_[i] == now) continue;
      loaded_[i] = now;
      const TileOperand& operand = space_.operands[i];
      float* to = buffers_ + slot.buffer * kBufferSize;
      const int64_t stride = operand.strides[space_.rank - 1];
      if (slot.repeated) {
        tile_load(operand.dtype, addresses_[i], 0, to, kSplatSize);
        continue;
      }
      if (is_flat(space_, operand)) {
        load_run(operand, addresses_[i], stride, to, rows_ * cols_);
        continue;
      }
      const int64_t row_bytes = operand.strides[space_.rank - 2] * operand.size;
      for (int64_t r = 0; r < rows_; ++r) {
        load_run(operand, addresses_[i] + r * row_bytes, stride, to + r * cols_, cols_);
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
      const TileOperand& operand = space_.operands[i];
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

  const TileProgram& program_;
  const TileSpace& space_;
  const TilePlan& plan_;
  float* buffers_;
  std::vector<float*>& pointers_;  ///< of each value
  std::vector<char*>& addresses_;  ///< of each operand
  std::vector<Loaded>& loaded_;
  std::vector<Moving>& moving_;
  int64_t rows_left_ = 0;  ///< that step_row() reaches
  int64_t rows_ = 1, cols_ = 1;
};

}  // namespace

struct TileRunner::State {
  TileProgram program;
  TileSpace space;
  TilePlan plan;
  std::vector<bool> same;  ///< per target and source: one memory, when the plan was made
  bool empty = false, planned = false;

  std::vector<bool> shared_memory() const {
    const auto sources = static_cast<size_t>(program.input_count());
    std::vector<bool> result;
    for (size_t t = sources; t < space.operands.size(); ++t)
      for (size_t s = 0; s < sources; ++s)
        result.push_back(space.operands[t].data == space.operands[s].data);
    return result;
  }
};

TileRunner::TileRunner(TileProgram program, std::span<const int64_t> dims,
                       const std::vector<const int64_t*>& strides)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.program = std::move(program);
  const auto sources = static_cast<size_t>(s.program.input_count());
  DS_ASSERT(strides.size() == sources + s.program.outputs().size() && dims.size() <= kMaxTileRank,
            strides.size(), " operands, rank ", dims.size());
  s.empty = std::find(dims.begin(), dims.end(), 0) != dims.end() || s.program.outputs().empty();
  if (s.empty) return;
  s.space = make_tile_space(s.program, dims, strides);
}

TileRunner::~TileRunner() = default;

int64_t TileRunner::prepare(std::span<const void* const> sources, std::span<void* const> targets) {
  State& s = *state_;
  if (s.empty) return 0;
  for (size_t i = 0; i < sources.size(); ++i)
    s.space.operands[i].data = static_cast<char*>(const_cast<void*>(sources[i]));
  for (size_t i = 0; i < targets.size(); ++i)
    s.space.operands[sources.size() + i].data = static_cast<char*>(targets[i]);
  std::vector<bool> same = s.shared_memory();
  if (!s.planned || same != s.same) {
    s.same = std::move(same);
    s.plan = plan_tiles(s.program, s.space);
    s.planned = true;
  }
  evaluate_splats(s.program, s.space, s.plan);
  return s.space.units();
}

int64_t TileRunner::grain() const {
  const State& s = *state_;
  const int64_t elements = 65536 / (2 + static_cast<int64_t>(s.plan.calls.size()));
  return std::max<int64_t>(1, elements / (s.space.rows * s.space.cols));
}

void TileRunner::run(int64_t begin, int64_t end) const {
  const State& s = *state_;
  Worker worker(s.program, s.space, s.plan);
  for (int64_t unit = begin; unit < end; ++unit) worker.run(unit);
}

void run_tile_program(const TileProgram& program, std::span<const int64_t> dims,
                      std::span<const TileSource> sources, std::span<const TileTarget> targets) {
  std::vector<const int64_t*> strides;
  std::vector<const void*> from;
  std::vector<void*> to;
  for (const TileSource& source : sources) {
    strides.push_back(source.strides);
    from.push_back(source.data);
  }
  for (const TileTarget& target : targets) {
    strides.push_back(target.strides);
    to.push_back(target.data);
  }
  TileRunner runner(program, dims, strides);
  parallel_for(runner.prepare(from, to), runner.grain(),
               [&](int64_t begin, int64_t end) { runner.run(begin, end); });
}

}  // namespace ds::cpu
