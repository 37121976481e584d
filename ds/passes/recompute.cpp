// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/recompute.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/location.h"
#include "ds/passes/fuse.h"

namespace ds {
namespace {

constexpr size_t kMaxRecomputedOps = 4;

using Key = std::pair<const Node*, int>;
size_t bytes_of(const Value& value) {
  return static_cast<size_t>(value.shape().numel()) * dtype_size(value.dtype());
}
Key key_of(const Value& value) { return {value.node.get(), value.index}; }

/// Operations that cost nothing beside a read of memory.
bool is_cheap(Op op) {
  switch (op) {
    case Op::cast_:
    case Op::add_:
    case Op::sub_:
    case Op::mul_:
    case Op::neg_:
    case Op::relu_:
    case Op::maximum_:
    case Op::minimum_:
    case Op::clamp_:
    case Op::where_:
    case Op::eq_:
    case Op::ne_:
    case Op::lt_:
    case Op::le_:
    case Op::gt_:
    case Op::ge_: return true;
    default: return false;
  }
}

/// How an output of a fused node is computed again: operations of its body, from values outside.
struct Recipe {
  std::unordered_set<const Node*> ops;
  Values reads;                                  // of the graph
  std::unordered_map<const Node*, Value> known;  // body node -> the value outside that it equals
};

class Decisions {
 public:
  explicit Decisions(const Graph& graph) {
    const std::vector<NodePtr> order = graph.topological();
    for (const NodePtr& node : order)
      for (const Value& input : node->inputs()) readers_[key_of(input)].push_back(node.get());
    for (const Value& output : graph.outputs) wanted_.insert(key_of(output));
    for (const NodePtr& node : order) {
      if (node->op() != Op::fused_) continue;
      for (int i = 0; i < node->outputs(); ++i) decide({node, i});
    }
  }

  const Recipe* recipe(const Value& value) const {
    const auto found = recipes_.find(key_of(value));
    return found == recipes_.end() ? nullptr : &found->second;
  }
  bool any() const { return !recipes_.empty(); }

 private:
  bool stays(const Value& output) const {
    if (wanted_.count(key_of(output))) return true;
    const auto found = readers_.find(key_of(output));
    return found == readers_.end() ||
           std::any_of(found->second.begin(), found->second.end(),
                       [](const Node* reader) { return reader->op() != Op::fused_; });
  }

  /// Follows the body back from `node`; false when that leads to something dear.
  bool gather(const NodePtr& fused, const Node* node, const Node* start, Recipe& recipe) const {
    if (node->op() == Op::constant_ || recipe.ops.count(node) || recipe.known.count(node))
      return true;
    if (node->op() == Op::input_) {
      const Value& outside = fused->input(static_cast<int>(node->attr_int("index")));
      if (this->recipe(outside)) return false;
      recipe.known.emplace(node, outside);
      recipe.reads.push_back(outside);
      return true;
    }
    const Values& outputs = fused->body()->outputs;
    for (int i = 0; i < fused->outputs() && node != start; ++i) {
      if (outputs[static_cast<size_t>(i)].node.get() != node || !stays({fused, i})) continue;
      recipe.known.emplace(node, Value{fused, i});
      recipe.reads.push_back({fused, i});
      return true;
    }
    if (!is_cheap(node->op()) || recipe.ops.size() == kMaxRecomputedOps) return false;
    recipe.ops.insert(node);
    return std::all_of(node->inputs().begin(), node->inputs().end(), [&](const Value& input) {
      return gather(fused, input.node.get(), start, recipe);
    });
  }

  void decide(const Value& output) {
    if (stays(output)) return;
    const Node* start = output.node->body()->outputs[static_cast<size_t>(output.index)].node.get();
    Recipe recipe;
    if (!gather(output.node, start, start, recipe)) return;
    const std::vector<const Node*>& readers = readers_.at(key_of(output));
    for (const Node* reader : readers) {
      if (!(reader->type().shape == output.type().shape)) return;
      size_t bytes = 0, added = 0;
      for (const Value& read : recipe.reads) {
        const Values& inputs = reader->inputs();
        if (std::find(inputs.begin(), inputs.end(), read) != inputs.end()) continue;
        bytes += bytes_of(read);
        ++added;
      }
      if (bytes > bytes_of(output) ||
          ops_[reader] + reader->body()->topological().size() + recipe.ops.size() >
              static_cast<size_t>(kMaxFusedOps) ||
          reads_[reader] + reader->inputs().size() + static_cast<size_t>(reader->outputs()) +
                  added >
              static_cast<size_t>(kMaxFusedOperands))
        return;
    }
    for (const Node* reader : readers) {
      ops_[reader] += recipe.ops.size();
      reads_[reader] += recipe.reads.size();
    }
    recipes_.emplace(key_of(output), std::move(recipe));
  }

  std::map<Key, std::vector<const Node*>> readers_;
  std::map<Key, Recipe> recipes_;
  std::set<Key> wanted_;
  std::unordered_map<const Node*, size_t> ops_, reads_;  // what readers have been given
};

class Rebuild {
 public:
  Rebuild(const Decisions& decisions, Interner& interner)
      : decisions_(decisions), interner_(interner) {}

  Graph run(const Graph& graph) {
    for (const NodePtr& node : graph.topological()) {
      if (node->op() == Op::fused_) {
        rebuild_fused(node);
        continue;
      }
      Values inputs;
      for (const Value& input : node->inputs()) inputs.push_back(done_.at(key_of(input)));
      const NodePtr made =
          node->op() == Op::input_ ? node : interner_.rebuild(*node, std::move(inputs));
      for (int i = 0; i < made->outputs(); ++i) done_[{node.get(), i}] = {made, i};
    }
    Graph result;
    result.inputs = graph.inputs;
    for (const Value& output : graph.outputs) result.outputs.push_back(done_.at(key_of(output)));
    return result;
  }

 private:
  /// A new body while it grows: its inputs are values of the old graph.
  struct Body {
    Interner inner;
    Graph graph;
    Values outside;

    Value read(const Value& value) {
      const auto found = std::find(outside.begin(), outside.end(), value);
      const auto index = found - outside.begin();
      if (found == outside.end()) {
        outside.push_back(value);
        graph.inputs.push_back(
            inner.node(Op::input_, {}, {int64_t{index}, value.dtype(), value.shape()}));
      }
      return {graph.inputs[static_cast<size_t>(index)], 0};
    }

    Value again(const Recipe& recipe, const Node& node) {
      if (const auto known = recipe.known.find(&node); known != recipe.known.end())
        return read(known->second);
      Values inputs;
      for (const Value& input : node.inputs()) inputs.push_back(again(recipe, *input.node));
      return {inner.rebuild(node, std::move(inputs)), 0};
    }
  };

  void rebuild_fused(const NodePtr& node) {
    const LocationScope place(node->location());
    Body body;
    std::unordered_map<const Node*, Value> map;
    const Graph& old = *node->body();
    for (size_t i = 0; i < old.inputs.size(); ++i) {
      const Value& input = node->input(static_cast<int>(i));
      const Recipe* recipe = decisions_.recipe(input);
      const auto& start =
          recipe ? input.node->body()->outputs[static_cast<size_t>(input.index)] : input;
      map[old.inputs[i].get()] = recipe ? body.again(*recipe, *start.node) : body.read(input);
    }
    for (const NodePtr& inner : old.topological()) {
      if (inner->op() == Op::input_) continue;
      Values inputs;
      for (const Value& input : inner->inputs()) inputs.push_back(map.at(input.node.get()));
      map[inner.get()] = {body.inner.rebuild(*inner, std::move(inputs)), 0};
    }
    std::vector<int> kept;
    for (int i = 0; i < node->outputs(); ++i) {
      if (decisions_.recipe({node, i})) continue;
      kept.push_back(i);
      body.graph.outputs.push_back(map.at(old.outputs[static_cast<size_t>(i)].node.get()));
    }
    if (kept.empty()) return;
    Values inputs;
    for (const Value& value : body.outside) inputs.push_back(done_.at(key_of(value)));
    const NodePtr made =
        interner_.fused(std::move(inputs), std::make_shared<Graph>(std::move(body.graph)));
    for (size_t k = 0; k < kept.size(); ++k)
      done_[{node.get(), kept[k]}] = {made, static_cast<int>(k)};
  }

  const Decisions& decisions_;
  Interner& interner_;
  std::map<Key, Value> done_;
};

}  // namespace

Graph recompute_cheap(const Graph& graph, Interner& interner) {
  const Decisions decisions(graph);
  return decisions.any() ? Rebuild(decisions, interner).run(graph) : graph;
}

}  // namespace ds
