// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/remat.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/base/location.h"
#include "ds/ir/after.h"
#include "ds/ir/cost.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

using Key = std::pair<const Node*, int>;
Key key_of(const Value& value) { return {value.node.get(), value.index}; }
double bytes_of(const Value& value) {
  return static_cast<double>(value.shape().numel()) *
         static_cast<double>(dtype_size(value.dtype()));
}

// Longer chains of sweeps would cost more than a contraction.
constexpr size_t kMaxChain = 16;
// Values below this share of what is kept stay: statistics, scales, masks of samples.
constexpr double kSmall = 1.0 / 2000;

/// How levels above 1 recompute: into how many segments the network is cut, which share of them,
/// from the first, is recomputed, and what in them.
struct Segmenting {
  int count;
  double share;
  /// Most operations for each byte of a value that is recomputed: dearer ones stay.
  double density;
};
constexpr double kAny = std::numeric_limits<double>::infinity();
// Of ResNet-50's products, those of 64 and 128 input channels are below 100, of 256 below 200; a
// transformer's are at half its width. Many segments end where its layers do, few drop the inputs
// of residual blocks.
constexpr Segmenting kSegmentings[kMaxRematLevel - 1] = {
    {32, 1, 60},   {4, 1, 60},    {2, 1, 60},     {4, 1, 100},  {8, 1, 100},
    {4, 1, 200},   {8, 1, 200},   {32, 0.5, 450}, {32, 1, 450}, {16, 1, 450},
    {32, 1, kAny}, {16, 1, kAny}, {8, 1, kAny},   {4, 1, kAny}};

/// Bound by memory: computing it again costs about as much as reading and writing it.
bool is_sweep(const Node& node) {
  switch (node.info().op_class) {
    case OpClass::unary:
    case OpClass::test:
    case OpClass::binary:
    case OpClass::compare:
    case OpClass::select:
    case OpClass::movement:
    case OpClass::softmax:
    case OpClass::norm: return true;
    case OpClass::random: return node.op() == Op::dropout_;
    default: return false;
  }
}

bool is_source(const Node& node) { return node.info().op_class == OpClass::source; }

/// Facts about a training step's graph.
struct Step {
  std::vector<NodePtr> order;
  std::unordered_map<const Node*, int> position;
  std::unordered_set<const Node*> late;        // the backward pass and what follows it
  std::map<Key, std::vector<int>> early_uses;  // positions of the readers in the forward pass
  std::map<Key, int> first_late_use;
  std::set<Key> outputs;
  std::vector<Value> kept;  // of the forward pass, read late
  double kept_bytes = 0;
  std::vector<int> heavy;  // positions of late nodes that are no sweeps

  explicit Step(const Graph& graph) : order(graph.topological()) {
    for (const Value& output : graph.outputs) outputs.insert(key_of(output));
    for (size_t i = 0; i < order.size(); ++i) note(*order[i], static_cast<int>(i));
  }

  bool is_late(const Node* node) const { return late.count(node) != 0; }

 private:
  void note(const Node& node, int at) {
    position[&node] = at;
    bool is_late = in_backward(node);
    for (const Value& input : node.inputs()) is_late = is_late || late.count(input.node.get());
    if (is_late) late.insert(&node);
    if (is_late && !is_sweep(node) && !is_source(node)) heavy.push_back(at);
    for (const Value& input : node.inputs()) {
      if (late.count(input.node.get()) || is_source(*input.node)) continue;
      if (!is_late)
        early_uses[key_of(input)].push_back(at);
      else if (first_late_use.emplace(key_of(input), at).second && !outputs.count(key_of(input))) {
        kept.push_back(input);
        kept_bytes += bytes_of(input);
      }
    }
  }
};

/// A value that is computed again: by which nodes, from anything else, and after what.
struct Recipe {
  std::unordered_set<const Node*> nodes;
  const Node* gate = nullptr;
};

class Choice {
 public:
  Choice(const Step& step, int level) : step_(step) {
    if (level > 1) choose_segments(kSegmentings[level - 2]);
    if (level > 0) choose_sweeps();
  }

  const std::map<Key, Recipe>& recipes() const { return recipes_; }

 private:
  bool small(const Value& value) const { return bytes_of(value) < kSmall * step_.kept_bytes; }

  /// The last contraction (or the like) of the backward pass before position `at`; null when there
  /// is none.
  const Node* gate_before(int at) const {
    const auto next = std::lower_bound(step_.heavy.begin(), step_.heavy.end(), at);
    return next == step_.heavy.begin() ? nullptr
                                       : step_.order[static_cast<size_t>(*(next - 1))].get();
  }

  /// Bytes that readers in the forward pass still need after each position.
  std::vector<double> crossing() const {
    std::vector<double> change(step_.order.size() + 1, 0);
    for (const auto& [key, uses] : step_.early_uses) {
      const double bytes = static_cast<double>(key.first->type(key.second).shape.numel()) *
                           static_cast<double>(dtype_size(key.first->type(key.second).dtype));
      change[static_cast<size_t>(step_.position.at(key.first))] += bytes;
      change[static_cast<size_t>(uses.back())] -= bytes;
    }
    for (size_t i = 1; i < change.size(); ++i) change[i] += change[i - 1];
    return change;
  }

  /// Positions after which a segment ends: about equal shares of what is kept lie between, where
  /// little crosses.
  std::vector<int> cuts(int count) const {
    std::vector<double> kept(step_.order.size(), 0);
    for (const Value& value : step_.kept)
      kept[static_cast<size_t>(step_.position.at(value.node.get()))] += bytes_of(value);
    const std::vector<double> cross = crossing();
    std::vector<int> result;
    double since = 0, least = std::numeric_limits<double>::infinity();
    int best = -1;
    const double share = step_.kept_bytes / count;
    for (size_t i = 0; i < kept.size(); ++i) {
      since += kept[i];
      if (since < share / 2 || step_.is_late(step_.order[i].get())) continue;
      if (cross[i] <= least) {
        least = cross[i];
        best = static_cast<int>(i);
      }
      if (since < share) continue;
      result.push_back(best);
      since = 0;
      for (size_t k = static_cast<size_t>(best) + 1; k <= i; ++k) since += kept[k];
      least = std::numeric_limits<double>::infinity();
    }
    return result;
  }

  int segment_of(const Node* node, const std::vector<int>& cuts) const {
    return static_cast<int>(std::lower_bound(cuts.begin(), cuts.end(), step_.position.at(node)) -
                            cuts.begin());
  }

  /// Arithmetic, for each of its bytes, that a value takes beside sweeps: of the operations from
  /// which sweeps lead to it, as far as nothing between is kept.
  double density(const Value& value) const {
    double flops = 0;
    std::unordered_set<const Node*> seen{value.node.get()};
    std::vector<const Node*> stack{value.node.get()};
    while (!stack.empty()) {
      const Node* node = stack.back();
      stack.pop_back();
      if (!is_sweep(*node)) {
        flops += is_source(*node) ? 0 : node_cost(*node).flops;
        continue;
      }
      for (const Value& input : node->inputs())
        if (!step_.first_late_use.count(key_of(input)) && seen.insert(input.node.get()).second)
          stack.push_back(input.node.get());
    }
    return flops / bytes_of(value);
  }

  void choose_segments(const Segmenting& segmenting) {
    const std::vector<int> ends = cuts(segmenting.count);
    // What is kept after the last cut is read soon.
    const int chosen = static_cast<int>(segmenting.share * static_cast<double>(ends.size()) + 0.5);
    std::map<int, std::vector<Value>> dropped;
    std::map<int, int> first_use;
    for (const Value& value : step_.kept) {
      const int segment = segment_of(value.node.get(), ends);
      if (segment >= chosen || small(value) || density(value) > segmenting.density) continue;
      const auto uses = step_.early_uses.find(key_of(value));
      if (uses != step_.early_uses.end() &&
          uses->second.back() > ends[static_cast<size_t>(segment)])
        continue;
      dropped[segment].push_back(value);
      const int use = step_.first_late_use.at(key_of(value));
      const auto [entry, made] = first_use.emplace(segment, use);
      entry->second = std::min(entry->second, use);
    }
    for (const auto& [segment, values] : dropped) {
      const Node* gate = gate_before(first_use.at(segment));
      if (!gate) continue;
      std::set<Key> gone;
      for (const Value& value : values) gone.insert(key_of(value));
      for (const Value& value : values) {
        Recipe recipe{{}, gate};
        follow_segment(value, segment, ends, gone, recipe);
        recipes_.emplace(key_of(value), std::move(recipe));
      }
    }
  }

  /// Adds the nodes of the segment that `value` is computed by, from what stays.
  void follow_segment(const Value& value, int segment, const std::vector<int>& ends,
                      const std::set<Key>& gone, Recipe& recipe) {
    Values stack{value};
    while (!stack.empty()) {
      const Node* node = stack.back().node.get();
      stack.pop_back();
      if (!recipe.nodes.insert(node).second) continue;
      for (const Value& input : node->inputs()) {
        if (is_source(*input.node) || step_.outputs.count(key_of(input))) continue;
        const bool stays = step_.first_late_use.count(key_of(input)) && !gone.count(key_of(input));
        if (stays || segment_of(input.node.get(), ends) != segment)
          pinned_.insert(key_of(input));
        else
          stack.push_back(input);
      }
    }
  }

  void choose_sweeps() {
    for (const Value& value : step_.kept) {  // those nearest the loss first
      if (recipes_.count(key_of(value)) || pinned_.count(key_of(value)) || small(value) ||
          !is_sweep(*value.node))
        continue;
      Recipe recipe{{}, gate_before(step_.first_late_use.at(key_of(value)))};
      Values leaves;
      if (!recipe.gate || !follow_sweeps(value, recipe, leaves)) continue;
      double cost = 0;
      for (const Value& leaf : leaves)
        if (!stays(leaf)) cost += bytes_of(leaf);
      if (cost > bytes_of(value) / 2) continue;
      for (const Value& leaf : leaves) pinned_.insert(key_of(leaf));
      recipes_.emplace(key_of(value), std::move(recipe));
    }
  }

  /// The value is in memory in the backward pass.
  bool stays(const Value& value) const {
    const Key key = key_of(value);
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
        if (stays(input) || !is_sweep(*input.node) || small(input))
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
        const auto recipe = choice_.recipes().find(key_of(input));
        const bool again = step_.is_late(node.get()) && recipe != choice_.recipes().end();
        inputs.push_back(again ? this->again(input, recipe->second) : done_.at(key_of(input)));
      }
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
        const auto copy = copies.find(key_of(input));
        inputs.push_back(copy != copies.end() ? copy->second : gated(input, gate));
      }
      const NodePtr made = interner_.node(node->op(), std::move(inputs), node->attrs());
      for (int i = 0; i < made->outputs(); ++i) copies[{node, i}] = {made, i};
    }
    return copies.at(key_of(value));
  }

  Value gated(const Value& input, const Value& gate) {
    const Value& value = done_.at(key_of(input));
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

Graph rematerialize(const Graph& graph, int level, Interner& interner) {
  DS_ASSERT(level >= 0 && level <= kMaxRematLevel);
  if (level == 0) return graph;
  const Step step(graph);
  if (step.kept.empty()) return graph;
  const Choice choice(step, level);
  return choice.recipes().empty() ? graph : Rebuild(step, choice, interner).run(graph);
}

}  // namespace ds
