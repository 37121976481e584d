// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/lowering.h"

#include <algorithm>
#include <cmath>

#include "ds/backends/cpu/batch.h"
#include "ds/backends/cpu/conv_epilogue.h"
#include "ds/backends/cpu/copy.h"
#include "ds/backends/cpu/dnnl/reorder.h"
#include "ds/backends/cpu/tiles.h"
#include "ds/base/error.h"
#include "ds/base/options.h"
#include "ds/base/parallel.h"
#include "ds/ir/cost.h"
#include "ds/ir/phase.h"
#include "ds/runtime/layout_of_several.h"

namespace ds::cpu {
namespace {

// To start and to join a thread costs some microseconds, and more where the user's program keeps a
// processor busy. In ten of them a processor computes or reads about this much.
constexpr double kFlopsOfThread = 1e6, kBytesOfThread = 128 << 10;

/// Threads that pay for a product: oneDNN takes all it is given. Our own loops know their grain.
int threads_for(const Node& node) {
  if (node.info().op_class != OpClass::contraction) return num_threads();
  const Cost cost = node_cost(node);
  const double most = std::max(cost.flops / kFlopsOfThread, cost.bytes / kBytesOfThread);
  return static_cast<int>(std::min<double>(num_threads(), std::ceil(most)));
}

}  // namespace

Lowering::Lowering(const Graph& graph, const CompileOptions& options)
    : graph_(graph), order_(graph.topological()), options_(options) {
  const auto note = [this](const Value& value) {
    auto& read = reads_[value.node.get()];
    read.resize(static_cast<size_t>(value.node->outputs()));
    read[static_cast<size_t>(value.index)] = true;
  };
  for (const NodePtr& node : order_) {
    for (const Value& input : node->inputs()) note(input);
    if (node->op() != Op::matmul_ && node->op() != Op::convolution_ && node->op() != Op::recurrent_)
      continue;
    const Node* weight = node->input(node->op() == Op::recurrent_ ? 2 : 1).node.get();
    while (weight->op() == Op::permute_ || weight->op() == Op::reshape_)
      weight = weight->input(0).node.get();
    if (weight->op() == Op::cast_) weight_casts_.insert(weight);
  }
  for (const Value& output : graph.outputs) note(output);
  find_taken_up();
}

void Lowering::find_taken_up() {
  std::unordered_map<const Node*, int> readers;
  for (const NodePtr& node : order_)
    for (const Value& input : node->inputs()) ++readers[input.node.get()];
  for (const Value& output : graph_.outputs) ++readers[output.node.get()];
  // A convolution that takes up what follows rounds once to 16 bits instead of after every
  // operation. Within a training step it may be computed again, with other readers, and has to give
  // the same.
  trains_ = std::any_of(order_.begin(), order_.end(),
                        [](const NodePtr& node) { return in_backward(*node); });
  for (const NodePtr& node : order_) {
    if (node->op() == Op::sum_) {
      const Value& squares = node->input(0);
      if (squares.node->op() == Op::square_ && squares.dtype() == DType::f32 &&
          readers[squares.node.get()] == 1) {
        taken_up_[node.get()] = squares.node.get();
        postponed_.insert(squares.node.get());
      }
    }
    if (node->op() != Op::fused_) continue;
    for (size_t i = 0; i < node->inputs().size(); ++i) {
      const Node* conv = node->input(static_cast<int>(i)).node.get();
      if (conv->op() != Op::convolution_ || readers[conv] != 1 ||
          !is_epilogue(*node, i, /*exact=*/trains_))
        continue;
      taken_up_[node.get()] = conv;
      postponed_.insert(conv);
      const Node* weights = conv->input(1).node.get();
      if (weights->op() == Op::cast_ && readers[weights] == 1) postponed_.insert(weights);
      for (const Value& input : node->inputs()) {
        const Node* operand = input.node.get();
        while (operand->op() == Op::reshape_ || operand->op() == Op::expand_)
          operand = operand->input(0).node.get();
        if (operand->op() == Op::fused_) operands_.insert(operand);
      }
      break;
    }
  }
}

const View& Lowering::weights_of(const Node& conv) {
  const Value& weights = conv.input(1);
  if (!views_.count(weights.node.get())) lower(*weights.node);
  return view(weights);
}

const Node* Lowering::taken_up(const Node& node) const {
  const auto found = taken_up_.find(&node);
  return found == taken_up_.end() ? nullptr : found->second;
}

bool Lowering::is_read(const Node& node, int output) const {
  const auto found = reads_.find(&node);
  return found != reads_.end() && found->second[static_cast<size_t>(output)];
}

std::unique_ptr<Executable> Lowering::compile() {
  declare_inputs();
  for (const NodePtr& node : order_)
    if (node->op() != Op::input_) lower(*node);
  parts_.nodes = order_;
  place_outputs();
  const std::vector<int> memory = memory_of_slots();
  parts_.steps = put_first_what_inputs_give(std::move(parts_.steps), parts_.slots, memory);
  parts_.steps = batch_small_steps(std::move(parts_.steps), memory);
  return finish(std::move(parts_), options_);
}

/// A number per slot, the same for those that are an output and for the input that gives it its
/// memory.
std::vector<int> Lowering::memory_of_slots() const {
  std::vector<int> memory;
  std::map<int, int> outputs;
  for (size_t i = 0; i < parts_.slots.size(); ++i) {
    const Slot& slot = parts_.slots[i];
    memory.push_back(static_cast<int>(i));
    if (slot.kind != SlotKind::output) continue;
    memory.back() = outputs.emplace(slot.index, memory.back()).first->second;
    for (const auto& [output, input] : options_.donations)
      if (output == slot.index) memory.back() = input;  // slots begin with the inputs
  }
  return memory;
}

void Lowering::declare_inputs() {
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const Node& node = *graph_.inputs[i];
    const Type& type = node.type();
    const LayoutPtr layout =
        i < options_.input_layouts.size() ? options_.input_layouts[i] : nullptr;
    const size_t bytes = layout ? layout->nbytes() : type_bytes(type);
    parts_.slots.push_back({SlotKind::input, static_cast<int>(i), bytes, {}});
    DS_ASSERT(!layout, "cpu: input in layout ", layout->text());
    define(node, 0,
           {static_cast<int>(parts_.slots.size()) - 1, type.dtype, type.shape,
            contiguous_strides(type.shape), 0});
  }
}

const View& Lowering::view(const Value& value) const {
  const auto found = views_.find(value.node.get());
  DS_ASSERT(found != views_.end(), op_name(value.node->op()), " was not lowered");
  return found->second[static_cast<size_t>(value.index)];
}

void Lowering::define(const Node& node, int output, View view) {
  DS_ASSERT(view.dims == node.type(output).shape, op_name(node.op()), ": lowered as ", view.dims,
            " instead of ", node.type(output));
  DS_ASSERT(view.dtype == node.type(output).dtype, op_name(node.op()), ": lowered as ", view.dtype,
            " instead of ", node.type(output));
  makers_.emplace(view.slot, &node);
  auto& views = views_[&node];
  views.resize(static_cast<size_t>(node.outputs()));
  views[static_cast<size_t>(output)] = std::move(view);
}

const Node& Lowering::maker(const View& view, const Node& node) const {
  const auto found = makers_.find(view.slot);
  return found == makers_.end() ? node : *found->second;
}

View Lowering::temp(DType dtype, const Shape& dims) {
  return temp(dtype, dims, contiguous_strides(dims));
}

View Lowering::temp(DType dtype, const Shape& dims, const Shape& strides) {
  const size_t bytes = type_bytes({dtype, dims});
  parts_.slots.push_back({SlotKind::temporary, 0, bytes, {}});
  return {static_cast<int>(parts_.slots.size()) - 1, dtype, dims, strides, 0};
}

View Lowering::scratch(size_t bytes) { return temp(DType::u8, {static_cast<int64_t>(bytes)}); }

View Lowering::constant(DType dtype, const Shape& dims, std::vector<char> bytes) {
  parts_.slots.push_back({SlotKind::constant, 0, bytes.size(), std::move(bytes)});
  return {static_cast<int>(parts_.slots.size()) - 1, dtype, dims, contiguous_strides(dims), 0};
}

Step& Lowering::emit(const Node& node, std::string kernel, const std::vector<View>& reads,
                     const std::vector<View>& writes, std::function<void(const Frame&)> run) {
  Step step;
  step.info.kernel = std::move(kernel);
  step.info.node = &node;
  for (const View& view : reads) {
    step.reads.push_back(view.slot);
    step.info.bytes += static_cast<double>(view.stored_bytes());
  }
  for (const View& view : writes) {
    step.writes.push_back(view.slot);
    step.info.bytes += static_cast<double>(view.stored_bytes());
  }
  step.run = std::move(run);
  parts_.steps.push_back(std::move(step));
  return parts_.steps.back();
}

void Lowering::emit_copy(const Node& node, const View& src, const View& dst) {
  emit(node, "cpu:copy", {src}, {dst}, [plan = CopyPlan(dst, src), src, dst](const Frame& frame) {
    plan.run(frame.at(dst), frame.at(src));
  });
}

View Lowering::arranged(const Node& node, const View& view, const Shape& strides) {
  if (view.strides == strides) return view;
  const CopyKey key{view.slot,          view.offset,   view.dtype, view.dims.vec(),
                    view.strides.vec(), strides.vec(), view.dtype, nullptr};
  const auto found = copies_.find(key);
  if (found != copies_.end()) return found->second;
  const View copy = temp(view.dtype, view.dims, strides);
  emit_copy(maker(view, node), view, copy);
  return copies_[key] = copy;
}

View Lowering::row_major(const Node& node, const View& view) {
  if (!view.row_major()) return arranged(node, view, contiguous_strides(view.dims));
  View same = view;  // size 1 dimensions get regular strides
  same.strides = contiguous_strides(view.dims);
  return same;
}

View Lowering::channels_last(const Node& node, const View& view) {
  const Shape strides = cpu::channels_last(view.dtype, view.dims).strides;
  if (!is_channels_last(view.desc())) return arranged(node, view, strides);
  View same = view;
  same.strides = strides;
  return same;
}

View Lowering::dense(const Node& node, const View& view) {
  return is_dense(view) ? view : arranged(node, view, strides_like(view.dims, view.strides));
}

View Lowering::cast(const Node& node, const View& view, DType dtype) {
  if (view.dtype == dtype) return view;
  const Shape strides = strides_like(view.dims, view.strides);
  const CopyKey key{view.slot,          view.offset,   view.dtype, view.dims.vec(),
                    view.strides.vec(), strides.vec(), dtype,      nullptr};
  const auto found = copies_.find(key);
  if (found != copies_.end()) return found->second;
  const View copy = temp(dtype, view.dims, strides);
  Tiles tiles;
  tiles.dims = view.dims;
  tiles.target(tiles.source(view), copy);
  emit_tiles(*this, maker(view, node), "cpu:cast", std::move(tiles));
  return copies_[key] = copy;
}

View Lowering::packed(const Node& node, const View& view, const PackedLayoutPtr& layout) {
  const View plain = row_major(node, view);
  for (const auto& [key, copy] : copies_) {
    const auto* known = static_cast<const PackedLayout*>(std::get<7>(key));
    if (known && std::get<0>(key) == plain.slot && std::get<1>(key) == plain.offset &&
        known->equals(*layout))
      return copy;
  }
  const CopyKey key{plain.slot, plain.offset, plain.dtype, plain.dims.vec(),
                    {},         {},           plain.dtype, layout.get()};
  auto plan = std::make_shared<ReorderPlan>(ReorderPlan::Direction::pack, plain.dtype, layout);
  const bool keep = is_kept(plain) && !is_made(plain);
  const View copy = keep ? input_copy(inputs_of({plain})[0], layout) : scratch(layout->nbytes());
  const View space = scratch(plan->scratchpad_bytes());
  Step& step = emit(
      maker(plain, node), "dnnl:reorder", {plain, space}, {copy},
      [=](const Frame& frame) { plan->execute(frame.at(plain), frame.at(copy), frame.at(space)); });
  if (keep) make_copies(step, {copy});
  layouts_.push_back(layout);  // the key's pointer stays valid
  return copies_[key] = copy;
}

View Lowering::packed(const Node& node, const View& view, const LayoutPtr& layout,
                      std::string kernel, std::function<void(const void* from, void* to)> fill) {
  const View plain = row_major(node, view);
  for (const auto& [from, known, copy] : own_copies_)
    if (from.slot == plain.slot && from.offset == plain.offset && known->equals(*layout))
      return copy;
  const bool keep = is_kept(plain) && !is_made(plain);
  const View copy = keep ? input_copy(inputs_of({plain})[0], layout) : scratch(layout->nbytes());
  Step& step = emit(maker(plain, node), std::move(kernel), {plain}, {copy},
                    [=](const Frame& frame) { fill(frame.at(plain), frame.at(copy)); });
  if (keep) make_copies(step, {copy});
  own_copies_.emplace_back(plain, layout, copy);
  return copy;
}

namespace {

/// All elements in their order, in another dtype.
class CastLayout final : public Layout {
 public:
  CastLayout(DType dtype, int64_t count) : dtype_(dtype), count_(count) {}
  size_t nbytes() const override { return static_cast<size_t>(count_) * dtype_size(dtype_); }
  uint64_t hash() const override { return static_cast<uint64_t>(dtype_); }
  bool equals(const Layout& other) const override {
    const auto* cast = dynamic_cast<const CastLayout*>(&other);
    return cast && cast->dtype_ == dtype_ && cast->count_ == count_;
  }
  std::string text() const override { return str("as ", dtype_); }

 private:
  DType dtype_;
  int64_t count_;
};

std::vector<int> behind_first(const std::vector<int>& inputs) {
  return {inputs.begin() + 1, inputs.end()};
}

/// What a graph, given as text, makes of inputs.
class MadeLayout final : public LayoutOfSeveral {
 public:
  MadeLayout(const std::vector<int>& inputs, std::string text, size_t bytes)
      : LayoutOfSeveral(behind_first(inputs)), text_(std::move(text)), bytes_(bytes) {}
  size_t nbytes() const override { return bytes_; }
  uint64_t hash() const override { return std::hash<std::string>()(text_); }
  bool equals(const Layout& other) const override {
    const auto* made = dynamic_cast<const MadeLayout*>(&other);
    return made && made->text_ == text_;
  }
  std::string text() const override { return text_; }

 private:
  std::string text_;
  size_t bytes_;
};

/// Weights times a number for each output channel.
class ScaledLayout final : public LayoutOfSeveral {
 public:
  ScaledLayout(const std::vector<int>& inputs, DType dtype, PackedLayoutPtr packed, LayoutPtr scale,
               size_t bytes)
      : LayoutOfSeveral(behind_first(inputs)),
        dtype_(dtype),
        packed_(std::move(packed)),
        scale_(std::move(scale)),
        bytes_(bytes) {}
  size_t nbytes() const override { return bytes_; }
  uint64_t hash() const override { return packed_ ? packed_->hash() + 1 : 1; }
  bool equals(const Layout& other) const override {
    const auto same = [](const Layout* a, const Layout* b) {
      return a && b ? a->equals(*b) : a == b;
    };
    const auto* scaled = dynamic_cast<const ScaledLayout*>(&other);
    return scaled && scaled->dtype_ == dtype_ && same(scaled->packed_.get(), packed_.get()) &&
           same(scaled->scale_.get(), scale_.get());
  }
  std::string text() const override {
    return str("scaled ", packed_ ? packed_->text() : str(dtype_));
  }

 private:
  DType dtype_;
  PackedLayoutPtr packed_;  // null is row-major
  LayoutPtr scale_;         // of the numbers; null when they are an input as it is
  size_t bytes_;
};

}  // namespace

bool Lowering::keep_cast(const Node& node) {
  if (!weight_casts_.count(&node)) return false;
  const View& from = view(node.input(0));
  const DType dtype = node.type().dtype;
  // Permuted or not, the elements follow each other in memory.
  if (!is_kept(from) || is_made(from) || !is_dense(from)) return false;
  const View flat{from.slot, from.dtype, {from.numel()}, {1}, 0};
  const auto layout = std::make_shared<CastLayout>(dtype, from.numel());
  const int slot = input_copy(inputs_of({from})[0], layout).slot;
  Tiles tiles;
  tiles.dims = flat.dims;
  tiles.target(tiles.source(flat), {slot, dtype, flat.dims, flat.strides, 0});
  Step& step = emit_tiles(*this, node, "cpu:cast", std::move(tiles));
  make_copies(step, {{slot, dtype, flat.dims, flat.strides, 0}});
  define(node, 0, {slot, dtype, from.dims, from.strides, 0});
  return true;
}

bool Lowering::is_kept(const View& view) const {
  const Slot& slot = parts_.slots[static_cast<size_t>(view.slot)];
  if (slot.kind == SlotKind::copy) return view.offset == 0 && view.bytes() == slot.bytes;
  if (slot.kind != SlotKind::input || view.offset != 0 || view.bytes() != slot.bytes) return false;
  return std::none_of(options_.donations.begin(), options_.donations.end(),
                      [&](const auto& pair) { return pair.second == slot.index; });
}

std::vector<int> Lowering::inputs_of(const std::vector<View>& views) const {
  std::vector<int> inputs;
  const auto add = [&](int input) {
    if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) inputs.push_back(input);
  };
  for (const View& view : views) {
    const Slot& slot = parts_.slots[static_cast<size_t>(view.slot)];
    if (slot.kind == SlotKind::input) {
      add(slot.index);
      continue;
    }
    const InputCopy& copy = parts_.copies[static_cast<size_t>(slot.index)];
    add(copy.input);
    if (const auto* several = dynamic_cast<const LayoutOfSeveral*>(copy.layout.get()))
      for (const int input : several->others()) add(input);
  }
  return inputs;
}

bool Lowering::is_made(const View& view) const {
  const Slot& slot = parts_.slots[static_cast<size_t>(view.slot)];
  return slot.kind == SlotKind::copy &&
         dynamic_cast<const LayoutOfSeveral*>(
             parts_.copies[static_cast<size_t>(slot.index)].layout.get());
}

View Lowering::input_copy(int input, const LayoutPtr& layout) {
  const auto bytes = static_cast<int64_t>(layout->nbytes());
  parts_.slots.push_back(
      {SlotKind::copy, static_cast<int>(parts_.copies.size()), layout->nbytes(), {}});
  parts_.copies.push_back({input, layout});
  return {static_cast<int>(parts_.slots.size()) - 1, DType::u8, {bytes}, {1}, 0};
}

void Lowering::make_copies(Step& step, const std::vector<View>& copies) const {
  for (const View& copy : copies)
    step.for_copies.push_back(parts_.slots[static_cast<size_t>(copy.slot)].index);
}

std::vector<View> Lowering::kept_outputs(const Node& fused) {
  if (!operands_.count(&fused) || fused.type().shape.numel() > kSmallStep) return {};
  std::vector<View> inputs, outputs;
  for (const Value& input : fused.inputs()) {
    inputs.push_back(view(input));
    const Slot& slot = parts_.slots[static_cast<size_t>(inputs.back().slot)];
    if (slot.kind != SlotKind::input || !is_kept(inputs.back())) return {};
  }
  if (inputs.empty()) return {};
  const std::vector<int> made_of = inputs_of(inputs);
  // The body does not say which of the values an input is, nor how it is read.
  std::string text = print_graph(*fused.body());
  for (const View& input : inputs) {
    const int index = parts_.slots[static_cast<size_t>(input.slot)].index;
    text += str(std::find(made_of.begin(), made_of.end(), index) - made_of.begin(), " ",
                input.strides, "; ");
  }
  for (int i = 0; i < fused.outputs(); ++i) {
    const Type& type = fused.type(i);
    const auto layout =
        std::make_shared<MadeLayout>(made_of, str("output ", i, " of ", text), type_bytes(type));
    outputs.push_back({input_copy(made_of[0], layout).slot, type.dtype, type.shape,
                       contiguous_strides(type.shape), 0});
  }
  return outputs;
}

View Lowering::scaled_weights(const Node& node, const View& weights, const View& scale, DType dtype,
                              const PackedLayoutPtr& packed) {
  const Slot& factors = parts_.slots[static_cast<size_t>(scale.slot)];
  const LayoutPtr made = factors.kind == SlotKind::copy
                             ? parts_.copies[static_cast<size_t>(factors.index)].layout
                             : nullptr;
  const size_t bytes = packed ? packed->nbytes() : type_bytes({dtype, weights.dims});
  const std::vector<int> made_of = inputs_of({weights, scale});
  const View copy =
      input_copy(made_of[0], std::make_shared<ScaledLayout>(made_of, dtype, packed, made, bytes));
  View plain = packed ? temp(dtype, weights.dims) : copy;
  plain.dtype = dtype;
  plain.dims = weights.dims;
  plain.strides = contiguous_strides(weights.dims);
  View factor = scale;
  factor.dims = weights.dims;
  factor.strides = Shape::filled(weights.dims.rank(), 0);
  factor.strides[0] = 1;
  Tiles tiles;
  tiles.dims = weights.dims;
  const int from = tiles.source(weights), by = tiles.source(factor);
  tiles.target(tiles.program.apply(TileOp::mul, from, by), plain);
  make_copies(emit_tiles(*this, node, "cpu:scaled weights", std::move(tiles)), {copy});
  if (!packed) return plain;
  const auto plan = std::make_shared<ReorderPlan>(ReorderPlan::Direction::pack, dtype, packed);
  const View space = scratch(plan->scratchpad_bytes());
  Step& step = emit(node, "dnnl:reorder", {plain, space}, {copy}, [=](const Frame& frame) {
    plan->execute(frame.at(plain), frame.at(copy), frame.at(space));
  });
  make_copies(step, {copy});
  return copy;
}

void Lowering::lower(const Node& node) {
  if (postponed_.erase(&node)) return;
  std::string why;
  if (const Node* conv = node.op() == Op::fused_ ? taken_up(node) : nullptr) {
    const ThreadLimit limit(threads_for(*conv));
    if (lower_with_epilogue(*this, *conv, node, why)) return;
    if (log_enabled("dispatch")) log_line("dispatch", str("cpu: epilogue: ", why));
    weights_of(*conv);
    lower(*conv);
  }
  const ThreadLimit limit(threads_for(node));
  if (const LowerFn function = lower_function(node.op())) {
    const size_t steps = parts_.steps.size();
    if (function(*this, node, why)) return;
    DS_ASSERT(steps == parts_.steps.size(), op_name(node.op()), ": refused after emitting steps");
  } else {
    why = "no kernel";
  }
  if (log_enabled("dispatch")) log_line("dispatch", str("cpu: ", op_name(node.op()), ": ", why));
  lower_reference(*this, node, why);
}

/// A temporary becomes the output's memory when the output is all of it, row-major, and no input
/// that gives its memory to the output is still needed once it is first written.
bool Lowering::may_rename(int slot, size_t output, const View& view) const {
  const Slot& memory = parts_.slots[static_cast<size_t>(slot)];
  if (memory.kind != SlotKind::temporary || view.offset != 0 || !view.row_major() ||
      memory.bytes != view.bytes())
    return false;
  int donor = -1;
  for (const auto& [out, in] : options_.donations)
    if (static_cast<size_t>(out) == output) donor = in;
  if (donor < 0) return true;
  const auto has = [](const std::vector<int>& slots, int s) {
    return std::find(slots.begin(), slots.end(), s) != slots.end();
  };
  bool written = false;
  for (const Step& step : parts_.steps) {
    if (written && has(step.reads, donor)) return false;
    if (!written && has(step.writes, slot)) {
      written = true;
      if (has(step.reads, donor) && !step.may_share(donor, slot)) return false;
    }
  }
  // The donor may itself be what another output still has to copy from.
  for (size_t i = 0; i < graph_.outputs.size(); ++i)
    if (this->view(graph_.outputs[i]).slot == donor) return false;
  return true;
}

/// What an output is written over becomes the output's memory too, as far back as that goes.
void Lowering::write_early(int slot) {
  const auto touches = [](const Step& step, int s) {
    return std::find(step.reads.begin(), step.reads.end(), s) != step.reads.end() ||
           std::find(step.writes.begin(), step.writes.end(), s) != step.writes.end();
  };
  const std::vector<Step>& steps = parts_.steps;
  while (slot >= 0) {
    const Slot& output = parts_.slots[static_cast<size_t>(slot)];
    const auto first = std::find_if(steps.begin(), steps.end(),
                                    [&](const Step& step) { return touches(step, slot); });
    if (first == steps.end()) return;
    int earlier = -1;
    for (const auto& [read, written] : first->in_place) {
      const Slot& memory = parts_.slots[static_cast<size_t>(read)];
      const auto reads = [&, read = read](const Step& step) { return touches(step, read); };
      if (earlier < 0 && written == slot && memory.kind == SlotKind::temporary &&
          memory.bytes == output.bytes && std::none_of(first + 1, steps.end(), reads))
        earlier = read;
    }
    if (earlier >= 0) {
      parts_.slots[static_cast<size_t>(earlier)].kind = SlotKind::output;
      parts_.slots[static_cast<size_t>(earlier)].index = output.index;
    }
    slot = earlier;
  }
}

void Lowering::place_outputs() {
  const size_t count = graph_.outputs.size();
  parts_.layouts.resize(count);
  std::vector<View> sources(count);
  std::vector<bool> placed(count, false);
  for (size_t i = 0; i < count; ++i) {
    const View view = this->view(graph_.outputs[i]);
    if (may_rename(view.slot, i, view)) {
      Slot& slot = parts_.slots[static_cast<size_t>(view.slot)];
      slot.kind = SlotKind::output;
      slot.index = static_cast<int>(i);
      placed[i] = true;
    }
    sources[i] = view;
  }
  // Inputs whose memory an output takes over are read before anything is written to it.
  for (size_t i = 0; i < count; ++i) {
    if (placed[i]) continue;
    const Slot& slot = parts_.slots[static_cast<size_t>(sources[i].slot)];
    const bool gives = slot.kind == SlotKind::input &&
                       std::any_of(options_.donations.begin(), options_.donations.end(),
                                   [&](const auto& pair) { return pair.second == slot.index; });
    if (!gives) continue;
    const View copy = temp(sources[i].dtype, sources[i].dims);
    emit_copy(*graph_.outputs[i].node, sources[i], copy);
    sources[i] = copy;
  }
  for (size_t i = 0; i < count; ++i) {
    if (placed[i]) continue;
    const Type& type = graph_.outputs[i].type();
    parts_.slots.push_back({SlotKind::output, static_cast<int>(i), type_bytes(type), {}});
    const View out{static_cast<int>(parts_.slots.size()) - 1, type.dtype, type.shape,
                   contiguous_strides(type.shape), 0};
    emit_copy(*graph_.outputs[i].node, sources[i], out);
  }
  // Memory that an output takes over keeps its value until a failed step cannot need it any more.
  for (const auto& [output, input] : options_.donations)
    placed[static_cast<size_t>(output)] = false;
  for (size_t i = 0; i < count; ++i)
    if (placed[i]) write_early(sources[i].slot);
}

}  // namespace ds::cpu
