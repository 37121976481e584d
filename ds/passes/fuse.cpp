// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/fuse.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/base/location.h"

namespace ds {
namespace {

constexpr int kNoGroup = -1;
constexpr int kNoConsumer = std::numeric_limits<int>::max();

struct Group {
  std::vector<const Node*> members;       // in topological order
  std::unordered_set<const Node*> reads;  // nodes outside that members read
  Shape shape;
  int level = 0;
  int first_consumer = kNoConsumer;  // lowest level of a node outside that reads a member
};

/// Grouping by levels: an edge between two units (a group, or a node in no group) always goes from
/// a lower level to a higher one, so units can be ordered and no cycle arises. A group may rise as
/// long as it stays below its consumers.
class Grouping {
 public:
  Grouping(const std::vector<NodePtr>& order, const TargetInfo& target) : target_(target) {
    for (const NodePtr& node : order) place(*node);
  }

  int group_of(const Node* node) const {
    const auto found = group_.find(node);
    return found == group_.end() ? kNoGroup : found->second;
  }
  const Group& group(int index) const { return groups_[static_cast<size_t>(index)]; }
  int level(const Node* node) const {
    const int g = group_of(node);
    return g == kNoGroup ? level_.at(node) : group(g).level;
  }

 private:
  bool fusable(const Node& node) const {
    const bool dropout = node.op() == Op::dropout_;
    if (!(node.info().has(kFusable) || dropout) || node.type().shape.numel() == 0) return false;
    const auto in = [](const std::array<bool, kDTypeCount>& set, DType dtype) {
      return set[static_cast<size_t>(dtype)];
    };
    if (node.op() == Op::cast_)
      return in(target_.fusable_storage, node.input(0).dtype()) &&
             in(target_.fusable_compute, node.type().dtype);
    for (const Value& input : node.inputs())
      if (!dropout && !in(target_.fusable_compute, input.dtype())) return false;
    return in(target_.fusable_compute, node.type().dtype);
  }

  static bool is_immediate(const Node& node) { return node.op() == Op::constant_; }

  void place(const Node& node) {
    if (!fusable(node)) {
      set_level(node, 1 + highest_input(node));
      return;
    }
    std::vector<int> candidates;
    for (const Value& input : node.inputs()) {
      const int g = group_of(input.node.get());
      if (g != kNoGroup && group(g).shape == node.type().shape &&
          std::find(candidates.begin(), candidates.end(), g) == candidates.end())
        candidates.push_back(g);
    }
    const int level = settle(node, candidates);
    const int joined = join(node, candidates, level);
    group_[&node] = joined;
    note_reads(node, joined);
  }

  int highest_input(const Node& node) const {
    int highest = 0;
    for (const Value& input : node.inputs())
      if (!is_immediate(*input.node)) highest = std::max(highest, level(input.node.get()));
    return highest;
  }

  /// Removes the candidates that cannot be joined; returns the level of the joined group.
  int settle(const Node& node, std::vector<int>& candidates) const {
    while (true) {
      int level = 1;
      for (const Value& input : node.inputs()) {
        const int g = group_of(input.node.get());
        if (std::find(candidates.begin(), candidates.end(), g) != candidates.end())
          level = std::max(level, group(g).level);
        else if (!is_immediate(*input.node))
          level = std::max(level, 1 + this->level(input.node.get()));
      }
      const auto stuck = [&](int g) {
        return group(g).level != level && group(g).first_consumer <= level;
      };
      const size_t before = candidates.size();
      std::erase_if(candidates, stuck);
      if (candidates.size() == before && fits(node, candidates)) return level;
      if (candidates.size() == before) candidates.pop_back();
    }
  }

  bool fits(const Node& node, const std::vector<int>& candidates) const {
    size_t ops = 1, reads = node.inputs().size();
    for (int g : candidates) {
      ops += group(g).members.size();
      reads += group(g).reads.size();
    }
    return candidates.empty() || (ops <= kMaxFusedOps && reads <= kMaxFusedOperands * 2 / 3);
  }

  int join(const Node& node, const std::vector<int>& candidates, int level) {
    if (candidates.empty()) {
      groups_.push_back({{&node}, {}, node.type().shape, level, kNoConsumer});
      return static_cast<int>(groups_.size()) - 1;
    }
    const int target = candidates[0];
    Group& into = groups_[static_cast<size_t>(target)];
    for (size_t i = 1; i < candidates.size(); ++i) {
      Group& from = groups_[static_cast<size_t>(candidates[i])];
      for (const Node* member : from.members) group_[member] = target;
      into.members.insert(into.members.end(), from.members.begin(), from.members.end());
      into.reads.insert(from.reads.begin(), from.reads.end());
      into.first_consumer = std::min(into.first_consumer, from.first_consumer);
      from = {};
    }
    into.members.push_back(&node);
    into.level = level;
    return target;
  }

  void note_reads(const Node& node, int own) {
    for (const Value& input : node.inputs()) {
      const int g = group_of(input.node.get());
      if (g == own || is_immediate(*input.node)) continue;
      groups_[static_cast<size_t>(own)].reads.insert(input.node.get());
      if (g != kNoGroup) note_consumer(g, group(own).level);
    }
  }

  void note_consumer(int g, int level) {
    int& first = groups_[static_cast<size_t>(g)].first_consumer;
    first = std::min(first, level);
  }

  void set_level(const Node& node, int level) {
    level_[&node] = level;
    for (const Value& input : node.inputs())
      if (const int g = group_of(input.node.get()); g != kNoGroup) note_consumer(g, level);
  }

  const TargetInfo& target_;
  std::vector<Group> groups_;
  std::unordered_map<const Node*, int> group_;
  std::unordered_map<const Node*, int> level_;
};

/// Rebuilds the graph unit by unit in the order of their levels.
class Rebuild {
 public:
  Rebuild(const Graph& graph, const std::vector<NodePtr>& order, const Grouping& grouping,
          Interner& interner)
      : order_(order), grouping_(grouping), interner_(interner) {
    for (const NodePtr& node : order)
      for (const Value& input : node->inputs()) consumers_[input.node.get()].push_back(node.get());
    for (const Value& output : graph.outputs) wanted_.insert(output.node.get());
  }

  Graph run(const Graph& graph) {
    std::vector<NodePtr> by_level = order_;
    std::stable_sort(by_level.begin(), by_level.end(), [&](const NodePtr& a, const NodePtr& b) {
      return grouping_.level(a.get()) < grouping_.level(b.get());
    });
    std::unordered_set<int> emitted;
    for (const NodePtr& node : by_level) {
      const int g = grouping_.group_of(node.get());
      if (g == kNoGroup || grouping_.group(g).members.size() == 1)
        emit_node(*node, node);
      else if (emitted.insert(g).second)
        emit_group(grouping_.group(g));
    }
    Graph result;
    result.inputs = graph.inputs;
    for (const Value& output : graph.outputs) result.outputs.push_back(get(output));
    return result;
  }

 private:
  Value get(const Value& value) const {
    return done_.at(value.node.get())[static_cast<size_t>(value.index)];
  }

  void emit_node(const Node& node, const NodePtr& self) {
    Values inputs;
    for (const Value& input : node.inputs()) inputs.push_back(get(input));
    const NodePtr made =
        node.op() == Op::input_ ? self : interner_.rebuild(node, std::move(inputs));
    Values outputs;
    for (int i = 0; i < made->outputs(); ++i) outputs.push_back({made, i});
    done_[&node] = std::move(outputs);
  }

  bool leaves(const Node* member, const std::unordered_set<const Node*>& members) const {
    if (wanted_.count(member)) return true;
    const auto found = consumers_.find(member);
    if (found == consumers_.end()) return false;
    return std::any_of(found->second.begin(), found->second.end(),
                       [&](const Node* consumer) { return !members.count(consumer); });
  }

  /// The group's members in an order in which inputs come first.
  static std::vector<const Node*> ordered(const Group& group,
                                          const std::unordered_map<const Node*, size_t>& rank) {
    std::vector<const Node*> members = group.members;
    std::sort(members.begin(), members.end(),
              [&](const Node* a, const Node* b) { return rank.at(a) < rank.at(b); });
    return members;
  }

  void emit_group(const Group& group) {
    if (rank_.empty())
      for (size_t i = 0; i < order_.size(); ++i) rank_[order_[i].get()] = i;
    const std::vector<const Node*> members = ordered(group, rank_);
    const std::unordered_set<const Node*> set(members.begin(), members.end());
    auto body = std::make_shared<Graph>();
    Interner inner;
    Values outside;
    std::unordered_map<const Node*, Value> map;
    const auto operand = [&](const Value& input) -> Value {
      if (set.count(input.node.get())) return map.at(input.node.get());
      if (input.node->op() == Op::constant_)
        return inner.make(Op::constant_, {}, input.node->attrs());
      const Value now = get(input);
      const auto found = std::find(outside.begin(), outside.end(), now);
      const auto index = found - outside.begin();
      if (found == outside.end()) {
        outside.push_back(now);
        body->inputs.push_back(
            inner.node(Op::input_, {}, {int64_t{index}, now.dtype(), now.shape()}));
      }
      return {body->inputs[static_cast<size_t>(index)], 0};
    };
    std::vector<const Node*> leaving;
    for (const Node* member : members) {
      Values inputs;
      for (const Value& input : member->inputs()) inputs.push_back(operand(input));
      map[member] = {inner.rebuild(*member, std::move(inputs)), 0};
      if (leaves(member, set)) {
        leaving.push_back(member);
        body->outputs.push_back(map[member]);
      }
    }
    const LocationScope place(members.back()->location());
    const NodePtr fused = interner_.fused(std::move(outside), std::move(body));
    for (size_t i = 0; i < leaving.size(); ++i) done_[leaving[i]] = {{fused, static_cast<int>(i)}};
  }

  const std::vector<NodePtr>& order_;
  const Grouping& grouping_;
  Interner& interner_;
  std::unordered_map<const Node*, Values> done_;
  std::unordered_map<const Node*, std::vector<const Node*>> consumers_;
  std::unordered_map<const Node*, size_t> rank_;
  std::unordered_set<const Node*> wanted_;
};

}  // namespace

Graph fuse_elementwise(const Graph& graph, const TargetInfo& target, Interner& interner) {
  if (!target.fuses) return graph;
  const std::vector<NodePtr> order = graph.topological();
  const Grouping grouping(order, target);
  return Rebuild(graph, order, grouping, interner).run(graph);
}

}  // namespace ds
