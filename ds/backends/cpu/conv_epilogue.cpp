// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/conv_epilogue.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "ds/backends/cpu/invalid_flag.h"
#include "ds/backends/cpu/tiles.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// One operation on the running value; `operand` is the other one, where there is one.
struct Link {
  Op op;
  const Node* operand;
};

/// An operand without the expansions around it.
const Node* without_expand(const Node* node) {
  while (node->op() == Op::expand_) node = node->input(0).node.get();
  return node;
}

/// One number, one per channel, or one per element.
bool fits(const Shape& operand, const Shape& dims) {
  if (operand.numel() == 1 || operand == dims) return true;
  return operand.rank() == dims.rank() && operand[1] == dims[1] && operand.numel() == dims[1];
}

std::optional<Link> link(const Node& node, const Node* running, const Shape& dims) {
  if (node.op() == Op::relu_) return Link{Op::relu_, nullptr};
  const bool sum = node.op() == Op::add_ || node.op() == Op::mul_;
  if (!sum && node.op() != Op::maximum_ && node.op() != Op::minimum_) return std::nullopt;
  const bool first = node.input(0).node.get() == running;
  const Node* other = without_expand(node.input(first ? 1 : 0).node.get());
  const bool known = other->op() == Op::constant_ || (sum && other->op() == Op::input_);
  if (!known || other->type().dtype != DType::f32 || !fits(other->type().shape, dims))
    return std::nullopt;
  return Link{node.op(), other};
}

double number(const Link& link) { return link.operand->attr_float("value"); }

/// The operations from the input to the output; nothing when they are no chain.
std::vector<Link> find_chain(const Node& fused, size_t input) {
  const Graph& body = *fused.body();
  const Shape& dims = fused.type().shape;
  const Node* running = body.inputs[input].get();
  if (fused.outputs() != 1 || fused.type().dtype != DType::f32 ||
      !(running->type() == fused.type()))
    return {};
  std::unordered_map<const Node*, std::vector<const Node*>> readers;
  for (const NodePtr& node : body.topological())
    for (const Value& value : node->inputs()) readers[value.node.get()].push_back(node.get());
  std::vector<Link> chain;
  while (running != body.outputs[0].node.get()) {
    if (readers[running].size() != 1) return {};
    const Node* next = readers[running][0];
    const std::optional<Link> found = link(*next, running, dims);
    if (!found) return {};
    chain.push_back(*found);
    running = next;
  }
  return readers[running].empty() ? chain : std::vector<Link>{};
}

/// A chain as oneDNN's operations, with the operands of add and mul in order.
struct Epilogue {
  std::vector<PostOp> ops;
  std::vector<const Node*> operands;  // inputs or constants of the body
  std::string name;
};

/// maximum and minimum by constants, in either order, as one range.
std::optional<PostOp> clip(const Link& first, const Link& second) {
  const bool low_first = first.op == Op::maximum_ && second.op == Op::minimum_;
  if (!low_first && !(first.op == Op::minimum_ && second.op == Op::maximum_)) return std::nullopt;
  const double low = number(low_first ? first : second), high = number(low_first ? second : first);
  if (!(low <= high)) return std::nullopt;
  return PostOp{PostOp::Kind::clip, static_cast<float>(low), static_cast<float>(high), {}};
}

std::optional<Epilogue> make_epilogue(const std::vector<Link>& chain) {
  Epilogue epilogue;
  for (size_t i = 0; i < chain.size(); ++i) {
    const Link& at = chain[i];
    epilogue.name += str("+", op_name(at.op));
    if (at.op == Op::relu_ || (at.op == Op::maximum_ && number(at) == 0 && i + 1 == chain.size())) {
      epilogue.ops.push_back({PostOp::Kind::relu});
    } else if (at.op == Op::add_ || at.op == Op::mul_) {
      epilogue.ops.push_back({at.op == Op::add_ ? PostOp::Kind::add : PostOp::Kind::mul});
      epilogue.operands.push_back(at.operand);
    } else {
      const std::optional<PostOp> both =
          i + 1 < chain.size() && chain[i + 1].operand ? clip(at, chain[i + 1]) : std::nullopt;
      if (!both) return std::nullopt;
      epilogue.ops.push_back(*both);
      epilogue.name += str("+", op_name(chain[++i].op));
    }
  }
  if (epilogue.ops.empty()) return std::nullopt;
  return epilogue;
}

bool can_lose_nan(const Epilogue& epilogue) {
  return std::any_of(epilogue.ops.begin(), epilogue.ops.end(), [](const PostOp& op) {
    return op.kind == PostOp::Kind::relu || op.kind == PostOp::Kind::clip;
  });
}

/// Kernels of oneDNN whose ReLU and clip were seen to raise the flag for a NaN, and for nothing
/// else.
bool raises_flag(const std::string& kernel) {
  return kernel.starts_with("brgconv") || kernel.starts_with("brdgmm") || kernel.starts_with("jit");
}

/// The operand of a link as it lies: dimensions along which it repeats are 1.
View find_operand(Lowering& l, const Node& fused, const Node& operand) {
  const int rank = fused.type().shape.rank();
  const Shape ones(std::vector<int64_t>(static_cast<size_t>(rank), 1));
  if (operand.op() == Op::constant_) {
    const auto value = static_cast<float>(operand.attr_float("value"));
    const char* bytes = reinterpret_cast<const char*>(&value);
    return l.constant(DType::f32, ones, std::vector<char>(bytes, bytes + sizeof value));
  }
  const std::vector<NodePtr>& inputs = fused.body()->inputs;
  const auto at = std::find_if(inputs.begin(), inputs.end(),
                               [&](const NodePtr& input) { return input.get() == &operand; });
  View view = l.view(fused.input(static_cast<int>(at - inputs.begin())));
  for (int d = 0; d < view.dims.rank(); ++d)
    if (view.strides[d] == 0) view.dims[d] = 1;
  if (view.dims.numel() == 1) view.dims = view.strides = ones;
  return fits(view.dims, fused.type().shape)
             ? view
             : l.view(fused.input(static_cast<int>(at - inputs.begin())));
}

/// Where the operands lie; fills in the descriptors of the operations.
std::vector<View> place_operands(Lowering& l, const Node& conv, const Node& fused,
                                 Epilogue& epilogue) {
  std::vector<View> views;
  for (PostOp& op : epilogue.ops) {
    if (op.kind != PostOp::Kind::add && op.kind != PostOp::Kind::mul) continue;
    const View view =
        l.channels_last(conv, find_operand(l, fused, *epilogue.operands[views.size()]));
    op.operand = view.desc();
    views.push_back(view);
  }
  return views;
}

}  // namespace

bool is_epilogue(const Node& fused, size_t input) {
  return make_epilogue(find_chain(fused, input)).has_value();
}

bool lower_with_epilogue(Lowering& l, const Node& conv, const Node& fused, std::string& why) {
  size_t input = 0;
  while (fused.input(static_cast<int>(input)).node.get() != &conv) ++input;
  Epilogue epilogue = *make_epilogue(find_chain(fused, input));
  ConvSpec spec = forward_spec(conv);
  if (Shape(spec.src.dims).numel() == 0 || spec.weights.numel() == 0) {
    why = "nothing to sum";
    return false;
  }
  const std::shared_ptr<const ConvPlan> plain = ConvPlan::make(spec, &why);
  if (!plain) return false;
  const bool careful = can_lose_nan(epilogue);
  if (careful && !(has_invalid_flag() && raises_flag(plain->implementation()))) {
    why = str(plain->implementation(), " may lose a NaN unseen");
    return false;
  }
  const std::vector<View> operands = place_operands(l, conv, fused, epilogue);
  spec.post_ops = epilogue.ops;
  const std::shared_ptr<const ConvPlan> plan = ConvPlan::make(spec, &why);
  if (!plan) return false;
  const PackedLayoutPtr layout = plan->weights_layout();
  if (!layout != !plain->weights_layout() ||
      (layout && !layout->equals(*plain->weights_layout()))) {
    why = "the weights would lie in two ways";
    return false;
  }
  const View in = l.channels_last(conv, l.view(conv.input(0)));
  View weights = l.view(conv.input(1));
  weights = layout ? l.packed(conv, weights, layout) : l.row_major(conv, weights);
  const View out = l.temp(DType::f32, fused.type().shape, spec.dst.strides);
  const View space = l.scratch(std::max(plan->scratchpad_bytes(), plain->scratchpad_bytes()));
  l.define(conv, 0, out);
  Tiles tiles = fused_tiles(l, fused, {out});
  std::vector<View> reads{in, weights, space};
  reads.insert(reads.end(), operands.begin(), operands.end());
  for (const View& source : tiles.sources)
    if (source.slot != out.slot) reads.push_back(source);
  const auto sweep = std::make_shared<TileStep>(std::move(tiles));
  Step& step =
      l.emit(conv, "dnnl:" + plan->implementation() + epilogue.name, reads, {out},
             [=](const Frame& frame) {
               ConvPlan::Pointers at{frame.at(in), frame.at(weights), nullptr, frame.at(out), {}};
               const ConvPlan::Pointers bare = at;
               for (const View& operand : operands) at.operands.push_back(frame.at(operand));
               if (careful) lower_invalid_flag();
               plan->execute(at, frame.at(space));
               if (!careful || !take_invalid_flag(plan->threads())) return;
               // There may have been a NaN, which ReLU has to keep. (Or the team did something
               // invalid before.)
               plain->execute(bare, frame.at(space));
               sweep->run(frame);
             });
  step.info.flops = forward_flops(conv);
  l.define(fused, 0, out);
  return true;
}

}  // namespace ds::cpu
