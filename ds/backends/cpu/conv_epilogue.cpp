// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/conv_epilogue.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <unordered_map>

#include "ds/backends/cpu/invalid_flag.h"
#include "ds/backends/cpu/tiles.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// One operation on the running value; `operand` is the other one, where there is one.
struct Link {
  enum class Kind { relu, hardswish, add, mul, maximum, minimum, silu, gelu, gelu_tanh, sigmoid };
  Kind kind;
  const Node* operand;
};

const char* name_of(Link::Kind kind) {
  static const char* const kNames[] = {"relu",    "hardswish", "add",  "mul",       "maximum",
                                       "minimum", "silu",      "gelu", "gelu_tanh", "sigmoid"};
  return kNames[static_cast<int>(kind)];
}

bool is_dtype(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

/// The processor computes in f32, so that roundings between the operations are left out.
bool is_rounding(const Node& node) {
  return node.op() == Op::cast_ && is_dtype(node.type().dtype) && is_dtype(node.input(0).dtype());
}

/// An operand without the expansions and casts around it.
const Node* bare(const Node* node) {
  while (node->op() == Op::expand_ || is_rounding(*node)) node = node->input(0).node.get();
  return node;
}

double number(const Node& constant) {
  const double value = constant.attr_float("value");
  return constant.type().dtype == DType::bf16 ? static_cast<float>(bf16(static_cast<float>(value)))
                                              : value;
}

bool is_number(const Node* node, double value) {
  return bare(node)->op() == Op::constant_ && number(*bare(node)) == value;
}

/// One per channel.
bool is_per_channel(const Shape& operand, const Shape& dims) {
  return operand.rank() == dims.rank() && operand[1] == dims[1] && operand.numel() == dims[1];
}

/// One number, one per channel, or one per element.
bool fits(const Shape& operand, const Shape& dims) {
  return operand.numel() == 1 || operand == dims || is_per_channel(operand, dims);
}

std::optional<Link> link(const Node& node, const Node* running, const Shape& dims) {
  Link::Kind kind;
  switch (node.op()) {
    case Op::relu_: return Link{Link::Kind::relu, nullptr};
    case Op::silu_: return Link{Link::Kind::silu, nullptr};
    case Op::gelu_: return Link{Link::Kind::gelu, nullptr};
    case Op::gelu_tanh_: return Link{Link::Kind::gelu_tanh, nullptr};
    case Op::sigmoid_: return Link{Link::Kind::sigmoid, nullptr};
    case Op::add_: kind = Link::Kind::add; break;
    case Op::mul_: kind = Link::Kind::mul; break;
    case Op::maximum_: kind = Link::Kind::maximum; break;
    case Op::minimum_: kind = Link::Kind::minimum; break;
    default: return std::nullopt;
  }
  const bool first = node.input(0).node.get() == running;
  const Node* other = bare(node.input(first ? 1 : 0).node.get());
  const bool sum = kind == Link::Kind::add || kind == Link::Kind::mul;
  const bool known = other->op() == Op::constant_ || (sum && other->op() == Op::input_);
  if (!known || !is_dtype(other->type().dtype) || !fits(other->type().shape, dims))
    return std::nullopt;
  return Link{kind, other};
}

/// Adds the limits of a clamp; false when they are no numbers. An infinite one is no limit.
bool add_limits(const Node& clamp, const Node* running, std::vector<Link>& chain) {
  const Node *low = bare(clamp.input(1).node.get()), *high = bare(clamp.input(2).node.get());
  if (clamp.input(0).node.get() != running || low->op() != Op::constant_ ||
      high->op() != Op::constant_)
    return false;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (number(*low) != -kInfinity) chain.push_back({Link::Kind::maximum, low});
  if (number(*high) != kInfinity) chain.push_back({Link::Kind::minimum, high});
  return true;
}

using Readers = std::unordered_map<const Node*, std::vector<const Node*>>;

/// The end of x * min(max(x + 3, 0), 6) / 6; null when it is something else.
const Node* hardswish_end(const Node* x, const Readers& readers) {
  const auto other = [](const Node& node, const Node* one) {
    return node.input(node.input(0).node.get() == one ? 1 : 0).node.get();
  };
  const auto next = [&](const Node* node) -> const Node* {
    const auto found = readers.find(node);
    return found != readers.end() && found->second.size() == 1 ? found->second[0] : nullptr;
  };
  for (const Node* sum : readers.at(x)) {
    if (sum->op() != Op::add_ || !is_number(other(*sum, x), 3)) continue;
    const Node* one = next(sum);
    const Node* two = one ? next(one) : nullptr;
    const Node* product = two ? next(two) : nullptr;
    const Node* end = product ? next(product) : nullptr;
    if (!end || product->op() != Op::mul_ || other(*product, two) != x || end->op() != Op::div_ ||
        end->input(0).node.get() != product || !is_number(end->input(1).node.get(), 6))
      continue;
    const bool low_first = one->op() == Op::maximum_ && two->op() == Op::minimum_;
    if (!low_first && !(one->op() == Op::minimum_ && two->op() == Op::maximum_)) continue;
    if (is_number(other(*one, sum), low_first ? 0 : 6) &&
        is_number(other(*two, one), low_first ? 6 : 0))
      return end;
  }
  return nullptr;
}

/// The operations from the input to the output; nothing when they are no chain.
std::vector<Link> find_chain(const Node& fused, size_t input) {
  const Graph& body = *fused.body();
  const Shape& dims = fused.type().shape;
  const Node* running = body.inputs[input].get();
  if (fused.outputs() != 1 || !is_dtype(fused.type().dtype) || !(running->type() == fused.type()))
    return {};
  Readers readers;
  for (const NodePtr& node : body.topological())
    for (const Value& value : node->inputs()) readers[value.node.get()].push_back(node.get());
  std::vector<Link> chain;
  while (running != body.outputs[0].node.get()) {
    const std::vector<const Node*>& next = readers[running];
    if (next.size() == 2) {
      running = hardswish_end(running, readers);
      if (!running) return {};
      chain.push_back({Link::Kind::hardswish, nullptr});
      continue;
    }
    if (next.size() != 1) return {};
    if (next[0]->op() == Op::clamp_) {
      if (!add_limits(*next[0], running, chain)) return {};
    } else if (!is_rounding(*next[0])) {
      const std::optional<Link> found = link(*next[0], running, dims);
      if (!found) return {};
      chain.push_back(*found);
    }
    running = next[0];
  }
  return readers[running].empty() ? chain : std::vector<Link>{};
}

/// The function of a link that oneDNN computes no faster than a sweep does.
std::optional<TileOp> swept_op(const Link& link) {
  switch (link.kind) {
    case Link::Kind::silu: return TileOp::silu;
    case Link::Kind::gelu: return TileOp::gelu;
    case Link::Kind::gelu_tanh: return TileOp::gelu_tanh;
    case Link::Kind::sigmoid: return TileOp::sigmoid;
    default: return std::nullopt;
  }
}

/// The links in front of the first that is swept.
std::span<const Link> head_of(std::span<const Link> chain) {
  const auto swept = std::find_if(chain.begin(), chain.end(),
                                  [](const Link& at) { return swept_op(at).has_value(); });
  return {chain.begin(), swept};
}

/// A chain as oneDNN's operations, with the operands of add and mul in order.
struct Epilogue {
  std::vector<PostOp> ops;
  std::vector<const Node*> operands;  // inputs or constants of the body
};

/// maximum and minimum by constants, in either order, as one range.
std::optional<PostOp> clip(const Link& first, const Link& second) {
  const bool low_first = first.kind == Link::Kind::maximum && second.kind == Link::Kind::minimum;
  if (!low_first && !(first.kind == Link::Kind::minimum && second.kind == Link::Kind::maximum))
    return std::nullopt;
  const double low = number(*(low_first ? first : second).operand),
               high = number(*(low_first ? second : first).operand);
  if (!(low <= high)) return std::nullopt;
  return PostOp{PostOp::Kind::clip, static_cast<float>(low), static_cast<float>(high), {}};
}

std::optional<Epilogue> make_epilogue(std::span<const Link> chain) {
  Epilogue epilogue;
  for (size_t i = 0; i < chain.size(); ++i) {
    const Link& at = chain[i];
    if (at.kind == Link::Kind::relu ||
        (at.kind == Link::Kind::maximum && number(*at.operand) == 0 && i + 1 == chain.size())) {
      epilogue.ops.push_back({PostOp::Kind::relu, 1, 0, {}});
    } else if (at.kind == Link::Kind::hardswish) {
      epilogue.ops.push_back({PostOp::Kind::hardswish, 1, 0, {}});
    } else if (at.kind == Link::Kind::add || at.kind == Link::Kind::mul) {
      epilogue.ops.push_back(
          {at.kind == Link::Kind::add ? PostOp::Kind::add : PostOp::Kind::mul, 1, 0, {}});
      epilogue.operands.push_back(at.operand);
    } else {
      const std::optional<PostOp> both =
          i + 1 < chain.size() ? clip(at, chain[i + 1]) : std::nullopt;
      if (!both) return std::nullopt;
      epilogue.ops.push_back(*both);
      ++i;
    }
  }
  return epilogue;
}

std::string name_of(std::span<const Link> chain) {
  std::string name;
  for (const Link& at : chain) name += str("+", name_of(at.kind));
  return name;
}

/// The first operation that can turn NaN into a number; the length of the chain when none can.
size_t first_losing(std::span<const Link> chain) {
  const auto loses = [](const Link& at) {
    return at.kind == Link::Kind::relu || at.kind == Link::Kind::maximum ||
           at.kind == Link::Kind::minimum;
  };
  return static_cast<size_t>(std::find_if(chain.begin(), chain.end(), loses) - chain.begin());
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
    const auto value = static_cast<float>(number(operand));
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

/// The chain's operations in one sweep over `out`, in place.
Tiles chain_tiles(Lowering& l, const Node& fused, std::span<const Link> chain, const View& out) {
  Tiles tiles;
  tiles.dims = out.dims;
  TileProgram& program = tiles.program;
  int value = tiles.source(out);
  const auto clip = [&](int x, float low, float high) {
    return program.apply(TileOp::minimum, program.apply(TileOp::maximum, x, program.constant(low)),
                         program.constant(high));
  };
  for (const Link& at : chain) {
    if (at.kind == Link::Kind::relu) {
      value = program.apply(TileOp::relu, value);
    } else if (at.kind == Link::Kind::hardswish) {
      const int sum = program.apply(TileOp::add, value, program.constant(3));
      const int product = program.apply(TileOp::mul, value, clip(sum, 0, 6));
      value = program.apply(TileOp::div, product, program.constant(6));
    } else if (const std::optional<TileOp> function = swept_op(at)) {
      value = program.apply(*function, value);
    } else {
      const int other =
          at.operand->op() == Op::constant_
              ? program.constant(static_cast<float>(number(*at.operand)))
              : tiles.source(expand_view(find_operand(l, fused, *at.operand), out.dims));
      const TileOp op = at.kind == Link::Kind::add       ? TileOp::add
                        : at.kind == Link::Kind::mul     ? TileOp::mul
                        : at.kind == Link::Kind::maximum ? TileOp::maximum
                                                         : TileOp::minimum;
      value = program.apply(op, value, other);
    }
  }
  tiles.target(value, out);
  return tiles;
}

/// The first operations of a chain as part of the convolution itself.
struct Folded {
  View weights;  // f32, to be multiplied by `scale`; without a slot when they are not
  View scale;
  View bias;  // without a slot when there is none
};

/// Takes from the front of the chain what weights and bias do: a product with one number per
/// channel where both outlive the run, then a sum.
Folded fold(Lowering& l, const Node& conv, const Node& fused, std::vector<Link>& chain) {
  Folded folded;
  const Shape& dims = fused.type().shape;
  const auto per_channel = [&](const Link& at) {
    return at.operand->op() == Op::input_ && is_per_channel(at.operand->type().shape, dims);
  };
  if (!l.trains() && chain[0].kind == Link::Kind::mul && per_channel(chain[0])) {
    const Value& given = conv.input(1);
    const View weights = l.view(is_rounding(*given.node) ? given.node->input(0) : given);
    const View scale = find_operand(l, fused, *chain[0].operand);
    if (weights.dtype == DType::f32 && scale.dtype == DType::f32 && weights.row_major() &&
        scale.numel() == dims[1] && scale.row_major() && l.is_kept(weights) && l.is_kept(scale)) {
      folded.weights = weights;
      folded.scale = scale;
      chain.erase(chain.begin());
    }
  }
  if (!chain.empty() && chain[0].kind == Link::Kind::add && per_channel(chain[0])) {
    // One number for all channels is repeated: the bias is read without strides.
    const View bias = find_operand(l, fused, *chain[0].operand);
    folded.bias = l.row_major(conv, expand_view(bias, chain[0].operand->type().shape));
    chain.erase(chain.begin());
  }
  return folded;
}

}  // namespace

bool is_epilogue(const Node& fused, size_t input, bool exact) {
  const std::vector<Link> chain = find_chain(fused, input);
  const std::span<const Link> head = head_of(chain);
  if (head.empty() || !make_epilogue(head)) return false;
  const bool hardswish = std::any_of(
      chain.begin(), chain.end(), [](const Link& at) { return at.kind == Link::Kind::hardswish; });
  return !exact || (fused.type().dtype == DType::f32 && !hardswish);
}

bool lower_with_epilogue(Lowering& l, const Node& conv, const Node& fused, std::string& why) {
  size_t input = 0;
  while (fused.input(static_cast<int>(input)).node.get() != &conv) ++input;
  ConvSpec spec = forward_spec(conv);
  if (Shape(spec.src.dims).numel() == 0 || spec.weights.numel() == 0) {
    why = "nothing to sum";
    return false;
  }
  std::vector<Link> chain = find_chain(fused, input);
  const std::string name = name_of(chain);
  const Folded folded = fold(l, conv, fused, chain);
  const std::span<const Link> head = head_of(chain);
  spec.bias = folded.bias.slot >= 0;
  spec.bias_dtype = folded.bias.dtype;
  // What loses NaN comes after `safe`; where there was one, it is done in a sweep instead.
  const size_t losing = first_losing(head);
  const bool careful = losing < head.size();
  Epilogue safe = *make_epilogue(head.first(losing));
  Epilogue whole = *make_epilogue(head);
  place_operands(l, conv, fused, safe);
  const std::vector<View> operands = place_operands(l, conv, fused, whole);
  spec.post_ops = safe.ops;
  const std::shared_ptr<const ConvPlan> plain = ConvPlan::make(spec, &why);
  if (!plain) return false;
  if (careful && !(has_invalid_flag() && raises_flag(plain->implementation()))) {
    why = str(plain->implementation(), " may lose a NaN unseen");
    return false;
  }
  spec.post_ops = whole.ops;
  const std::shared_ptr<const ConvPlan> plan = careful ? ConvPlan::make(spec, &why) : plain;
  if (!plan) return false;
  const PackedLayoutPtr layout = plan->weights_layout();
  if (!layout != !plain->weights_layout() ||
      (layout && !layout->equals(*plain->weights_layout()))) {
    why = "the weights would lie in two ways";
    return false;
  }
  const View in = l.channels_last(conv, l.view(conv.input(0)));
  View weights;
  if (folded.scale.slot >= 0) {
    weights = l.scaled_weights(conv, folded.weights, folded.scale, spec.weights_dtype, layout);
  } else {
    weights = l.weights_of(conv);
    weights = layout ? l.packed(conv, weights, layout) : l.row_major(conv, weights);
  }
  const View out = l.temp(fused.type().dtype, fused.type().shape, spec.dst.strides);
  const View space = l.scratch(std::max(plan->scratchpad_bytes(), plain->scratchpad_bytes()));
  l.define(conv, 0, out);
  std::vector<View> reads{in, weights, space};
  if (spec.bias) reads.push_back(folded.bias);
  reads.insert(reads.end(), operands.begin(), operands.end());
  const auto make_sweep = [&](std::span<const Link> links) {
    Tiles tiles = chain_tiles(l, fused, links, out);
    for (const View& source : tiles.sources)
      if (source.slot != out.slot) reads.push_back(source);
    return std::make_shared<TileStep>(std::move(tiles));
  };
  std::shared_ptr<TileStep> again, rest;
  if (careful) again = make_sweep(head.subspan(losing));
  if (head.size() < chain.size())
    rest = make_sweep(std::span<const Link>(chain).subspan(head.size()));
  const size_t safe_operands = safe.operands.size();
  const View bias = folded.bias;
  Step& step =
      l.emit(conv, "dnnl:" + plan->implementation() + name, reads, {out}, [=](const Frame& frame) {
        ConvPlan::Pointers at{frame.at(in),
                              frame.at(weights),
                              bias.slot >= 0 ? frame.at(bias) : nullptr,
                              frame.at(out),
                              {}};
        for (const View& operand : operands) at.operands.push_back(frame.at(operand));
        if (careful) lower_invalid_flag();
        plan->execute(at, frame.at(space));
        if (careful && take_invalid_flag(plan->threads())) {
          // There may have been a NaN, which ReLU has to keep. (Or the team did something
          // invalid before.)
          at.operands.resize(safe_operands);
          plain->execute(at, frame.at(space));
          again->run(frame);
        }
        if (rest) rest->run(frame);
      });
  step.info.flops = forward_flops(conv);
  l.define(fused, 0, out);
  return true;
}

}  // namespace ds::cpu
