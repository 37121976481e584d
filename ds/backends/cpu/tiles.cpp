// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/tiles.h"

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

void Tiles::target(int value, const View& view) {
  targets.push_back(view);
  program.output(value, view.dtype);
}

void Tiles::run(const Frame& frame) const {
  std::vector<TileSource> from;
  std::vector<TileTarget> to;
  for (const View& view : sources) from.push_back({frame.at(view), view.strides.data()});
  for (const View& view : targets) to.push_back({frame.at(view), view.strides.data()});
  run_tile_program(program, {dims.data(), dims.size()}, from, to);
}

std::vector<int> Tiles::scattered() const {
  std::vector<int> slots;
  for (const View& source : sources) {
    bool alike = source.offset == 0;
    for (const View& target : targets)
      alike = alike && source.strides == target.strides &&
              dtype_size(source.dtype) == dtype_size(target.dtype);
    if (!alike) slots.push_back(source.slot);
  }
  return slots;
}

void emit_tiles(Lowering& l, const Node& node, std::string kernel, Tiles tiles) {
  double ops = 0;
  for (const auto& value : tiles.program.values())
    ops += value.kind == TileProgram::Value::Kind::op;
  const double flops = ops * static_cast<double>(tiles.dims.numel());
  const std::vector<int> scattered = tiles.scattered();
  const std::vector<View> reads = tiles.sources, writes = tiles.targets;
  Step& step = l.emit(node, std::move(kernel), reads, writes,
                      [tiles = std::move(tiles)](const Frame& frame) { tiles.run(frame); });
  step.scattered = scattered;
  step.info.flops = flops;
}

}  // namespace ds::cpu
