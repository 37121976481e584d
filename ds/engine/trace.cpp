// SPDX-License-Identifier: Apache-2.0
#include "ds/engine/trace.h"

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/base/hash.h"
#include "ds/base/location.h"
#include "ds/ir/function.h"

namespace ds {
namespace {

uint64_t constant_value_bits(const Node& node) {
  return node.op() == Op::constant_ ? std::bit_cast<uint64_t>(node.attr_float("value"))
                                    : static_cast<uint64_t>(node.attr_int("value"));
}

uint64_t hash_type(const Type& type) {
  uint64_t hash = static_cast<uint64_t>(type.dtype) + 17;
  for (int64_t size : type.shape) hash = hash_combine(hash, static_cast<uint64_t>(size));
  return hash;
}

class Walk {
 public:
  explicit Walk(Trace& trace) : trace_(trace), epoch_(next_visit_epoch()) {}

  void visit(const Node* root) {
    push(root);
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      if (frame.next < frame.node->inputs().size()) {
        push(resolve(frame.node->input(static_cast<int>(frame.next++))).node.get());
      } else {
        append(*frame.node);
        stack_.pop_back();
      }
    }
  }

  uint64_t reference(const Value& value) const {
    const Value v = resolve(value);
    const bool realized = v.node->realized(v.index) != nullptr;
    const uint64_t slot = slot_of(v);
    return slot * 64 + static_cast<uint64_t>(v.index) * 2 + (realized ? 1 : 0);
  }

  uint64_t hash = 0;

 private:
  struct Frame {
    const Node* node;
    size_t next;
  };

  static Value resolve(const Value& value) {
    return value.node->info().op_class == OpClass::marker ? strip_markers(value) : value;
  }

  // A realized node takes one input slot per output, in order.
  uint64_t slot_of(const Value& v) const {
    DS_ASSERT(v.node->visit_epoch == epoch_);
    return v.node->visit_index;
  }

  void push(const Node* node) {
    if (node->visit_epoch == epoch_) return;
    node->visit_epoch = epoch_;
    if (node->realized(0)) {
      node->visit_index = static_cast<uint32_t>(trace_.inputs.size());
      for (int i = 0; i < node->outputs(); ++i) {
        auto buffer = std::static_pointer_cast<Buffer>(node->realized(i));
        hash = hash_combine(hash, hash_type(buffer->type()));
        if (buffer->layout()) hash = hash_combine(hash, buffer->layout()->hash());
        trace_.inputs.push_back(std::move(buffer));
      }
      return;
    }
    stack_.push_back({node, 0});
  }

  void append(const Node& node) {
    DS_ASSERT(node.op() != Op::input_, "an input node without a buffer");
    node.visit_index = static_cast<uint32_t>(trace_.nodes.size());
    note_constant(node);
    hash = hash_combine(hash, node.static_hash());
    if (node.op() == Op::fused_) apply(*function_of(node));
    for (const Value& input : node.inputs()) hash = hash_combine(hash, reference(input));
    trace_.nodes.push_back(&node);
  }

  void note_constant(const Node& node) {
    if (!is_number(node)) return;
    trace_.constants.push_back(&node);
    trace_.constant_bits.push_back(constant_value_bits(node));
  }

  /// Many nodes share a function, whose constants count once.
  void apply(const Function& function) {
    hash = hash_combine(hash, function.hash);
    if (!functions_.insert(&function).second) return;
    for (const Node* constant : function.constants) note_constant(*constant);
  }

  Trace& trace_;
  uint64_t epoch_;
  std::vector<Frame> stack_;
  std::unordered_set<const Function*> functions_;
};

}  // namespace

std::vector<std::pair<size_t, size_t>> find_donations(const EvaluateRequest& request,
                                                      const Trace& trace) {
  std::vector<std::pair<size_t, size_t>> pairs;
  if (request.donations.empty()) return pairs;
  std::unordered_map<const Buffer*, size_t> slots;
  slots.reserve(trace.inputs.size());
  for (size_t i = 0; i < trace.inputs.size(); ++i) slots.emplace(trace.inputs[i].get(), i);
  for (const auto& [output, buffer] : request.donations)
    if (const auto found = slots.find(buffer.get()); found != slots.end())
      pairs.emplace_back(output, found->second);
  return pairs;
}

Trace make_trace(const EvaluateRequest& request) {
  Trace trace;
  Walk walk(trace);
  for (const Value& output : request.outputs) walk.visit(output.node.get());
  for (const Value& output : request.outputs)
    walk.hash = hash_combine(walk.hash, walk.reference(output));
  for (const auto& [output, slot] : find_donations(request, trace))
    walk.hash = hash_combine(walk.hash, output * 1000003 + slot);
  trace.key = hash_combine(walk.hash, request.device.backend);
  return trace;
}

Graph import_trace(const Trace& trace, const Values& outputs, const std::vector<bool>& lifted,
                   Interner& interner) {
  Graph graph;
  const auto add_input = [&](const Type& type) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    graph.inputs.push_back(interner.node(Op::input_, {}, {index, type.dtype, type.shape}));
  };
  for (const BufferPtr& buffer : trace.inputs) add_input(buffer->type());
  std::unordered_map<const Node*, Values> lifted_constants;
  for (size_t k = 0; k < trace.constants.size(); ++k)
    if (lifted[k]) {
      add_input(trace.constants[k]->type());
      lifted_constants[trace.constants[k]] = {{graph.inputs.back(), 0}};
    }
  std::vector<Values> imported;  // per node its outputs
  imported.reserve(trace.nodes.size());
  const auto find = [&](const Value& value) -> Value {
    const Value v = strip_markers(value);
    if (v.node->realized(v.index))
      return {graph.inputs[v.node->visit_index + static_cast<uint32_t>(v.index)], 0};
    return imported[v.node->visit_index][static_cast<size_t>(v.index)];
  };
  for (const Node* node : trace.nodes) {
    if (const auto found = lifted_constants.find(node); found != lifted_constants.end()) {
      imported.push_back(found->second);
      continue;
    }
    Values inputs;
    for (const Value& input : node->inputs()) inputs.push_back(find(input));
    if (node->op() == Op::fused_) {
      imported.push_back(inline_function(*node, inputs, lifted_constants, interner));
      continue;
    }
    const LocationScope place(node->location());
    const NodePtr made = interner.node(node->op(), std::move(inputs), node->attrs());
    imported.emplace_back();
    for (int i = 0; i < made->outputs(); ++i) imported.back().push_back({made, i});
  }
  for (const Value& output : outputs) graph.outputs.push_back(find(output));
  return graph;
}

namespace {

std::string node_text(const Node& node) {
  std::string text(node.info().name);
  const std::string place = location_text(node.location());
  if (!place.empty()) text += " at " + place;
  return text;
}

/// What differs between two nodes at one position; empty when nothing does.
std::string node_difference(const Node& now, const Node& before) {
  if (now.op() != before.op()) return str(node_text(now), " where there was ", node_text(before));
  for (size_t i = 0; i < now.attrs().size(); ++i)
    if (!same_attr(now.attrs()[i], before.attrs()[i]) && now.info().attrs[i].name != "index")
      return str(node_text(now), ": ", now.info().attrs[i].name, " is ", attr_text(now.attrs()[i]),
                 ", was ", attr_text(before.attrs()[i]));
  for (size_t i = 0; i < std::min(now.inputs().size(), before.inputs().size()); ++i)
    if (!(now.inputs()[i].type() == before.inputs()[i].type()))
      return str(node_text(now), ": input ", i, " is ", now.inputs()[i].type(), ", was ",
                 before.inputs()[i].type());
  for (int i = 0; i < std::min(now.outputs(), before.outputs()); ++i)
    if (!(now.type(i) == before.type(i)))
      return str(node_text(now), ": output is ", now.type(i), ", was ", before.type(i));
  if (now.inputs().size() != before.inputs().size())
    return str(node_text(now), ": ", now.inputs().size(), " inputs, were ", before.inputs().size());
  return {};
}

/// The nodes that user code recorded: graph inputs say little and come last in a comparison.
std::vector<NodePtr> recorded_nodes(const Graph& graph) {
  std::vector<NodePtr> nodes = graph.topological();
  std::erase_if(nodes, [](const NodePtr& node) { return node->op() == Op::input_; });
  return nodes;
}

}  // namespace

size_t common_prefix(const Graph& a, const Graph& b) {
  const std::vector<NodePtr> x = recorded_nodes(a), y = recorded_nodes(b);
  size_t i = 0;
  while (i < std::min(x.size(), y.size()) && node_difference(*x[i], *y[i]).empty()) ++i;
  return i;
}

std::string describe_difference(const Graph& now, const Graph& before) {
  const std::vector<NodePtr> x = recorded_nodes(now), y = recorded_nodes(before);
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    const std::string difference = node_difference(*x[i], *y[i]);
    if (!difference.empty()) return difference;
  }
  if (x.size() > y.size()) return str(node_text(*x[y.size()]), " is new");
  if (x.size() < y.size()) return str(node_text(*y[x.size()]), " is gone");
  if (now.outputs.size() != before.outputs.size())
    return str(now.outputs.size(), " values are wanted, were ", before.outputs.size());
  return "the same operations with other connections, layouts or donated buffers";
}

}  // namespace ds
