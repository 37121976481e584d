// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/remat.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/base/location.h"
#include "ds/ir/after.h"
#include "ds/ir/phase.h"
#include "ds/passes/remat_segments.h"
#include "ds/passes/remat_step.h"

namespace ds {
namespace {

using Key = Step::Key;

// Longer chains of sweeps would cost more than a contraction.
constexpr size_t kMaxChain = 16;

/// A value that is computed again: by which nodes, from anything else, and after what.
struct Recipe {
  std::unordered_set<const Node*> nodes;
  const Node* gate = nullptr;
};

class Choice {
 public:
  /// Sweeps alone, or of segments too.
  explicit Choice(const Step& step, const std::vector<Segment>& segments = {}) : step_(step) {
    choose_segments(segments);
    choose_sweeps();
  }

  const std::map<Key, Recipe>& recipes() const { return recipes_; }
  std::set<Key> computed_again() const {
    std::set<Key> keys;
    for (const auto& [key, recipe] : recipes_) keys.insert(key);
    return keys;
  }

 private:
  size_t segment_of(const Node* node, const std::vector<Segment>& segments) const {
    const int at = step_.position.at(node);
    size_t index = 0;
    while (index < segments.size() && segments[index].end < at) ++index;
    return index;
  }

  bool drops(const Segment& segment, const Value& value) const {
    if (step_.small(value) || step_.density(value) > segment.density) return false;
    const auto uses = step_.early_uses.find(Step::key_of(value));
    return uses == step_.early_uses.end() || uses->second.back() <= segment.end;
  }

  void choose_segments(const std::vector<Segment>& segments) {
    std::map<size_t, std::vector<Value>> dropped;
    std::map<size_t, int> first_use;
    for (const Value& value : step_.kept) {
      const size_t index = segment_of(value.node.get(), segments);
      if (index == segments.size() || !drops(segments[index], value)) continue;
      dropped[index].push_back(value);
      const int use = step_.first_late_use.at(Step::key_of(value));
      const auto [entry, made] = first_use.emplace(index, use);
      entry->second = std::min(entry->second, use);
    }
    for (const auto& [segment, values] : dropped) {
      const Node* gate = step_.gate_before(first_use.at(segment));
      if (!gate) continue;
      std::set<Key> gone;
      for (const Value& value : values) gone.insert(Step::key_of(value));
      for (const Value& value : values) {
        Recipe recipe{{}, gate};
        follow_segment(value, segment, segments, gone, recipe);
        recipes_.emplace(Step::key_of(value), std::move(recipe));
      }
    }
  }

  /// Adds the nodes of the segment that `value` is computed by, from what stays.
  void follow_segment(const Value& value, size_t segment, const std::vector<Segment>& segments,
                      const std::set<Key>& gone, Recipe& recipe) {
    Values stack{value};
    while (!stack.empty()) {
      const Node* node = stack.back().node.get();
      stack.pop_back();
      if (!recipe.nodes.insert(node).second) continue;
      for (const Value& input : node->inputs()) {
        if (is_source(*input.node) || step_.outputs.count(Step::key_of(input))) continue;
        const bool stays =
            step_.first_late_use.count(Step::key_of(input)) && !gone.count(Step::key_of(input));
        if (stays || segment_of(input.node.get(), segments) != segment)
          pinned_.insert(Step::key_of(input));
        else
          stack.push_back(input);
      }
    }
  }

  void choose_sweeps() {
    for (const Value& value : step_.kept) {  // those nearest the loss first
      if (recipes_.count(Step::key_of(value)) || pinned_.count(Step::key_of(value)) ||
          step_.small(value) || !is_sweep(*value.node))
        continue;
      Recipe recipe{{}, step_.gate_before(step_.first_late_use.at(Step::key_of(value)))};
      Values leaves;
      if (!recipe.gate || !follow_sweeps(value, recipe, leaves)) continue;
      double cost = 0;
      for (const Value& leaf : leaves)
        if (!stays(leaf)) cost += bytes_of(leaf);
      if (cost > bytes_of(value) / 2) continue;
      for (const Value& leaf : leaves) pinned_.insert(Step::key_of(leaf));
      recipes_.emplace(Step::key_of(value), std::move(recipe));
    }
  }

  /// The value is in memory in the backward pass.
  bool stays(const Value& value) const {
    const Key key = Step::key_of(value);
    return is_source(*value.node) || step_.outputs.count(key) || pinned_.count(key) ||
           (step_.first_late_use.count(key) && !recipes_.count(key));
  }

  /// Adds the sweeps that `value` is computed by; false when they are too many.
  bool follow_sweeps(const Value& value, Recipe& recipe, Values& leaves) const {
    Values stack{value};
    size_t sweeps = 0;
    while (!stack.empty()) {
      const Node* node = stack.back().node.get();
      stack.pop_back();
      if (!recipe.nodes.insert(node).second) continue;
      sweeps += node->info().op_class == OpClass::movement ? 0 : 1;
      if (sweeps > kMaxChain) return false;
      for (const Value& input : node->inputs()) {
        if (stays(input) || !is_sweep(*input.node) || step_.small(input))
          leaves.push_back(input);
        else
          stack.push_back(input);
      }
    }
    return true;
  }

  const Step& step_;
  std::map<Key, Recipe> recipes_;
  std::set<Key> pinned_;  // other recipes start from them
};

class Rebuild {
 public:
  Rebuild(const Step& step, const Choice& choice, Interner& interner)
      : step_(step), choice_(choice), interner_(interner) {}

  Graph run(const Graph& graph) {
    for (const NodePtr& node : step_.order) {
      Values inputs;
      for (const Value& input : node->inputs()) {
        const auto recipe = choice_.recipes().find(Step::key_of(input));
        const bool again = step_.is_late(node.get()) && recipe != choice_.recipes().end();
        inputs.push_back(again ? this->again(input, recipe->second)
                               : done_.at(Step::key_of(input)));
      }
      if (const Node* gate = reads_early_values(*node) ? step_.gate_before(*node) : nullptr) {
        const LocationScope place(node->location());
        for (Value& input : inputs) input = after(input, done_.at({gate, 0}));
      }
      const NodePtr made =
          node->op() == Op::input_ ? node : interner_.rebuild(*node, std::move(inputs));
      for (int i = 0; i < made->outputs(); ++i) done_[{node.get(), i}] = {made, i};
    }
    Graph result;
    result.inputs = graph.inputs;
    for (const Value& output : graph.outputs)
      result.outputs.push_back(done_.at(Step::key_of(output)));
    return result;
  }

 private:
  Value again(const Value& value, const Recipe& recipe) {
    std::vector<const Node*> nodes(recipe.nodes.begin(), recipe.nodes.end());
    std::sort(nodes.begin(), nodes.end(), [&](const Node* a, const Node* b) {
      return step_.position.at(a) < step_.position.at(b);
    });
    std::map<Key, Value> copies;
    const Value gate = done_.at({recipe.gate, 0});
    for (const Node* node : nodes) {
      const LocationScope place(backward_place(node->location()));
      Values inputs;
      for (const Value& input : node->inputs()) {
        const auto copy = copies.find(Step::key_of(input));
        inputs.push_back(copy != copies.end() ? copy->second
                                              : after(done_.at(Step::key_of(input)), gate));
      }
      const NodePtr made = interner_.node(node->op(), std::move(inputs), node->attrs());
      for (int i = 0; i < made->outputs(); ++i) copies[{node, i}] = {made, i};
    }
    return copies.at(Step::key_of(value));
  }

  /// An elementwise operation of the backward pass on values of the forward pass alone, such as
  /// ReLU's mask: fused with what computes them it would be kept beside them.
  bool reads_early_values(const Node& node) const {
    if (!step_.is_late(&node) || !is_elementwise(node)) return false;
    bool reads = false;
    for (const Value& input : node.inputs()) {
      if (is_source(*input.node)) continue;
      if (step_.is_late(input.node.get()) || choice_.recipes().count(Step::key_of(input)))
        return false;
      reads = true;
    }
    return reads;
  }

  Value after(const Value& value, const Value& gate) {
    if (is_source(*value.node) && value.node->op() != Op::input_) return value;
    return make_after(value, gate, [this](Op op, Values inputs, Attrs attrs) {
      return interner_.make(op, std::move(inputs), std::move(attrs));
    });
  }

  const Step& step_;
  const Choice& choice_;
  Interner& interner_;
  std::map<Key, Value> done_;
};

}  // namespace

struct Rematerializer::Facts {
  explicit Facts(const Graph& graph)
      : step(graph), sweeps(step), segments(step, sweeps.computed_again()) {}

  Step step;
  Choice sweeps;
  SegmentPlanner segments;
};

Rematerializer::Rematerializer(Graph graph)
    : graph_(std::move(graph)), facts_(std::make_unique<Facts>(graph_)) {}
Rematerializer::~Rematerializer() = default;

Graph Rematerializer::run(int level, Interner& interner) const {
  DS_ASSERT(level >= 0 && level <= kMaxRematLevel);
  const Step& step = facts_->step;
  if (level == 0 || step.kept.empty()) return graph_;
  const double depth = (level - 1.0) / (kMaxRematLevel - 1);
  const Choice choice = level == 1 ? facts_->sweeps : Choice(step, facts_->segments.best(depth));
  return choice.recipes().empty() ? graph_ : Rebuild(step, choice, interner).run(graph_);
}

}  // namespace ds
