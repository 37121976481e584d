// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/tiles.h"

#include <algorithm>

#include "ds/base/parallel.h"

namespace ds::cpu {

int Tiles::source(const View& view) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const View& other = sources[i];
    if (other.slot == view.slot && other.offset == view.offset && other.dtype == view.dtype &&
        other.strides == view.strides)
      return numbers_[i];
  }
  sources.push_back(view);
  numbers_.push_back(program.input(view.dtype));
  return numbers_.back();
}

int Tiles::dropout(int x, const View& state, double p, int64_t call) {
  View numbers = state;
  numbers.strides = contiguous_strides(dims);
  sources.push_back(numbers);
  numbers_.push_back(program.dropout_mask(p, call));
  const int scale = program.constant(static_cast<float>(1 / (1 - p)));
  // Chosen, not multiplied: a dropped NaN is 0.
  return program.apply(TileOp::where, numbers_.back(), program.apply(TileOp::mul, x, scale),
                       program.constant(0));
}

void Tiles::target(int value, const View& view) {
  targets.push_back(view);
  program.output(value, view.dtype);
}

void Tiles::allow_in_place(Step& step) const {
  for (const View& source : sources) {
    const bool read_twice = std::count_if(sources.begin(), sources.end(), [&](const View& other) {
                              return other.slot == source.slot;
                            }) > 1;
    if (read_twice) continue;
    for (const View& target : targets) step.allow_in_place(source, target);
  }
}

namespace {

std::vector<const int64_t*> strides_of(const Tiles& tiles) {
  std::vector<const int64_t*> strides;
  for (const View& view : tiles.sources) strides.push_back(view.strides.data());
  for (const View& view : tiles.targets) strides.push_back(view.strides.data());
  return strides;
}

}  // namespace

TileStep::TileStep(Tiles tiles)
    : tiles_(std::move(tiles)),
      runner_(tiles_.program, {tiles_.dims.data(), tiles_.dims.size()}, strides_of(tiles_)),
      from_(tiles_.sources.size()),
      to_(tiles_.targets.size()) {}

int64_t TileStep::prepare(const Frame& frame) {
  for (size_t i = 0; i < from_.size(); ++i) from_[i] = frame.at(tiles_.sources[i]);
  for (size_t i = 0; i < to_.size(); ++i) to_[i] = frame.at(tiles_.targets[i]);
  return runner_.prepare(from_, to_);
}

void TileStep::run(const Frame& frame) {
  parallel_for(prepare(frame), runner_.grain(),
               [this](int64_t begin, int64_t end) { runner_.run(begin, end); });
}

Step& emit_tiles(Lowering& l, const Node& node, std::string kernel, Tiles tiles) {
  double ops = 0;
  for (const auto& value : tiles.program.values())
    ops += value.kind == TileProgram::Value::Kind::op;
  const double flops = ops * static_cast<double>(tiles.dims.numel());
  const std::vector<View> reads = tiles.sources, writes = tiles.targets;
  auto planned = std::make_shared<TileStep>(std::move(tiles));
  Step& step = l.emit(node, std::move(kernel), reads, writes,
                      [planned](const Frame& frame) { planned->run(frame); });
  planned->tiles().allow_in_place(step);
  step.tiles = std::move(planned);
  step.info.flops = flops;
  return step;
}

}  // namespace ds::cpu
